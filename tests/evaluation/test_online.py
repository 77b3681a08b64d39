"""Scores while a run goes on, by hand."""

import math
import threading

import numpy as np
import pytest

from evaluation.online import OnlineScore
from runtime.events import FrameCaptured
from tests.evaluation.answered import CLASSES, HALF, RIGHT, WRONG, feed, frame, predicted, shadowed


def test_without_labels_there_are_no_scores():
    score = OnlineScore(CLASSES)
    assert score.scores() is None
    score.observe(FrameCaptured(0, 0.0))
    feed(score, 0, served=RIGHT, frozen=HALF, label=None)
    assert score.scores() is None
    assert math.isnan(score.recent().miou)


def test_label_that_is_all_ignored_is_no_score():
    score = OnlineScore(CLASSES)
    feed(score, 0, served=RIGHT, label=(255, 255, 255, 255))
    assert score.scores() is None


def test_scores_by_hand():
    score = OnlineScore(CLASSES)
    feed(score, 0, served=RIGHT, frozen=HALF)
    feed(score, 1, served=HALF, frozen=HALF, domain="rain_25mm")
    feed(score, 2, served=HALF, frozen=RIGHT, domain="rain_25mm")
    scores = score.scores()
    assert scores is not None
    # rain adapted: both frames HALF, 7/12; rain frozen: road 4 of 5, car 3 of 4 over the two frames
    rain_frozen = (4 / 5 + 3 / 4) / 2
    assert [(v.name, v.visit, v.first_frame, v.frames) for v in scores.visits] == [
        ("clear", 0, 0, 1),
        ("rain_25mm", 1, 1, 2),
    ]
    assert [v.miou for v in scores.visits] == pytest.approx([1.0, 7 / 12])
    assert [v.miou_frozen for v in scores.visits] == pytest.approx([7 / 12, rain_frozen])
    assert scores.hmean == pytest.approx(2 / (1 + 12 / 7))
    assert scores.hmean_frozen == pytest.approx(2 / (12 / 7 + 1 / rain_frozen))
    assert scores.worst_drop == pytest.approx(rain_frozen - 7 / 12)
    # over all three frames: adapted road 6 of 8, car 4 of 6; frozen the same, by another road
    assert scores.class_iou == pytest.approx((6 / 8, 4 / 6))
    assert scores.class_iou_frozen == pytest.approx((6 / 8, 4 / 6))
    assert scores.miou == scores.miou_frozen == pytest.approx(17 / 24)
    assert scores.recent_miou == scores.recent_miou_frozen == pytest.approx(17 / 24)
    assert math.isnan(scores.negative_window_share)


def test_domain_that_returns_is_a_new_visit():
    score = OnlineScore(CLASSES)
    for index, domain in enumerate(["clear", "clear", "fog_75m", "clear", "clear"]):
        feed(score, index, served=RIGHT, domain=domain)
    scores = score.scores()
    assert scores is not None
    assert [(v.name, v.visit, v.first_frame, v.frames) for v in scores.visits] == [
        ("clear", 0, 0, 2),
        ("fog_75m", 1, 2, 1),
        ("clear", 2, 3, 2),
    ]
    assert scores.recovery_frames == (None, None)


def test_unlabelled_domain_between_parts_a_visit_but_is_not_listed():
    score = OnlineScore(CLASSES)
    feed(score, 0, served=RIGHT)
    feed(score, 1, served=RIGHT, label=None, domain="fog_75m")
    feed(score, 2, served=RIGHT)
    scores = score.scores()
    assert scores is not None
    assert [(v.name, v.visit, v.frames) for v in scores.visits] == [("clear", 0, 1), ("clear", 2, 1)]


def test_where_a_part_is_shadowed_both_models_are_scored_on_that_part():
    score = OnlineScore(CLASSES)
    feed(score, 0, served=WRONG)
    feed(score, 1, served=HALF, frozen=HALF)
    feed(score, 2, served=WRONG)
    scores = score.scores()
    assert scores is not None
    visit = scores.visits[0]
    assert (visit.frames, visit.compared) == (3, 1)
    assert visit.miou == visit.miou_frozen == scores.miou == scores.hmean == pytest.approx(7 / 12)
    assert scores.recent_miou == scores.recent_miou_frozen == pytest.approx(7 / 12)
    assert scores.worst_drop == 0.0


def test_visit_without_shadow_stays_out_of_the_comparison():
    score = OnlineScore(CLASSES)
    feed(score, 0, served=HALF, frozen=HALF)
    feed(score, 1, served=RIGHT, domain="fog_75m")
    scores = score.scores()
    assert scores is not None
    assert scores.visits[1].miou == 1.0
    assert math.isnan(scores.visits[1].miou_frozen)
    assert scores.hmean == scores.hmean_frozen == pytest.approx(7 / 12)


def test_without_any_shadow_every_frame_counts_and_frozen_is_unknown():
    score = OnlineScore(CLASSES)
    feed(score, 0, served=RIGHT)
    feed(score, 1, served=HALF)
    scores = score.scores()
    assert scores is not None
    assert scores.miou == pytest.approx((4 / 5 + 3 / 4) / 2)
    unknown = (scores.miou_frozen, scores.visits[0].miou_frozen, scores.hmean_frozen, scores.worst_drop)
    assert all(math.isnan(value) for value in unknown)
    assert all(math.isnan(value) for value in scores.class_iou_frozen)


def test_late_shadow_counts_for_the_visit_of_its_frame():
    score = OnlineScore(CLASSES)
    first, second = frame(4, RIGHT, "clear"), frame(9, RIGHT, "fog_75m")
    score.observe(predicted(first, RIGHT))
    score.observe(predicted(second, WRONG))
    score.observe(shadowed(first, HALF, RIGHT))
    scores = score.scores()
    assert scores is not None
    assert scores.visits[0].miou_frozen == pytest.approx(7 / 12)
    assert math.isnan(scores.visits[1].miou_frozen)


def test_negative_windows_by_hand():
    # 120 frames: windows end at frames 100..120 (21 of them). The adapted model is right until frame 110, then wrong;
    # frozen errs everywhere by one pixel. With w of the last 100 frames wrong: road = car = (200-2w)/(200+2w) adapted
    # against 7/12 frozen, so the window is harmed from w = 27 on: none here. With a frozen model that is right, the
    # window is harmed from w = 1 on: ends at 111..120, 10 of 21.
    against_half, against_right = OnlineScore(CLASSES), OnlineScore(CLASSES)
    for index in range(120):
        served = RIGHT if index < 110 else WRONG
        feed(against_half, index, served=served, frozen=HALF)
        feed(against_right, index, served=served, frozen=RIGHT)
    assert against_half.scores().negative_window_share == 0.0
    assert against_right.scores().negative_window_share == pytest.approx(10 / 21)


def test_recent_score_forgets_old_frames():
    score = OnlineScore(CLASSES)
    for index in range(60):
        feed(score, index, served=WRONG if index < 30 else RIGHT, frozen=HALF)
    assert score.recent().miou == 1.0
    assert score.recent().miou_frozen == pytest.approx(7 / 12)
    assert score.scores().miou < 0.6


def test_label_outside_the_label_space_is_counted_and_survived():
    score = OnlineScore(CLASSES)
    feed(score, 0, served=RIGHT, label=(0, 0, 7, 7))
    feed(score, 1, served=RIGHT)
    assert score.num_unusable == 1
    assert score.scores().visits[0].frames == 1


def test_visit_whose_shadowed_frames_show_nothing_is_scored_on_the_others():
    score = OnlineScore(CLASSES)
    feed(score, 0, served=HALF)
    feed(score, 1, served=RIGHT, frozen=RIGHT, label=(255, 255, 255, 255))
    scores = score.scores()
    assert scores.visits[0].miou == scores.hmean == pytest.approx(7 / 12)
    assert math.isnan(scores.visits[0].miou_frozen)


def drive(score, frames, *, delay=0):
    """Frames in domains that change at random, two in three shadowed `delay` frames later; returns what is still due.

    Everything about frame i is drawn from i, so a drive may be taken up anywhere.
    """
    due = []
    for index in frames:
        rng = np.random.default_rng(index)
        shown = frame(index, rng.choice([0, 1, 255], 8, p=[0.5, 0.4, 0.1]), f"domain_{index // 7 * 7 % 3}")
        served, frozen = rng.integers(0, 2, 8), rng.integers(0, 2, 8)
        score.observe(predicted(shown, served))
        if index % 3:
            due.append((index + delay, shadowed(shown, frozen, served)))
        while due and due[0][0] <= index:
            score.observe(due.pop(0)[1])
    for _, shadow in due:
        score.observe(shadow)


@pytest.mark.parametrize("stop", [0, 1, 5, 37, 160, 299])
def test_going_on_from_a_state_is_as_if_never_interrupted(stop):
    whole, first, second = OnlineScore(CLASSES), OnlineScore(CLASSES), OnlineScore(CLASSES)
    drive(first, range(stop))
    before = first.state()
    drive(first, range(stop, stop + 5))  # what happened after the state was taken is not in it
    second.load_state(before)
    assert repr(second.state()) == repr(before)
    drive(second, range(stop, 300))
    drive(whole, range(300))
    assert repr(second.scores()) == repr(whole.scores())
    assert repr(second.recent()) == repr(whole.recent())


def test_a_state_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="not the state of an online score"):
        OnlineScore(CLASSES).load_state({"visits": {}})
    with pytest.raises(ValueError, match="confusion of 3 classes"):
        OnlineScore(("road", "car", "sky")).load_state(OnlineScore(CLASSES).state())


def test_shadows_that_lag_behind_change_nothing_but_the_moment_of_counting():
    at_once, late = OnlineScore(CLASSES), OnlineScore(CLASSES)
    drive(at_once, range(300))
    drive(late, range(300), delay=40)
    for name in ("visits", "recovery_frames", "hmean", "hmean_frozen", "worst_drop", "miou", "miou_frozen"):
        assert repr(getattr(at_once.scores(), name)) == repr(getattr(late.scores(), name)), name


def test_scores_may_be_read_while_frames_arrive():
    score = OnlineScore(CLASSES)
    feed(score, 0, served=HALF, frozen=HALF)
    read = []

    def keep_reading():
        for _ in range(30):
            read.append(score.scores())

    reader = threading.Thread(target=keep_reading)
    reader.start()
    for index in range(1, 30):
        feed(score, index, served=RIGHT if index % 2 else HALF, frozen=RIGHT if index % 2 else HALF)
    reader.join()
    # both models answered alike, so a pair of which only one half was counted would show
    assert [scores.miou for scores in read] == [scores.miou_frozen for scores in read]
