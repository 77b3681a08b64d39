"""The ladder of effort goes down step by step and ends at nothing."""

from itertools import pairwise

import pytest

from runtime.effort import FULL, LEVELS, Effort


def frames_per_step(effort: Effort) -> float:
    return effort.frames_per_step or float("inf")


def test_each_level_keeps_what_was_given_up_and_gives_up_more() -> None:
    for more, less in pairwise(LEVELS):
        assert frames_per_step(less) >= frames_per_step(more)
        assert less.crop_share <= more.crop_share
        assert (less.depth == "head") >= (more.depth == "head")
        assert less != more


def test_the_ladder_goes_from_everything_to_nothing_by_names() -> None:
    assert LEVELS[0] is FULL and (FULL.frames_per_step, FULL.crop_share, FULL.depth) == (1, 1.0, "all")
    assert [effort.name for effort in LEVELS] == ["full", "rate", "crop", "depth", "off"]
    assert LEVELS[-1].frames_per_step == 0


@pytest.mark.parametrize("options", [{"frames_per_step": -1}, {"frames_per_step": 1, "crop_share": 0.0}])
def test_impossible_efforts_are_refused(options) -> None:
    with pytest.raises(ValueError, match="effort"):
        Effort("odd", **options)
