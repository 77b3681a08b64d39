"""The bench of detectors: what counts as a change, what is counted, and tables of the right shape."""

from itertools import islice

import numpy as np
import pytest

from benchmarks.detection import DetectionConfig, watched
from benchmarks.detection_readings import CalibratedSource, Readings, read_trial
from benchmarks.detection_streams import (
    FRAMES_PER_PLACE,
    JUMP_TOLERANCE,
    NUM_PLACES,
    Trial,
    drive_trial,
    places_trial,
    preset_trial,
    steps_of,
)
from benchmarks.detection_tables import Outcome, by_jump, detection_tables
from evaluation.detection import DetectionScore
from runtime.option_words import ConfigError
from runtime.shift.detectors import DETECTORS, JUMPS
from runtime.shift.readings import Readings as Smoothed
from runtime.shift.readings import SourceRange
from runtime.shift.signals import SIGNALS, SourceViews
from streams.frame import Frame
from streams.synthetic.sequences import mixed_recurring, rain_sequence
from tests.fakes import make_prediction, make_source

SIZE = (32, 64)


def test_steps_are_jumps_that_stay_within_one_weather():
    assert steps_of(rain_sequence()) == (False, *[True] * 8, False)
    names = [visit.name for visit in mixed_recurring().visits]
    steps = steps_of(mixed_recurring())
    assert [names[place + 1] for place, is_step in enumerate(steps) if is_step] == ["night", "dusk"]  # from dusk, night


def test_changes_of_presets_are_the_first_frames_of_visits_and_of_ramps():
    trial = preset_trial("rain_sequence", 0, size_HW=SIZE)
    assert trial.changes == tuple(range(75, 825, 75)) and trial.num_frames == 825
    ramp = preset_trial("storm_gradual", 0, size_HW=SIZE)
    assert (ramp.changes, ramp.tolerance, ramp.group) == ((75, 375), 225 + JUMP_TOLERANCE, "ramps")


def test_drives_and_places_are_clear_weather_of_the_length_they_say():
    drive = drive_trial(0, 3, size_HW=SIZE)
    assert [frame.domain for frame in drive.frames()] == ["clear"] * 3 and drive.changes == ()
    places = places_trial(0, size_HW=SIZE)
    assert places.num_frames == FRAMES_PER_PLACE * NUM_PLACES
    frames = list(islice(places.frames(), FRAMES_PER_PLACE + 1))
    assert {frame.domain for frame in frames} == {"clear"}
    far, near = (
        float(np.abs(frames[a].label_HW.astype(int) - frames[a - 1].label_HW).mean()) for a in (FRAMES_PER_PLACE, 5)
    )
    assert far > 3 * near


def no_light():
    raise AssertionError("what was read already is not read again")


@pytest.fixture(scope="module")
def outcomes():
    """A stream that jumps at frame 60, as every signal and the looks tell; and one where nothing happens."""
    unused = np.zeros((1, *SIZE, 3), np.uint8)
    home = make_source(np.zeros(2), np.eye(2))
    views = SourceViews(unused, unused[..., 0], home, lambda _: make_prediction(), 3, light=no_light)
    source = CalibratedSource(views, dict, "digest")
    found = []
    for group, after in (("jumps", 3.0), ("drives", 0.4), ("ramps", 3.0), ("recorded", 3.0)):
        levels = np.where(np.arange(140) < 60, 0.4, after)
        looks_NF = np.repeat(levels[:, None], 2, axis=1)
        counts_AKK = np.where(np.arange(35)[:, None, None] < 15, np.diag([8, 8]), np.array([[6, 2], [2, 6]]))
        levels_of = dict.fromkeys(SIGNALS, levels)
        readings = Readings(looks_NF, looks_NF, levels_of, dict.fromkeys(SIGNALS, 0.4), counts_AKK)
        changes = () if group == "drives" else (60,)
        titles, is_step = ("clear to fog_75m",) * len(changes), (False,) * len(changes)
        trial = Trial(group, group, 0, 140, changes, titles, is_step, JUMP_TOLERANCE, lambda: iter(()))
        found += watched(trial, readings, source)
    return found


def test_every_pair_is_watched_and_finds_a_plain_jump(outcomes):
    jumps = [outcome for outcome in outcomes if outcome.group == "jumps"]
    assert len(jumps) == len(SIGNALS) * len(DETECTORS) + 1
    for outcome in jumps:
        (delay,) = outcome.score.delays
        assert delay is not None and delay <= 15 and outcome.score.num_false_alarms == 0
    assert all(not outcome.events for outcome in outcomes if outcome.group == "drives")


def test_tables_have_a_line_for_each_pair(outcomes):
    tables = detection_tables(outcomes)
    assert len(tables) == 7
    assert len(tables[2].rows) == len(SIGNALS) * len(DETECTORS) + 1
    assert tables[0].rows[0][:3] == ("jumps", "1", "0 of 1")
    assert tables[2].header[-2:] == ("false alarms per 1000, jumps", "false alarms per 1000, drives")
    assert len(detection_tables([outcome for outcome in outcomes if outcome.group != "recorded"])) == 4


def test_a_jump_stands_beside_what_it_does_to_the_frozen_model(outcomes):
    (row,) = by_jump("", [one for one in outcomes if (one.detector, one.group) == (JUMPS, "jumps")]).rows
    assert row[:2] == ("clear to fog_75m", "0 of 1")
    assert row[3:] == ("-40.0", "-")  # 6 of 10 in the union of each class, where all was right before


def test_missed_jumps_come_first_with_what_each_did():
    def outcome(titles, delays, changes):
        score = DetectionScore(delays, 0, 100)
        is_step = (False,) * len(titles)
        return Outcome("s", "jumps", 0, "style", JUMPS, score, is_step, (), titles=titles, frozen_changes=changes)

    rows = by_jump("", [outcome(("a", "b"), (3, None), (-9.0, -0.5)), outcome(("a", "b"), (7, 36), (-7.0, 1.5))]).rows
    assert rows == (("b", "1 of 2", "36", "+0.5", "-0.5"), ("a", "0 of 2", "7", "-8.0", "-"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"streams": "rain"}, "--streams rain"),
        ({"seeds": "a"}, "--seeds a"),
        ({"drives": 0}, "--drives 0"),
        ({"size": "big"}, "--size big"),
        ({"data_checkpoint": "x"}, "--data: goes with --data-checkpoint"),
    ],
)
def test_nonsense_is_refused_in_one_line(options, words):
    with pytest.raises(ConfigError, match=words):
        DetectionConfig(**options)


def test_a_stream_is_read_once_and_signals_begin_each_one_anew(tmp_path):
    """Light of the frame for one signal; for one of answers, that of the frame answered last."""

    def light(sight):
        return float(sight.prediction.frame.image_HWC.mean())

    span = SourceRange(0.0, -1.0, 1.0)
    signals = {"frequency": Smoothed(light, span), "confidence": Smoothed(light, span)}
    unused = np.zeros((1, *SIZE, 3), np.uint8)

    def answer(image_HWC):
        return make_prediction(Frame(-1, 0.0, image_HWC))

    views = SourceViews(unused, unused[..., 0], make_source(np.zeros(2), np.eye(2)), answer, 19, light=no_light)
    source = CalibratedSource(views, lambda: signals, "digest")
    trials = [drive_trial(number, 6, size_HW=SIZE) for number in (0, 1)]
    first, second = (read_trial(trial, source, tmp_path) for trial in trials)
    lights = [[float(frame.image_HWC.mean()) for frame in trial.frames()] for trial in trials]
    assert first.values_N["confidence"][:4] == pytest.approx([lights[0][0]] * 4)
    assert first.values_N["confidence"][4] == pytest.approx(lights[0][0] + 0.25 * (lights[0][4] - lights[0][0]))
    assert first.values_N["frequency"][1] == pytest.approx(lights[0][0] + 0.25 * (lights[0][1] - lights[0][0]))
    assert second.values_N["frequency"][0] == pytest.approx(lights[1][0]) and len(second.looks_NF) == 6
    labels = [frame.label_HW for frame in trials[0].frames()][::4]
    assert first.counts_AKK.sum(axis=(1, 2)).tolist() == [int((label_HW != 255).sum()) for label_HW in labels]
    kept = read_trial(trials[0], CalibratedSource(views, dict, "digest"), tmp_path)
    assert kept.values_N["frequency"].tolist() == first.values_N["frequency"].tolist()
