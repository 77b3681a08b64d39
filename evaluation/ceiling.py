"""The ceiling of a comparison: what share of the way from frozen to the oracle a run goes.

    summaries = with_ceiling(summaries)
    gap_closed(summaries[run_dir])

Gains are of hmean over frozen, each within its run, and compared with the oracle's by the same seed (`oracle.py`).
"""

import math
from collections.abc import Mapping
from pathlib import Path

from evaluation.oracle import ORACLE
from evaluation.run_folder import Row, lookup, number

CEILING = "ceiling_gain"
PERCENT = 100.0


def gain(summary: Row) -> float:
    """Points of hmean above frozen, in this run; nan where either is unknown."""
    return number(lookup(summary, "quality.hmean")) - number(lookup(summary, "quality.hmean_frozen"))


def with_ceiling(summaries: Mapping[Path, Row]) -> dict[Path, Row]:
    """The same summaries, in which those that share their seed with a run of the oracle hold its gain."""
    ceilings = {row.get("seed"): gain(row) for row in summaries.values() if row.get("method") == ORACLE}
    return {
        run_dir: {**row, CEILING: ceilings[row.get("seed")]} if row.get("seed") in ceilings else row
        for run_dir, row in summaries.items()
    }


def gap_closed(summary: Row) -> float:
    """Percent of the oracle's gain: 100 for the oracle itself, below 0 for harm; nan without an oracle's run of the
    seed, and where even the oracle gains nothing.
    """
    ceiling = number(summary.get(CEILING))
    return PERCENT * gain(summary) / ceiling if ceiling > 0 else math.nan
