import pytest

from benchmarks.adaptation import AdaptationBenchConfig, cost_table, level_table, step_costs
from benchmarks.conditions import compute_device
from benchmarks.learning_steps import MEASURED, parse_stage_ranges
from runtime.option_words import ConfigError

PACED = {"hamlet", "hamlet_released"}  # rest until they have seen a change, and the table says so
CPU = compute_device("cpu")


@pytest.mark.parametrize("method", MEASURED)
def test_a_step_of_every_method_is_measured_in_forwards(method):
    config = AdaptationBenchConfig(methods=method, rounds=2, warmup=0)
    (cost,) = step_costs(config, "segformer_b0", "64x64", device=CPU)
    assert sum(cost.outcomes.values()) == 2
    judged = {"applied", "refused_guard"} if MEASURED[method].recipe.policy == "guarded" else {"applied"}
    assert set(cost.outcomes) <= ({"skipped"} if method in PACED else judged)  # random weights are easily taught wrong
    assert cost.in_forwards.num == 2
    assert cost.step_ms.p50 > 0
    assert cost.trainable > 0
    (row,) = cost_table([cost]).rows
    assert row[0] == f"segformer_b0 64x64 {method} ({MEASURED[method].track})"
    assert row[-1] == f"{cost.outcomes.get('applied', 0)} of 2"
    assert ("computed once and kept for all rounds" in cost_table([cost]).note) == (method == "prefixed")


@pytest.mark.parametrize("method", ["styled", "dacs"])
def test_levels_of_effort_are_held_against_the_full_one(method):
    config = AdaptationBenchConfig(methods=method, efforts="rate,crop,depth", rounds=1, warmup=0)
    (cost,) = step_costs(config, "segformer_b0", "64x64", device=CPU)
    assert sum(cost.outcomes.values()) == 4
    levels = level_table([cost]).rows
    assert [row[1] for row in levels] == ["full", "rate", "crop", "depth"]
    assert levels[0][2:] == ("1.00", "1.00", "1.00")


def test_steps_are_held_against_full_dacs_in_the_same_rounds():
    config = AdaptationBenchConfig(methods="styled,dacs,dacs_whole", stages="1-4,4", rounds=1, warmup=0)
    all_stages, last, published, whole = step_costs(config, "segformer_b0", "32x64", device=CPU)
    assert last.trainable < all_stages.trainable < published.trainable == whole.trainable == 3_719_027
    assert last.name.endswith("styled (source-replay), stages 4")
    assert published.over["dacs"].p50 == whole.over["dacs_whole"].p50 == 1.0
    expected = all_stages.step_ms.p50 / whole.step_ms.p50
    assert all_stages.over["dacs_whole"].p50 == pytest.approx(expected)


def test_steps_of_a_head_whose_classifier_lies_within_are_measured():
    config = AdaptationBenchConfig(models="knet_b0", methods="dacs", rounds=1, warmup=0)
    (cost,) = step_costs(config, "knet_b0", "64x64", device=CPU)
    assert cost.outcomes == {"applied": 1}, "answers are sure enough to be learnt from"


def test_ranges_of_stages():
    assert parse_stage_ranges("1-4,3-4,4") == ["1-4", "3-4", "4"]
    for text in ("", "5", "4-3", "1-", "0-4", "1-4-4", "1, 2"):
        with pytest.raises(ConfigError, match="--stages"):
            parse_stage_ranges(text)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"methods": "frozen"}, "'frozen' is not known"),
        ({"models": "segformer_b9"}, "'segformer_b9' is not known; nearest: segformer_b"),
        ({"sizes": "64x64,7"}, "--size 7"),
        ({"efforts": "off"}, "'off' is not known"),
        ({"rounds": 0}, "--rounds 0: expected 1 or more"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_line(options, words):
    with pytest.raises(ConfigError, match=words):
        AdaptationBenchConfig(**options)
