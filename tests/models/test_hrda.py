"""HRDA around any model: what is fused is what the model itself answers for the halved image and for windows of it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.adapters import AdapterConfig, attach_adapters
from models.class_rows import take_classes
from models.encoder import ModelUnsuitable, of_whole_images
from models.hrda import HrdaEncoder, fused, hrda_of
from models.supervision import supervised_loss
from models.trainable import set_trainable
from models.zoo import build_model, is_imported
from tests.models.timm_samples import CONVNEXT, PVT, RESNET, SWIN, VIT, image, sample

SEGFORMER = "segformer_b0"


def within(name, *, trust=None):
    """A model within HRDA and the model itself, one set of weights; `trust` fixes the logit of attention."""
    torch.manual_seed(0)
    plain = build_model(name, num_classes=5) if ":" not in name else sample(name)
    model = hrda_of(f"hrda:{name}", plain).eval()
    if trust is not None:
        torch.nn.init.zeros_(model.head.attention.classifier.weight)
        torch.nn.init.constant_(model.head.attention.classifier.bias, trust)
    return model, plain.eval()


def upsampled(map_BCHW, size_HW):
    return F.interpolate(map_BCHW, size=size_HW, mode="bilinear", align_corners=False)


def test_without_trust_in_details_the_halved_image_alone_is_answered() -> None:
    model, plain = within(SEGFORMER, trust=-1e4)
    x = image(96, 128)
    with torch.no_grad():
        torch.testing.assert_close(model(x), upsampled(plain(upsampled(x, (48, 64))), (24, 32)))


def test_with_full_trust_every_pixel_is_the_mean_of_the_windows_that_show_it() -> None:
    """Nine windows of half the sides, a quarter of the sides apart."""
    model, plain = within(SEGFORMER, trust=1e4)
    x, total, number = image(96, 128), np.zeros((5, 24, 32)), np.zeros((24, 32))
    with torch.no_grad():
        answered = model(x)
        for top in (0, 24, 48):
            for left in (0, 32, 64):
                rows, columns = slice(top // 4, top // 4 + 12), slice(left // 4, left // 4 + 16)
                total[:, rows, columns] += plain(x[:, :, top : top + 48, left : left + 64])[0].numpy()
                number[rows, columns] += 1
    assert (number.min(), number.max()) == (1, 4)
    torch.testing.assert_close(answered[0].double(), torch.from_numpy(total / number), atol=1e-4, rtol=1e-4)


def test_fusion_is_the_papers_formula() -> None:
    """Where maps are constant: (1 - 0.25) 2 + 0.25 * 6 = 3."""
    context, details, a = torch.full((1, 2, 3, 4), 2.0), torch.full((1, 2, 6, 8), 6.0), torch.full((1, 2, 3, 4), 0.25)
    torch.testing.assert_close(fused(context, details, a), torch.full((1, 2, 6, 8), 3.0))


def test_attention_is_asked_by_class_and_pixel_of_the_context_alone() -> None:
    model, plain = within(SEGFORMER)
    x = image(96, 128)
    with torch.no_grad():
        expected = model.head.attention(plain.encoder(upsampled(x, (48, 64)))).sigmoid()
        logits = model.head.base(model.encoder(x)).unflatten(0, (1, 10))
        details = within(SEGFORMER, trust=1e4)[0](x)
        answered = upsampled((1 - expected) * logits[:, 0], (24, 32)) + upsampled(expected, (24, 32)) * details
        torch.testing.assert_close(model(x), answered, atol=1e-5, rtol=1e-4)
    assert expected.shape == (1, 5, 12, 16) and expected.std() > 0


def test_a_step_of_training_sees_one_detail_and_its_part_of_the_labels() -> None:
    """Weights 0.9 and 0.1; the detail's place is drawn anew and known from its picture alone."""
    model, plain = within(SEGFORMER, trust=1e4)
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(2, 3, 128, 192, generator=generator)
    labels = torch.randint(0, 5, (2, 128, 192), generator=generator)
    places = set()
    for _ in range(6):
        with torch.no_grad():
            whole, detail = model.supervised(x)
            (top, left), (h, w) = detail.corner, detail.logits_BKhw.shape[-2:]
            places.add((top, left))
            crop = x[:, :, 4 * top : 4 * (top + h), 4 * left : 4 * (left + w)]
            torch.testing.assert_close(detail.logits_BKhw, plain(crop), atol=1e-4, rtol=1e-4)
            inner = whole.logits_BKhw[:, :, top + 2 : top + h - 2, left + 2 : left + w - 2]
            torch.testing.assert_close(inner, plain(crop)[:, :, 2:-2, 2:-2], atol=1e-4, rtol=1e-4)
            of_detail = F.cross_entropy(plain(crop), labels[:, 2::4, 2::4][:, top : top + h, left : left + w])
            of_whole = F.cross_entropy(whole.logits_BKhw, labels[:, 2::4, 2::4])
            torch.testing.assert_close(supervised_loss([whole, detail], labels), 0.9 * of_whole + 0.1 * of_detail)
    assert {top for top, _ in places} <= {0, 4, 8, 12, 16} and len(places) > 2


def test_outside_of_the_detail_the_context_answers_whatever_attention_says() -> None:
    model, plain = within(SEGFORMER, trust=1e4)
    x = image(128, 128)
    with torch.no_grad():
        features = plain.encoder(torch.cat([upsampled(x, (64, 64)), x[:, :, :64, :64]]))
        whole, _ = model.head.supervised_with_one_detail(features, (0.0, 0.0))
        context = upsampled(plain(upsampled(x, (64, 64))), (32, 32))
    torch.testing.assert_close(whole.logits_BKhw[:, :, 18:], context[:, :, 18:], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(whole.logits_BKhw[:, :, :, 18:], context[:, :, :, 18:], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "stride"),
    [
        *((name, 4) for name in (SEGFORMER, "daformer_b0", "knet_b0", SWIN, CONVNEXT, PVT, RESNET)),
        ("timm:test_resnet+deeplabv3plus", 4),
        ("timm:test_resnet+deeplabv2", 8),
        ("timm:test_vit+upernet", 4),
        (VIT, 16),
    ],
)
def test_it_serves_any_encoder_with_any_head(name, stride) -> None:
    """Full-size answers, every parameter learning, and what attention says of each image its own."""
    model, _ = within(name)
    x = torch.cat([image(128, 192), image(128, 192).flip(3)])
    with torch.no_grad():
        both = model(x)
        torch.testing.assert_close(both[1:], model(x[1:]), atol=1e-4, rtol=1e-3)
    assert both.shape == (2, model.num_classes, 128 // stride, 192 // stride)
    model.train()
    torch.autograd.backward(supervised_loss(model.supervised(x), torch.zeros(2, 128, 192, dtype=torch.long)))
    without = {key for key, parameter in model.head.attention.named_parameters() if parameter.grad is None}
    assert without == set() and any(parameter.grad is not None for parameter in model.encoder.parameters())


@pytest.mark.parametrize("kind", ["adaptformer", "lora", "ssf"])
@pytest.mark.parametrize("name", [SEGFORMER, VIT])
def test_adapters_go_into_the_stages_asked_for(name, kind) -> None:
    model, _ = within(name)
    x = image(64, 64)
    with torch.no_grad():
        before = model(x)
        attach_adapters(model, AdapterConfig(kind, stages=(3,)), generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(model(x), before, atol=1e-4, rtol=1e-3)
    report = set_trainable(model, "adapters+head")
    learns = {model.encoder.stage_of(key.removeprefix("encoder.")) for key in report.names if ".adapter." in key}
    assert learns == {2} and any(key.startswith("head.attention.") for key in report.names)


def test_stages_go_on_from_the_maps_of_all_views() -> None:
    model, _ = within(SEGFORMER)
    with torch.no_grad():
        whole = model.encoder(image(64, 96))
        first = model.encoder.run_stages(image(64, 96), stop=2)
        rest = model.encoder.run_stages(first[-1], start=2)
    assert all(torch.equal(a, b) for a, b in zip([*first, *rest], whole, strict=True))


def test_maps_of_whole_images_are_those_of_the_halved_ones() -> None:
    model, plain = within(SEGFORMER)
    x = torch.cat([image(64, 96), image(64, 96).flip(2)])
    with torch.no_grad():
        expected = plain.encoder(upsampled(x, (32, 48)))[-1]
        torch.testing.assert_close(of_whole_images(model.encoder(x)[-1], 2), expected, atol=1e-5, rtol=1e-4)
        assert torch.equal(of_whole_images(expected, 2), expected)


@pytest.mark.parametrize(
    ("name", "size", "fitted"),
    [
        (SEGFORMER, (180, 240), (192, 256)),
        (SEGFORMER, (512, 1024), (512, 1024)),
        (SEGFORMER, (32, 65), (64, 96)),
        (VIT, (180, 240), (192, 256)),
        ("timm:vit_small_patch14_dinov2", (180, 240), (224, 280)),
    ],
)
def test_sides_are_stretched_so_that_windows_lie_on_the_grid(name, size, fitted) -> None:
    assert HrdaEncoder(build_model(name, num_classes=2).encoder).fitted(size) == fitted


def test_a_network_that_takes_one_size_is_shown_every_view_at_that() -> None:
    torch.manual_seed(0)
    model = build_model("hrda:timm:convit_tiny", num_classes=2).eval()
    with torch.no_grad():
        assert model(image(64, 96)).shape == (1, 2, 28, 28)
    assert model.encoder.fitted((64, 90)) == (64, 96)


def test_attention_has_the_parameters_of_daformers_smallest_decoder() -> None:
    """256 (64 + 128 + 320 + 512) + 4 * 256 in embeddings, 1024 * 256 + 512 in their fusion, 19 * 257 after it."""
    with torch.device("meta"):
        model, plain = build_model("hrda:daformer_b5", num_classes=19), build_model("daformer_b5", num_classes=19)
    added = sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in plain.parameters())
    assert added == 256 * 1024 + 4 * 256 + 1024 * 256 + 512 + 19 * 257 == 530_707


def test_classes_are_taken_of_what_is_fused() -> None:
    model, _ = within(SEGFORMER)
    x = image(64, 96)
    with torch.no_grad():
        before = model(x)
        take_classes(model, None, (2, None, 0))
        after = model(x)
    assert model.num_classes == after.shape[1] == 3 and not (after.argmax(dim=1) == 1).any()
    assert torch.equal(after[:, [0, 2]], before[:, [2, 0]])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hrda:segformer-b1", "nearest: .*hrda:segformer_b1"),
        ("hrda:hamlet_b0", "no place for a light decoder; use hrda:segformer_b0"),
        ("hrda:hf:some/folder", "needs an encoder and a head that are known here"),
        ("hrda:hrda:segformer_b0", "needs an encoder and a head that are known here"),
        ("hrda:no_such_module:make", "needs an encoder and a head that are known here"),
        ("hrda:timm:no_such_net", "timm has no such model"),
    ],
)
def test_what_has_no_encoder_and_head_of_ours_is_refused_in_one_line(name, message) -> None:
    with pytest.raises(ModelUnsuitable, match=message) as caught:
        build_model(name, num_classes=3)
    assert "\n" not in str(caught.value) and not is_imported(name)
