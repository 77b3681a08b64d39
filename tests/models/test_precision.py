"""Precision: chosen by what the hardware has, taken over by replicas, near float32 in what it answers."""

from pathlib import Path

import pytest
import torch

from models.checkpoint import load_model
from models.precision import answering, chosen_precision, has_bfloat16
from models.preprocess import labels_of, normalise, to_tensor
from models.trainable import replica
from models.zoo import build_model
from streams.synthetic.scene import Scene

CPU = torch.device("cpu")


def test_a_cpu_is_asked_whether_it_has_the_instructions() -> None:
    """Linux's own list of what the processor has."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        pytest.skip("the processor's features are not in /proc")
    words = set(path.read_text(encoding="utf-8", errors="replace").split())
    assert has_bfloat16(CPU) == bool(words & {"avx512_bf16", "amx_bf16"})


def test_auto_takes_what_the_hardware_has_and_a_name_is_obeyed() -> None:
    assert chosen_precision("auto", CPU) == (torch.bfloat16 if has_bfloat16(CPU) else torch.float32)
    assert chosen_precision("fp32", CPU) == torch.float32
    assert chosen_precision("bf16", CPU) == torch.bfloat16


def test_answers_in_bfloat16_name_the_classes_of_float32() -> None:
    model = load_model("segformer_b0_synthetic", model="segformer_b0")[0].eval()
    x_B3HW = normalise(to_tensor(Scene(seed=3, size_HW=(64, 128)).render(0).image_HWC)[None])
    with torch.no_grad():
        exact = model(x_B3HW)
        model.answers_in = torch.bfloat16
        with answering(replica(model), CPU):
            rounded = replica(model)(x_B3HW)
    assert rounded.dtype == torch.bfloat16
    same = labels_of(exact, (64, 128)) == labels_of(rounded.float(), (64, 128))
    assert same.float().mean() >= 0.99


def test_a_model_that_answers_in_float32_is_left_alone() -> None:
    model = build_model("segformer_b0", num_classes=4)
    with answering(model, CPU):
        assert not torch.is_autocast_enabled("cpu")
    model.answers_in = torch.bfloat16
    with answering(model, CPU):
        assert torch.is_autocast_enabled("cpu")
        assert not torch.is_autocast_cache_enabled()


def test_gradients_do_not_depend_on_what_answers_are_given_in() -> None:
    gradients = []
    for precision in (torch.float32, torch.bfloat16):
        torch.manual_seed(0)
        model = build_model("segformer_b0", num_classes=4).eval()
        model.answers_in = precision
        model(torch.ones(1, 3, 32, 32)).square().mean().backward()
        gradients.append(model.head.classifier.weight.grad)
    assert torch.equal(*gradients)
