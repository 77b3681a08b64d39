import pytest
import torch

from benchmarks import peers
from benchmarks.conditions import compute_device
from benchmarks.forwards import default_ways, peak_bytes, ways_to_run
from benchmarks.inference import InferenceConfig, forward_times, times_table
from models.precision import has_bfloat16
from models.zoo import build_model
from runtime.option_words import ConfigError

CPU = compute_device("cpu")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_model("segformer_b0", num_classes=19).eval()


def test_both_networks_agree_on_the_same_weights(model, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    if peers.hugging_face(model) is None:
        pytest.skip("transformers is not installed")
    config = InferenceConfig(rounds=1, warmup=0, ways="fp32,nchw")
    ours, turned, theirs = forward_times(model, "64x64", config=config, device=CPU)
    assert (ours.way, turned.way, theirs.way) == ("fp32", "nchw", "HF fp32")
    assert ours.agreement > 0.999 and ours.largest_difference < 1e-3
    least, most = (0.95, 0.1) if has_bfloat16(CPU) else (0.999, 1e-3)  # cores that have it compute that way in it
    assert turned.agreement > least and turned.largest_difference < most
    assert theirs.speedup is None and theirs.peak_mib > 0
    table = times_table([ours, theirs])
    assert table.rows[0][0] == "segformer_b0 64x64 fp32"
    assert table.rows[0][1] == "3,719,027"


@pytest.mark.parametrize("name", ["timm:convnext_atto", "timm:swin_tiny_patch4_window7_224"])
def test_a_network_of_timm_gives_what_timm_and_the_published_head_give(name):
    """Swin too, which timm builds for one size unless told otherwise."""
    model = build_model(name, num_classes=5).eval()
    config = InferenceConfig(models=name, rounds=1, warmup=0, ways="fp32")
    ours, theirs = forward_times(model, "64x64", config=config, device=CPU)
    assert theirs.way == "timm fp32"
    assert ours.largest_difference < 1e-3
    assert ours.agreement > 0.99


def test_bfloat16_is_near_and_not_the_same(model):
    x = torch.randn(1, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        exact, rounded = (way() for way in ways_to_run(model, x, names=("fp32", "bf16")).values())
    difference = (exact - rounded).abs().max()
    assert rounded.dtype == torch.float32
    assert 0 < difference < 0.1 * exact.abs().max()


def test_ways_by_default_are_those_the_device_is_quick_in():
    assert default_ways(CPU) == (("fp32", "bf16") if has_bfloat16(CPU) else ("fp32",))


def test_a_graph_needs_a_gpu(model):
    with pytest.raises(ConfigError, match="--ways graph: CUDA graphs need --device cuda"):
        ways_to_run(model, torch.zeros(1, 3, 32, 32), names=("graph",))


def test_peak_memory_counts_what_is_held_at_a_time():
    def one_after_the_other():
        torch.zeros(1 << 18)
        return torch.zeros(1 << 18)

    def together():
        kept = torch.zeros(1 << 18)
        return torch.zeros(1 << 18) + kept

    assert peak_bytes(one_after_the_other, CPU) == pytest.approx(1 << 20, rel=0.01)
    assert peak_bytes(together, CPU) == pytest.approx(3 << 20, rel=0.01)


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


@pytest.mark.parametrize(
    ("options", "words"),
    [({"models": "segformer_b9"}, "'segformer_b9' is not known"), ({"ways": "fp16"}, "'fp16' is not known")],
)
def test_what_cannot_be_run_is_refused_in_a_line(options, words):
    with pytest.raises(ConfigError, match=words):
        InferenceConfig(**options)
