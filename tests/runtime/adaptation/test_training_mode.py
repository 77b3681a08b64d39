"""Training mode is the generator's alone, moves batch norms where they may, and ends."""

import pytest
import torch

from models.adapters import AdapterConfig, attach_adapters
from models.trainable import adaptable_tensors, set_trainable
from models.zoo import build_model
from runtime.adaptation.training_mode import in_training_mode

X_B3HW = torch.linspace(-1, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32)


def model_in(mode: str) -> torch.nn.Module:
    torch.manual_seed(0)
    model = attach_adapters(build_model("segformer_b0", num_classes=4), AdapterConfig(stages=(4,))).eval()
    set_trainable(model, mode)
    return model


def answer(model: torch.nn.Module, seed: int) -> torch.Tensor:
    with in_training_mode(model, torch.Generator().manual_seed(seed)):
        return model(X_B3HW).detach()


@pytest.mark.parametrize("mode", ["full", "adapters+head"])
def test_chance_follows_the_generator_and_leaves_the_global_one_alone(mode: str) -> None:
    before = torch.get_rng_state()
    answers = [answer(model_in(mode), seed) for seed in (1, 1, 2)]
    assert torch.equal(answers[0], answers[1]) and not torch.equal(answers[0], answers[2])
    torch.set_rng_state(before)
    model = model_in(mode)
    state = torch.get_rng_state()
    answer(model, 3)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("mode", "moves"), [("full", True), ("adapters+head", False), ("norm", False)])
def test_batch_norms_move_where_everything_learns(mode: str, moves: bool) -> None:
    model = model_in(mode)
    running = model.head.bn.running_mean.clone()
    answer(model, 0)
    assert torch.equal(model.head.bn.running_mean, running) != moves
    if moves:
        assert "head.bn.running_mean" in adaptable_tensors(model)


def test_eval_mode_is_back_even_after_an_error() -> None:
    model = model_in("full")
    with pytest.raises(RuntimeError), in_training_mode(model, torch.Generator()):
        assert model.head.dropout.training and model.encoder.stages[3].blocks[1].drop_path.training
        raise RuntimeError
    assert not any(module.training for module in model.modules())
