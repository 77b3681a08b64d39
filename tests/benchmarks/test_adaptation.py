import pytest

from benchmarks.adaptation import LEARNING, LEARNING_LEVELS, AdaptationBenchConfig, cost_table, level_table, step_cost
from benchmarks.conditions import compute_device
from runtime.adaptation.methods import METHODS
from runtime.config import ConfigError

PACED = {"hamlet", "hamlet_released"}  # rest until they have seen a change, and the table says so


@pytest.mark.parametrize("method", LEARNING)
def test_a_step_of_every_method_is_measured_in_forwards(method):
    config = AdaptationBenchConfig(rounds=2, warmup=0)
    cost = step_cost(config, "segformer_b0", "64x64", method, device=compute_device("cpu"))
    assert sum(cost.outcomes.values()) == 2 * len(LEARNING_LEVELS)
    judged = {"applied", "refused_guard"} if METHODS[method].recipe.policy == "guarded" else {"applied"}
    assert set(cost.outcomes) <= ({"skipped"} if method in PACED else judged)  # random weights are easily taught wrong
    assert cost.in_forwards.num == 2
    assert cost.step_ms.p50 > 0
    assert cost.trainable > 0
    (row,) = cost_table([cost]).rows
    assert row[0] == f"segformer_b0 64x64 {method} ({METHODS[method].track})"
    assert row[-1] == f"{cost.outcomes.get('applied', 0)} of 8"
    levels = level_table([cost]).rows
    assert [row[1] for row in levels] == ["full", "rate", "crop", "depth"]
    assert levels[0][2:] == ("1.00", "1.00", "1.00")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"methods": "frozen"}, "'frozen' is not known"),
        ({"models": "segformer_b9"}, "'segformer_b9' is not known; nearest: segformer_b"),
        ({"sizes": "64x64,7"}, "--size 7"),
        ({"rounds": 0}, "--rounds 0: expected 1 or more"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_line(options, words):
    with pytest.raises(ConfigError, match=words):
        AdaptationBenchConfig(**options)
