"""DAFormer's files: its heads, written here a second time on Hugging Face's features, give the converted logits."""

import pytest
import torch

from models.checkpoint import load_into
from models.conversion import convert
from models.self_test import self_test
from models.weightfile import read_weights
from models.zoo import build_model
from tests.models import foreign
from tests.models.daformer_heads import K, answer, aspp, head_of, interlaced

X = torch.randn(1, 3, 72, 104, generator=torch.Generator().manual_seed(1))  # no multiple of 32: attention pads


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch):
    return foreign.hugging_face(foreign.library(monkeypatch))


@pytest.mark.parametrize(
    ("fusion", "fuse", "model"), [("sepaspp", aspp, "daformer_b0"), ("isa", interlaced, "daformer_isa_b0")]
)
def test_daformers_own_heads_are_read(tmp_path, theirs, fusion, fuse, model) -> None:
    head = head_of(fusion, theirs.config.hidden_sizes)
    with torch.no_grad():
        features = theirs.segformer(X, output_hidden_states=True).hidden_states
        expected = answer(head, features, fuse)
    encoder = {n: t for n, t in foreign.to_original(theirs.state_dict()).items() if n.startswith("backbone.")}
    run = encoder | {f"decode_head.{name}": tensor for name, tensor in head.items()}
    torch.save({"state_dict": {f"model.{name}": tensor for name, tensor in run.items()}}, tmp_path / "run.pth")
    conversion = convert(read_weights(tmp_path / "run.pth"))
    assert conversion.model == model and conversion.report.layout == "DAFormer"
    ours = build_model(model, num_classes=K).eval()
    load_into(ours, conversion.state)
    with torch.no_grad():
        torch.testing.assert_close(ours(X), expected, rtol=1e-4, atol=1e-4)
    assert self_test(conversion) < 1e-5
