"""The ways back to the source: how many weights return, and how far the rest is pulled."""

import pytest
import torch

from models.trainable import adaptable_tensors
from runtime.adaptation.anchoring import merge_to_source, stochastic_restore
from runtime.adaptation.components import COMPONENTS
from runtime.option_words import ConfigError
from tests.runtime.adaptation.samples import make_student, materials


def weights(value: float, num: int = 200_000) -> dict[str, torch.Tensor]:
    return {"a": torch.full((num,), value), "b": torch.full((3, 4), value)}


def restored_share(probability: float, seed: int = 0) -> float:
    live = weights(2.0)
    generator = torch.Generator().manual_seed(seed)
    stochastic_restore(live, weights(1.0), probability=probability, generator=generator)
    assert set(live["a"].unique().tolist()) <= {1.0, 2.0}
    return float((live["a"] == 1.0).float().mean())


def test_one_weight_in_a_hundred_returns() -> None:
    # five standard deviations of a binomial share: sqrt(0.01 x 0.99 / 200000) = 2.2e-4
    assert restored_share(0.01) == pytest.approx(0.01, abs=1.1e-3)
    assert (restored_share(0.0), restored_share(1.0)) == (0.0, 1.0)


def test_each_step_draws_anew() -> None:
    """After n steps (1 - p)^n of the weights were never restored."""
    live, generator = weights(2.0), torch.Generator().manual_seed(3)
    for _ in range(20):
        stochastic_restore(live, weights(1.0), probability=0.05, generator=generator)
    assert float((live["a"] == 2.0).float().mean()) == pytest.approx(0.95**20, abs=0.006)


def test_restoring_follows_the_generator() -> None:
    assert restored_share(0.3, seed=1) == restored_share(0.3, seed=1) != restored_share(0.3, seed=2)


def test_merging_takes_a_share_of_the_source() -> None:
    live = weights(2.0)
    merge_to_source(live, weights(1.0), keep=0.99)
    assert all(torch.allclose(tensor, torch.tensor(1.99)) for tensor in live.values())


def test_constant_steps_are_bounded_by_the_pull() -> None:
    """w <- keep (w + d) + (1 - keep) w0 settles at w0 + d keep / (1 - keep): 9 steps away for keep 0.9."""
    live = weights(1.0)
    for _ in range(200):
        for tensor in live.values():
            tensor += 0.1
        merge_to_source(live, weights(1.0), keep=0.9)
    assert all(torch.allclose(tensor, torch.tensor(1.9)) for tensor in live.values())


def test_what_is_at_the_source_stays_there_exactly() -> None:
    live = {"a": torch.randn(100, generator=torch.Generator().manual_seed(0))}
    source = {"a": live["a"].clone()}
    merge_to_source(live, source, keep=0.99)
    stochastic_restore(live, source, probability=0.5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(live["a"], source["a"])


@pytest.mark.parametrize(("name", "distance"), [("merge", 0.99), ("restore", None)])
def test_joined_to_a_method_they_act_after_every_step(name: str, distance: float | None) -> None:
    """Every weight being 1 beyond the source: merged it is 0.99 beyond, restored one in a hundred is not."""
    student = make_student()
    given = materials(student)
    rule = COMPONENTS[name].rule
    assert rule is not None
    source, live = adaptable_tensors(given.frozen), adaptable_tensors(student)
    with torch.no_grad():
        for tensor in live.values():
            tensor.add_(1.0)
    rule(given, COMPONENTS[name].weight).settle(student)
    moved = torch.cat([(live[key] - source[key]).flatten() for key in source])
    if distance is not None:
        assert torch.allclose(moved, torch.tensor(distance), atol=1e-5)
    else:
        assert float((moved == 0.0).float().mean()) == pytest.approx(0.01, abs=1e-3)


def test_more_than_all_of_the_way_is_refused() -> None:
    rule = COMPONENTS["merge"].rule
    assert rule is not None
    with pytest.raises(ConfigError, match="--with merge=2: expected a share"):
        rule(materials(make_student()), 2.0)
