"""What a run's folder gains, through the real parts."""

import json
import math

import numpy as np
import pytest

from evaluation.scoreboard import Scoreboard
from evaluation.slices import read_slices
from runtime.events import Prediction, ShadowPrediction
from runtime.json_values import to_json
from runtime.summary import SummaryBuilder
from streams.frame import Frame
from tests.fakes import make_run_finished, make_run_started, make_step

CLASSES = ("road", "car", "sky")


def play(board, domains, *, round_length=None, start=0):
    """The adapted model is right but in visits called `bad`, where it takes cars for road; the frozen one there not."""
    board.observe(make_run_started(classes=CLASSES, round_length=round_length))
    for index, domain in enumerate(domains[start:], start=start):
        label_HW = np.array([[0, 0, 1, 1]], np.uint8)
        frame = Frame(index, index / 10, np.zeros((1, 4, 3), np.uint8), label_HW, domain)
        served_HW = np.array([[0, 0, 0, 0]], np.uint8) if domain == "bad" else label_HW
        prediction = Prediction(frame, index, served_HW, 0.9, 0.1, frame.captured_at_s, frame.captured_at_s + 0.01)
        board.observe(prediction)
        board.observe(ShadowPrediction(frame, label_HW, served_HW, 0.01))
        board.observe(make_step(index, version=index + 1))


DOMAINS = ["clear"] * 4 + ["rain"] * 4 + ["bad"] * 4 + ["rain"] * 4


def test_figures_name_what_went_wrong_and_are_json():
    board = Scoreboard(CLASSES)
    play(board, DOMAINS, round_length=8)
    quality = board.figures()["quality"]
    assert quality["unsafe_classes"] == ["road", "car"]  # road 8 of 10, car 6 of 8
    assert quality["unsafe_visit"] == {"visit": 2, "classes": ["road", "car"]}
    assert [row["served"] for row in quality["lags"]] == [1, 1, 1, 1]
    assert [row["name"] for row in quality["recurrence"]["domains"]] == ["rain"]
    # bad: road 2 of 4, car 0: mIoU 1/4; the second round is bad and rain: 2 / (4 + 1)
    assert [row["hmean"] for row in quality["rounds"]] == pytest.approx([100.0, 40.0])
    assert quality["worst_later_round"] == pytest.approx(-60.0)
    assert quality["gain"] == pytest.approx(100 * (4 / (1 + 1 + 4 + 1) - 1))
    assert math.isnan(quality["worst_window"]) and math.isnan(quality["windowed"]["miou"])
    assert json.loads(to_json(board.figures()))["quality"]["worst_window"] is None


def test_a_summary_gains_the_figures_and_keeps_its_own():
    board, summary = Scoreboard(CLASSES), SummaryBuilder({})
    summary.observe(make_run_started())
    play(board, DOMAINS)
    summary.observe(make_run_finished())
    built = summary.build(board.scores(), board.figures())
    assert built["quality"]["gain"] < 0 < built["quality"]["hmean"]
    assert built["stream"] == "rain_sequence"


def test_without_labels_there_is_nothing_to_add_or_save(tmp_path):
    board = Scoreboard(CLASSES)
    assert board.figures() == {}
    board.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_counts_are_left_in_the_folder(tmp_path):
    board = Scoreboard(CLASSES)
    play(board, DOMAINS)
    board.save(tmp_path)
    slices = read_slices(tmp_path / "slices.npz")
    assert slices.domain_N.tolist() == ["clear", "rain", "bad", "rain"]
    assert slices.served_NKK.sum() == 4 * len(DOMAINS)


def test_a_scoreboard_goes_on_from_its_state():
    first, second, whole = Scoreboard(CLASSES), Scoreboard(CLASSES), Scoreboard(CLASSES)
    play(first, DOMAINS[:9], round_length=8)
    second.load_state(first.state())
    play(second, DOMAINS, round_length=8, start=9)
    play(whole, DOMAINS, round_length=8)
    assert repr(second.figures()) == repr(whole.figures())
