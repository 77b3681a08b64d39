"""HRDA's and MIC's files: their fusion, written here a second time on Hugging Face's features, gives our logits."""

import pytest
import torch
import torch.nn.functional as F

from models.checkpoint import load_into
from models.conversion import convert, inspect
from models.export import exported
from models.layouts import LAYOUTS
from models.self_test import self_test
from models.tensorfile import CheckpointInvalid
from models.weightfile import read_weights
from models.zoo import build_model
from tests.models import foreign
from tests.models.daformer_heads import K, answer, aspp, head_of, one_convolution

HEIGHT, WIDTH = 128, 192
X = torch.randn(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
HEADS = {"sepaspp": (aspp, "hrda:daformer_b0"), "conv1": (one_convolution, "hrda:segformer_b0")}


@pytest.fixture(scope="module")
def theirs():
    with pytest.MonkeyPatch.context() as patch:
        yield foreign.hugging_face(foreign.library(patch)).eval()


def run_of(theirs, head, attention, *, network="model."):
    """A training run's tensors as HRDA saves them."""
    encoder = {n: t for n, t in foreign.to_original(theirs.state_dict()).items() if n.startswith("backbone.")}
    parts = {"decode_head.head.": head, "decode_head.scale_attention.": attention}
    run = encoder | {stem + name: tensor for stem, part in parts.items() for name, tensor in part.items()}
    return {network + name: tensor for name, tensor in run.items()}


def written(folder, tensors):
    torch.save({"state_dict": tensors}, folder / "hrda.pth")
    return read_weights(folder / "hrda.pth")


def heads_of(theirs, fusion):
    """The network's head, and one that reads how far details are to be believed."""
    head, attention = (head_of(which, theirs.config.hidden_sizes) for which in (fusion, "conv1"))
    return head, {name: 0.5 * tensor if name.startswith("conv_seg") else tensor for name, tensor in attention.items()}


@torch.no_grad()
def expected_logits(theirs, head, attention, fuse):
    """Window by window, each padded to the whole image, as their decoder adds details up."""
    def features(image):
        return theirs.segformer(image, output_hidden_states=True).hidden_states

    h, w = HEIGHT // 2, WIDTH // 2
    of_context = features(F.interpolate(X, size=(h, w), mode="bilinear", align_corners=False))
    said = torch.sigmoid(answer(attention, of_context, one_convolution))
    details, counts = torch.zeros(1, K, HEIGHT // 4, WIDTH // 4), torch.zeros(1, 1, HEIGHT // 4, WIDTH // 4)
    for top in range(0, h + 1, h // 2):
        for left in range(0, w + 1, w // 2):
            logits = answer(head, features(X[:, :, top : top + h, left : left + w]), fuse)
            around = (left // 4, (w - left) // 4, top // 4, (h - top) // 4)
            details += F.pad(logits, around)
            counts += F.pad(torch.ones(1, 1, h // 4, w // 4), around)

    def up(image):
        return F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)

    return up(said) * details / counts + up((1 - said) * answer(head, of_context, fuse))


@pytest.mark.parametrize("fusion", HEADS)
def test_a_published_network_answers_here_as_there(tmp_path, theirs, fusion) -> None:
    head, attention = heads_of(theirs, fusion)
    fuse, model = HEADS[fusion]
    conversion = convert(written(tmp_path, run_of(theirs, head, attention)))
    assert (conversion.model, conversion.num_classes, conversion.report.layout) == (model, K, "HRDA")
    ours = build_model(model, num_classes=K).eval()
    load_into(ours, conversion.state)
    with torch.no_grad():
        torch.testing.assert_close(
            ours(X), expected_logits(theirs, head, attention, fuse), rtol=1e-4, atol=1e-4
        )
    assert self_test(conversion) < 1e-5


def test_fusions_left_in_their_order_are_found_by_the_self_test(tmp_path, theirs) -> None:
    conversion = convert(written(tmp_path, run_of(theirs, *heads_of(theirs, "conv1"))))
    turned = {n for n in conversion.report.rearranged.permuted}
    assert turned == {"head.base.linear_fuse.weight", "head.attention.linear_fuse.weight"}
    for name in turned:
        original = conversion.state[name]
        conversion.state[name] = torch.cat(original.chunk(4, dim=1)[::-1], dim=1)
        with pytest.raises(CheckpointInvalid, match="answers otherwise"):
            self_test(conversion)
        conversion.state[name] = original


def test_other_classes_draw_both_classifiers_and_nothing_else(tmp_path, theirs) -> None:
    file = written(tmp_path, run_of(theirs, *heads_of(theirs, "sepaspp")))
    conversion = convert(file, num_classes=11)
    leaves = ("base.classifier", "attention.classifier")
    assert set(conversion.report.drawn) == {f"head.{leaf}.{kind}" for leaf in leaves for kind in ("weight", "bias")}
    load_into(build_model(conversion.model, num_classes=11), conversion.state)


def test_a_network_without_its_attention_is_refused(tmp_path, theirs) -> None:
    head, _ = heads_of(theirs, "sepaspp")
    file = written(tmp_path, run_of(theirs, head, {}))
    assert any(name.startswith("head.attention.") for name in inspect(file).missing)
    with pytest.raises(CheckpointInvalid, match="missing"):
        convert(file)


def test_it_comes_back_as_it_was(tmp_path, theirs) -> None:
    run = run_of(theirs, *heads_of(theirs, "conv1"), network="")
    back = exported(convert(written(tmp_path, run)).state, LAYOUTS["hrda"])
    kept = {name: tensor for name, tensor in run.items() if not name.startswith("backbone.head")}
    assert back.keys() == kept.keys()
    assert all(torch.equal(back[name].reshape(tensor.shape), tensor) for name, tensor in kept.items())
