"""Recovery: how many frames a visit takes to its own plateau."""

import numpy as np

from evaluation.online import OnlineScore
from evaluation.visits import RECOVERY_HORIZON, Recovery
from tests.evaluation.answered import CLASSES, RIGHT, WRONG, feed


def test_recovery_by_hand():
    # a good frame has both classes right, a bad one confuses a tenth: with b bad frames in a window of ten, each
    # class hits 100 - b of a union of 100 + b, which is 0.95 or more up to b = 2.
    good, bad = np.array([[10, 0], [0, 10]]), np.array([[9, 1], [1, 9]])
    recovery = Recovery(2)
    for index in range(44):
        recovery.update(bad if index < 12 else good)
    assert recovery.frames() == 10


def test_recovery_passes_over_frames_without_labelled_pixels():
    recovery = Recovery(2)
    for index in range(44):
        recovery.update(np.zeros((2, 2), np.int64) if index < 12 else np.eye(2, dtype=np.int64))
    assert recovery.frames() == 3
    empty = Recovery(2)
    for _ in range(44):
        empty.update(np.zeros((2, 2), np.int64))
    assert empty.frames() is None


def test_what_scenery_does_to_the_frozen_model_too_is_no_lag():
    easy, hard = np.diag([8, 8]), np.array([[6, 2], [2, 6]])
    alone, beside, learning = Recovery(2), Recovery(2), Recovery(2)
    for index in range(60):
        seen = hard if index < 12 else easy
        alone.update(seen)
        beside.update(seen)
        beside.update_frozen(seen)
        learning.update(seen)
        learning.update_frozen(easy)  # the frozen model meets no trouble: what is missing is the learner's
    assert (alone.frames(), beside.frames(), learning.frames()) == (11, 0, 11)  # one bad frame of ten is 78 / 82


def test_recovery_is_of_served_answers_alone_where_the_frozen_model_skipped_frames():
    bad, good = np.array([[6, 2], [2, 6]]), np.diag([8, 8])
    recovery = Recovery(2)
    for index in range(60):
        recovery.update(bad if index < 12 else good)
        if index % 2:
            recovery.update_frozen(bad if index < 12 else good)
    assert recovery.frames() == 11


def test_recovery_needs_twenty_frames():
    score = OnlineScore(CLASSES)
    for index in range(30):
        feed(score, index, served=RIGHT, domain="clear" if index < 10 else "fog_75m")
        expected = (0,) if index == 29 else (None,) if index >= 10 else ()
        assert score.scores().recovery_frames == expected


def test_recovery_counts_the_frames_before_the_plateau():
    # fog starts with 8 wrong frames, then is right: the window from frame 8 on is the first at the plateau of 1
    score = OnlineScore(CLASSES)
    for index in range(50):
        wrong = 10 <= index < 18
        feed(score, index, served=WRONG if wrong else RIGHT, domain="clear" if index < 10 else "fog_75m")
    assert score.scores().recovery_frames == (8,)


def test_recovery_of_a_long_visit_is_judged_by_its_first_frames():
    late_trouble, judged = Recovery(2), Recovery(2)
    good, bad = np.array([[10, 0], [0, 10]]), np.array([[5, 5], [5, 5]])
    for index in range(RECOVERY_HORIZON):
        for recovery in (late_trouble, judged):
            recovery.update(bad if index < 7 else good)
    for _ in range(50):
        late_trouble.update(bad)
    assert late_trouble.frames() == judged.frames() == 7
    assert len(late_trouble.state()["served"]["mious"]) <= RECOVERY_HORIZON
