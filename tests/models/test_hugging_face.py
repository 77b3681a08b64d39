"""Folders of Hugging Face models give the logits, and the scores, that transformers itself makes of them."""

import json
from types import SimpleNamespace

import pytest
import torch

from models.class_rows import take_classes
from models.encoder import ModelUnsuitable
from models.hugging_face import read_hugging_face, semantic_logits
from models.preprocess import normalise
from models.trainable import replica, set_trainable
from models.zoo import build_model

CLASSES = {0: "road", 1: "car", 2: "sky", 3: "person"}
SMALL_SWIN = {
    "embed_dim": 8,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 1, 2, 2],
    "window_size": 4,
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
IMAGE = torch.randint(0, 256, (1, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def saved(folder, network, **preprocessor):
    network.save_pretrained(folder)
    if preprocessor:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return f"hf:{folder}"


def segformer():
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    torch.manual_seed(0)
    config = SegformerConfig(
        hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], decoder_hidden_size=16, num_attention_heads=[1, 1, 2, 2],
        id2label=CLASSES, label2id={word: number for number, word in CLASSES.items()},
    )  # fmt: skip
    return SegformerForSemanticSegmentation(config).eval()


def upernet():
    from transformers import ConvNextConfig, UperNetConfig, UperNetForSemanticSegmentation

    torch.manual_seed(0)
    backbone = ConvNextConfig(
        hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], out_features=["stage1", "stage2", "stage3", "stage4"]
    )
    config = UperNetConfig(backbone_config=backbone, hidden_size=16, use_auxiliary_head=False, id2label=CLASSES)
    return UperNetForSemanticSegmentation(config).eval()


@pytest.mark.parametrize("make", [segformer, upernet])
def test_logits_are_those_of_transformers(tmp_path, make) -> None:
    network = make()
    model, classes = read_hugging_face(saved(tmp_path, network))
    with torch.no_grad():
        x = normalise(IMAGE)
        torch.testing.assert_close(model(x), network(pixel_values=x).logits, atol=1e-5, rtol=1e-5)
    assert classes == tuple(CLASSES.values()) and not model.training


def test_images_get_the_statistics_the_folder_names(tmp_path) -> None:
    network = segformer()
    settings = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.5, 1.0], "do_flip_channel_order": True}
    model, _ = read_hugging_face(saved(tmp_path, network, **settings))
    x = ((IMAGE / 255.0 - 0.5) / torch.tensor([0.25, 0.5, 1.0])).permute(0, 3, 1, 2).flip(1)
    with torch.no_grad():
        torch.testing.assert_close(model(normalise(IMAGE)), network(pixel_values=x).logits, atol=1e-4, rtol=1e-4)


def test_a_network_of_one_size_is_shown_that_size(tmp_path) -> None:
    from transformers import DPTConfig, DPTForSemanticSegmentation

    torch.manual_seed(0)
    config = DPTConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8,
        is_hybrid=False, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8,
        use_auxiliary_head=False, id2label=CLASSES,
    )  # fmt: skip
    network = DPTForSemanticSegmentation(config).eval()
    model, _ = read_hugging_face(saved(tmp_path, network))
    x = torch.nn.functional.interpolate(normalise(IMAGE), size=(32, 32), mode="bilinear", align_corners=False)
    with torch.no_grad():
        torch.testing.assert_close(model(normalise(IMAGE)), network(pixel_values=x).logits, atol=1e-4, rtol=1e-4)
    assert model.encoder.fitted((64, 96)) == (32, 32)


def outputs(num_queries=6, num_classes=4):
    generator = torch.Generator().manual_seed(3)
    return SimpleNamespace(
        class_queries_logits=3 * torch.randn(2, num_queries, num_classes + 1, generator=generator),
        masks_queries_logits=4 * torch.randn(2, num_queries, 5, 7, generator=generator),
    )


def test_queries_become_the_scores_of_transformers_own_semantic_inference() -> None:
    """Its processor brings masks to 384x384 first; scores there are compared, and the classes they choose."""
    from transformers import Mask2FormerImageProcessor

    made = outputs()
    theirs = Mask2FormerImageProcessor().post_process_semantic_segmentation(made, return_segmentation_scores=True)
    masks = torch.nn.functional.interpolate(made.masks_queries_logits, size=(384, 384), mode="bilinear")
    ours = semantic_logits(made.class_queries_logits, masks)
    for logits, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(logits.exp(), expected.segmentation_scores, atol=1e-4, rtol=0)
        assert torch.equal(logits.argmax(dim=0), expected.segmentation)


def test_probabilities_are_the_scores_in_proportion() -> None:
    made = outputs()
    logits = semantic_logits(made.class_queries_logits, made.masks_queries_logits)
    scores = logits.exp()
    torch.testing.assert_close(logits.softmax(dim=1), scores / scores.sum(dim=1, keepdim=True))
    assert bool(torch.isfinite(semantic_logits(made.class_queries_logits, torch.full((2, 6, 5, 7), -1e9))).all())


def mask2former():
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

    torch.manual_seed(0)
    config = Mask2FormerConfig(
        backbone_config=SwinConfig(**SMALL_SWIN), feature_size=32, mask_feature_size=32, hidden_dim=32,
        encoder_feedforward_dim=16, encoder_layers=1, decoder_layers=2, num_attention_heads=2, dim_feedforward=16,
        num_queries=6, id2label=CLASSES,
    )  # fmt: skip
    return Mask2FormerForUniversalSegmentation(config).eval()


def test_mask2former_answers_as_its_own_processor_says(tmp_path) -> None:
    pytest.importorskip("scipy", reason="transformers builds Mask2Former only beside scipy")
    from transformers import Mask2FormerImageProcessor

    network = mask2former()
    model, classes = read_hugging_face(saved(tmp_path, network))
    with torch.no_grad():
        made = network(pixel_values=normalise(IMAGE))
        ours = model(normalise(IMAGE))
    size = tuple(made.masks_queries_logits.shape[-2:])
    assert ours.shape == (1, 4, *size) and classes == tuple(CLASSES.values())
    made.masks_queries_logits = torch.nn.functional.interpolate(made.masks_queries_logits, size=(384, 384))
    (theirs,) = Mask2FormerImageProcessor().post_process_semantic_segmentation(made, return_segmentation_scores=True)
    ours_there = torch.nn.functional.interpolate(ours.exp(), size=(384, 384))[0]
    torch.testing.assert_close(ours_there, theirs.segmentation_scores, atol=1e-4, rtol=0)


def tokenizer_in(folder):
    from transformers import CLIPTokenizer

    words = ["<|startoftext|>", "<|endoftext|>", "the</w>", "task</w>", "is</w>", "semantic</w>"]
    letters = sorted(set("thetaskissemantic"))
    vocabulary = {token: n for n, token in enumerate([*words, *letters, *(letter + "</w>" for letter in letters)])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    tokenizer.save_pretrained(folder)
    return tokenizer


def test_oneformer_is_told_its_task_as_its_processor_tells_it(tmp_path) -> None:
    pytest.importorskip("scipy", reason="transformers builds OneFormer only beside scipy")
    from transformers import (
        OneFormerConfig,
        OneFormerForUniversalSegmentation,
        OneFormerImageProcessor,
        OneFormerProcessor,
        SwinConfig,
    )

    tokenizer = tokenizer_in(tmp_path)
    torch.manual_seed(0)
    config = OneFormerConfig(
        backbone_config=SwinConfig(**SMALL_SWIN), hidden_dim=32, mask_dim=32, conv_dim=32,
        encoder_feedforward_dim=16, encoder_layers=1, decoder_layers=2, num_attention_heads=2, dim_feedforward=16,
        query_dec_layers=1, num_queries=6, task_seq_len=12,
        text_encoder_width=16, text_encoder_vocab_size=len(tokenizer), id2label=CLASSES,
    )  # fmt: skip
    network = OneFormerForUniversalSegmentation(config).eval()
    model, _ = read_hugging_face(saved(tmp_path, network))
    processor = OneFormerProcessor(OneFormerImageProcessor(), tokenizer, task_seq_length=12)
    task = processor._preprocess_text(["the task is semantic"], max_length=12)
    with torch.no_grad():
        made = network(pixel_values=normalise(IMAGE), task_inputs=task)
        ours = model(normalise(IMAGE)).exp()
    (theirs,) = OneFormerImageProcessor().post_process_semantic_segmentation(made, return_segmentation_scores=True)
    torch.testing.assert_close(ours[0], theirs.segmentation_scores, atol=1e-4, rtol=0)


def test_classes_can_be_picked_by_number(tmp_path) -> None:
    model, _ = read_hugging_face(saved(tmp_path, segformer()))
    with torch.no_grad():
        before = model(normalise(IMAGE))
        take_classes(model, None, (3, None, 0))
        after = model(normalise(IMAGE))
    assert model.num_classes == 3 and torch.equal(after[:, [0, 2]], before[:, [3, 0]])
    assert bool((after.argmax(dim=1) != 1).all())


def test_norms_can_be_adapted_and_replicas_share_the_rest(tmp_path) -> None:
    model = build_model(saved(tmp_path, segformer()), num_classes=4)
    report = set_trainable(model, "norm")
    twin = replica(model)
    shared = [a.data_ptr() == b.data_ptr() for a, b in zip(model.parameters(), twin.parameters(), strict=True)]
    assert 0 < report.trainable < report.total and sum(not same for same in shared) == len(report.names)


@pytest.mark.parametrize("damage", ["none", "no weights", "pickle", "no config", "text"])
def test_what_cannot_be_loaded_is_refused_in_one_line(tmp_path, damage) -> None:
    name = saved(tmp_path, segformer())
    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    match damage:
        case "no weights":
            weights.unlink()
        case "pickle":
            weights.unlink()
            torch.save(segformer().state_dict(), tmp_path / "pytorch_model.bin")
        case "no config":
            config.unlink()
        case "text":
            config.write_text("not json")
    with pytest.raises(ModelUnsuitable) as caught:
        build_model(name, num_classes=19)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(name)
    if damage == "none":
        assert "has 4 classes (road, ...), expected 19" in str(caught.value)
