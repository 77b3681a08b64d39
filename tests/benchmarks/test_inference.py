import pytest
import torch

from benchmarks import peers
from benchmarks.conditions import compute_device
from benchmarks.inference import InferenceConfig, forward_times, times_table
from models.zoo import build_model


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_model("segformer_b0", num_classes=19).eval()


def test_both_networks_agree_on_the_same_weights(model, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    if peers.hugging_face(model) is None:
        pytest.skip("transformers is not installed")
    config = InferenceConfig(rounds=1, warmup=0)
    times = forward_times(model, "64x64", config=config, device=compute_device("cpu"))
    assert times.agreement > 0.99
    assert times.largest_difference < 1e-3
    assert times_table([times]).rows[0][1] == "3,719,027"


def test_keys_and_values_become_two_of_their_tensors():
    kv = torch.arange(8.0).reshape(4, 2)
    ours = {"encoder.stages.0.blocks.1.attn.kv.weight": kv, "head.classifier.bias": torch.zeros(1)}
    names = [f"segformer.encoder.block.0.1.attention.self.{part}.weight" for part in ("key", "value")]
    state = peers.their_state(ours, [*names, "decode_head.classifier.bias"])
    assert torch.equal(state[names[0]], kv[:2])
    assert torch.equal(state[names[1]], kv[2:])


def test_a_tensor_that_nothing_stands_for_is_named():
    with pytest.raises(KeyError, match=r"head\.extra"):
        peers.their_state({}, ["decode_head.extra"])
