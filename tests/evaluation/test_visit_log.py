import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.visit_log import LATE_FRAMES, MAX_LISTED, Totals, VisitLog
from runtime.scores import VisitScore

RATIOS = st.floats(0.001, 1.0)
RIGHT, HALF = np.array([[2, 0], [0, 2]]), np.array([[2, 0], [1, 1]])


def visit(number, miou, frozen=math.nan):
    return VisitScore(f"domain_{number % 2}", number, number, 1, int(not math.isnan(frozen)), miou, frozen)


def totals(*visits):
    added = Totals()
    for one in visits:
        added = added.add(one)
    return added


@pytest.mark.parametrize(
    ("mious", "expected"), [([0.5], 0.5), ([0.3, 0.6], 0.4), ([1.0, 0.5, 0.25], 3 / 7), ([0.9, 0.0], 0.0)]
)
def test_harmonic_mean_by_hand(mious, expected):
    assert totals(*(visit(number, miou) for number, miou in enumerate(mious))).hmean == pytest.approx(expected)


@given(pairs=st.lists(st.tuples(RATIOS, st.one_of(RATIOS, st.just(math.nan))), min_size=1, max_size=20))
def test_figures_added_up_are_those_of_the_whole_list(pairs):
    added = totals(*(visit(number, *pair) for number, pair in enumerate(pairs)))
    compared = [(miou, frozen) for miou, frozen in pairs if not math.isnan(frozen)]
    mious = [miou for miou, _ in compared or pairs]
    assert added.hmean == pytest.approx(len(mious) / sum(1 / miou for miou in mious))
    if compared:
        assert added.hmean_frozen == pytest.approx(len(compared) / sum(1 / frozen for _, frozen in compared))
        assert added.worst_drop == max(frozen - miou for miou, frozen in compared)
    else:
        assert math.isnan(added.hmean_frozen) and math.isnan(added.worst_drop)


def test_worst_drop_is_negative_where_every_visit_gained():
    assert totals(visit(0, 0.5, 0.4), visit(1, 0.7, 0.4)).worst_drop == pytest.approx(-0.1)
    assert math.isnan(totals().worst_drop) and math.isnan(totals().hmean)


def filled(num_visits, *, frames_each=1):
    """Visits of alternating domains; every third is half right, the frozen model always is."""
    log = VisitLog(2)
    for number in range(num_visits):
        for frame in range(frames_each):
            tally = log.enter(f"domain_{number % 2}", frame_index=number * frames_each + frame)
            tally.add_served(RIGHT if number % 3 else HALF)
            tally.add_shadowed(RIGHT if number % 3 else HALF, HALF)
    return log


def test_as_many_visits_as_an_ordinary_run_has_are_all_listed():
    figures = filled(MAX_LISTED).figures()
    assert [v.visit for v in figures.visits] == list(range(MAX_LISTED))
    assert len(figures.recovery_frames) == MAX_LISTED - 1


def test_of_very_many_visits_the_newest_are_listed_and_all_count():
    num = MAX_LISTED + 500
    figures = filled(num).figures()
    assert [v.visit for v in figures.visits] == list(range(500, num))
    assert len(figures.recovery_frames) == MAX_LISTED  # the visit that has nothing to recover from is no longer listed
    assert figures.totals.num == num
    assert figures.totals.hmean == pytest.approx(num / (num / 3 * 12 / 7 + num * 2 / 3))
    assert figures.totals.worst_drop == 0.0


def test_memory_of_a_visit_ends_with_it_but_for_its_score():
    log, longer = filled(10, frames_each=LATE_FRAMES + 1), filled(40, frames_each=LATE_FRAMES + 1)
    assert size(longer) - size(log) < 30 * 2000  # a score and its name; open, a tally of two classes takes some 3 KB
    assert log.find(0) is None and longer.find(40 * (LATE_FRAMES + 1) - 1) is not None


def size(thing, seen=None):
    """Bytes of everything reachable from `thing`."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, type):
        return 0
    seen.add(id(thing))
    held = thing.values() if isinstance(thing, dict) else thing if isinstance(thing, list | tuple) else ()
    if hasattr(thing, "__iter__") and type(thing).__name__ == "deque":
        held = list(thing)
    inside = [*held, *vars(thing).values()] if hasattr(thing, "__dict__") else held
    return sys.getsizeof(thing) + sum(size(one, seen) for one in inside)


def test_a_visit_can_be_found_until_no_shadow_is_waited_for():
    log = VisitLog(2)
    log.enter("clear", frame_index=3)
    for index in range(LATE_FRAMES):
        log.enter("rain", frame_index=10 + index)
    assert log.find(3).name == log.find(9).name == "clear" and log.find(10).name == "rain"
    assert log.find(2) is None
    log.enter("rain", frame_index=500)
    assert log.find(3) is None and log.find(500).name == "rain"


def test_state_holds_finished_and_open_visits():
    log, resumed = filled(300), VisitLog(2)
    resumed.load_state(log.state())
    assert repr(resumed.figures()) == repr(log.figures())
    tally = resumed.find(299)
    assert tally.visit == 299 and resumed.enter("domain_1", frame_index=300) is tally
    empty = VisitLog(2)
    empty.load_state(VisitLog(2).state())
    assert empty.figures().visits == ()
