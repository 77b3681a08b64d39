"""The share of the gap a run closes, seed by seed."""

import math
from pathlib import Path

import pytest

from evaluation.ceiling import gain, gap_closed, with_ceiling


def row(method, seed, hmean, frozen=20.0):
    return {"method": method, "seed": seed, "quality": {"hmean": hmean, "hmean_frozen": frozen}}


def closed(*rows) -> list[float]:
    """Percent by run."""
    found = with_ceiling({Path(str(number)): given for number, given in enumerate(rows)})
    return [gap_closed(given) for given in found.values()]


def test_runs_are_held_against_the_oracle_of_their_seed() -> None:
    """The frozen model of each run is its own: 5 of 20, 10 of 20 and 15 of 30 points."""
    rows = [row("styled", 0, 25.0), row("dacs", 0, 40.0, 30.0), row("styled", 1, 45.0, 30.0)]
    oracles = [row("oracle", 0, 40.0), row("oracle", 1, 60.0, 30.0)]
    assert closed(*rows, *oracles) == [25.0, 50.0, 50.0, 100.0, 100.0]


def test_harm_is_below_nothing_and_more_than_the_oracle_above_all() -> None:
    assert closed(row("tent", 0, 15.0), row("lucky", 0, 44.0), row("oracle", 0, 40.0))[:2] == [-25.0, 120.0]


@pytest.mark.parametrize(
    "rows",
    [
        [row("styled", 0, 25.0)],
        [row("styled", 0, 25.0), row("oracle", 1, 40.0)],
        [row("styled", 0, 25.0), row("oracle", 0, 20.0)],
        [row("styled", 0, 25.0), row("oracle", 0, None)],
        [row("styled", 0, None), row("oracle", 0, 40.0)],
        [{"method": "styled", "seed": 0, "quality": None}, row("oracle", 0, 40.0)],
    ],
    ids=["no oracle", "another seed", "nothing to gain", "unscored oracle", "unscored run", "no labels"],
)
def test_without_a_ceiling_nothing_is_said(rows) -> None:
    assert math.isnan(closed(*rows)[0])


def test_gains_are_within_a_run_and_summaries_are_left_as_they_are() -> None:
    rows = {Path("a"): row("styled", 0, 25.0), Path("b"): row("oracle", 0, 40.0)}
    with_ceiling(rows)
    assert gain(rows[Path("a")]) == 5.0 and rows[Path("a")].keys() == {"method", "seed", "quality"}
