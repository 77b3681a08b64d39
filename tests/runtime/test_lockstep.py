"""Lockstep repeats bit for bit, learns where the stream is shifted, and never lets a label through."""

import dataclasses
import threading
from itertools import pairwise

import numpy as np
import pytest

from models.trainable import frozen_digest
from runtime import events
from runtime.adaptation.method import Target
from runtime.build import build
from streams.stream import open_stream
from streams.synthetic.sequences import Sequence, Visit
from streams.synthetic.stream import SyntheticStream, clear_samples
from streams.synthetic.weather import Weather
from tests.streams.recorded import write_image, write_label

TIMELESS = {"at_s", "duration_s", "started_at_s", "finished_at_s"}
STREETS, STREET_FRAMES = (50, 51), 16


class Streets:
    """Along one street in clear weather, and from one frame to the next along another in `weather`."""

    name, fps, is_live, num_frames, cursor, faults = "streets", 10.0, False, len(STREETS) * STREET_FRAMES, 0, {}

    def __init__(self, weather, size_HW) -> None:
        self._weathers, self._size_HW = (Weather(), weather), size_HW

    def __iter__(self):
        for place, (seed, weather) in enumerate(zip(STREETS, self._weathers, strict=True)):
            street = Sequence("street", (Visit("street", weather, weather, STREET_FRAMES),), "one street")
            for frame in SyntheticStream(street, seed=seed, size_HW=self._size_HW):
                yield dataclasses.replace(frame, index=place * STREET_FRAMES + frame.index)

    def close(self) -> None:
        pass


def play(config, *, stop_after=None, open_with=open_stream):
    """Parts and all events of a lockstep run."""
    parts = build(config, open_with=open_with)
    seen, stop = [], threading.Event()

    def note(event):
        seen.append(event)
        if len(of(seen, events.Prediction)) == stop_after:
            stop.set()

    parts.driver.run(note, stop)
    return parts, seen


def of(seen, kind):
    return [event for event in seen if isinstance(event, kind)]


def facts(event):
    """Everything an event says but the time."""
    values = {f.name: getattr(event, f.name) for f in dataclasses.fields(event) if f.name not in TIMELESS}
    frame = values.pop("frame", None)
    index = None if frame is None else frame.index
    plain = {name: value.tobytes() if isinstance(value, np.ndarray) else repr(value) for name, value in values.items()}
    return type(event).__name__, index, plain


@pytest.fixture(scope="module")
def lockstep(tiny_world):
    def config(method="styled", split="test_dusk", **run):
        return tiny_world.config(
            stream={"stream": f"dataset:camvid:{split}"},
            adaptation={} if method == "styled" else {"method": method},
            run={"pace": "lockstep", "checkpoint_every_s": 1e6} | run,  # snapshots are due by the clock
        )

    return config


@pytest.fixture(scope="module")
def dusk(lockstep):
    return play(lockstep())


@pytest.mark.parametrize("method", ["styled", "dacs"])
def test_the_same_seed_repeats_every_event_bit_for_bit(lockstep, method) -> None:
    (_, first), (_, again) = (play(lockstep(method)) for _ in range(2))
    assert [facts(event) for event in first] == [facts(event) for event in again]
    assert of(first, events.AdaptationStep)


def test_another_seed_learns_something_else(lockstep, dusk) -> None:
    _, other = play(lockstep(seed=1))
    assert [step.loss for step in of(other, events.AdaptationStep)] != [
        step.loss for step in of(dusk[1], events.AdaptationStep)
    ]


def test_a_stream_that_starts_shifted_is_noticed_and_learnt_from(dusk) -> None:
    parts, seen = dusk
    (shift,) = of(seen, events.ShiftEvent)
    steps = of(seen, events.AdaptationStep)
    assert (shift.kind, shift.true_domain) == ("away", "test_dusk") and shift.frame_index <= 3
    assert [step.frame_index for step in steps] == list(range(shift.frame_index, 12))
    assert {step.outcome for step in steps} == {"applied"} and of(seen, events.StatisticsTaken)
    versions = [step.version for step in steps]
    assert versions == sorted(set(versions)) and parts.weights.latest.number == versions[-1]


def test_a_prediction_precedes_learning_from_its_frame(dusk) -> None:
    _, seen = dusk
    for kind in ("AdaptationStep", "ShadowPrediction", "ShiftScore"):
        current = -1
        for event in seen:
            if isinstance(event, events.Prediction):
                current = event.frame.index
            elif type(event).__name__ == kind:
                assert (event.frame.index if kind == "ShadowPrediction" else event.frame_index) == current
    published = [event for event in seen if isinstance(event, events.AdaptationStep | events.StatisticsTaken)]
    newest = [max((event.version for event in published if event.frame_index < n), default=0) for n in range(12)]
    assert [prediction.version for prediction in of(seen, events.Prediction)] == newest and newest[-1] > 0


def test_every_frame_is_predicted_and_shadowed_once(dusk) -> None:
    _, seen = dusk
    assert [event.index for event in of(seen, events.FrameCaptured)] == list(range(12))
    assert [event.frame.index for event in of(seen, events.Prediction)] == list(range(12))
    assert [event.frame.index for event in of(seen, events.ShadowPrediction)] == list(range(12))
    assert of(seen, events.FrameDropped) == []


def test_frozen_weights_are_bitwise_unchanged(lockstep) -> None:
    fresh = build(lockstep())
    before = frozen_digest(fresh.model)
    fresh.driver.run(lambda _: None, threading.Event())
    assert fresh.weights.latest.number > 0
    assert frozen_digest(fresh.model) == before


def test_the_frozen_method_never_changes_a_weight(lockstep, dusk) -> None:
    parts, seen = play(lockstep("frozen"))
    assert parts.weights.latest is parts.weights.source and of(seen, events.AdaptationStep) == []
    assert len(of(seen, events.ShiftEvent)) == 1
    shadows = of(dusk[1], events.ShadowPrediction)
    for served, shadow in zip(of(seen, events.Prediction), shadows, strict=True):
        assert np.array_equal(served.labels_HW, shadow.labels_HW)


def test_at_the_source_nothing_is_learnt(lockstep) -> None:
    parts, seen = play(lockstep(split="test_day"))
    assert of(seen, events.ShiftEvent) == [] and of(seen, events.AdaptationStep) == []
    assert parts.weights.latest.number == 0


@pytest.fixture(scope="module")
def along_two_streets(tiny_world, tmp_path_factory):
    """A run along two streets, the second in some weather; its source samples show other streets in clear weather."""
    data = tmp_path_factory.mktemp("streets")
    size_HW = (32, 64)
    for sample in clear_samples(18, seed=0, size_HW=size_HW):
        write_image(data / "train" / f"{sample.index:02}.png", sample.image_HWC)
        write_label(data / "trainannot" / f"{sample.index:02}.png", np.full(size_HW, 3, np.uint8))
    names = sorted(path.name for path in (data / "train").iterdir())
    (data / "train.txt").write_text("".join(f"train/{name} trainannot/{name}\n" for name in names))
    config = dataclasses.replace(tiny_world, data=data).config(
        stream={"stream": "clear"}, run={"pace": "lockstep", "checkpoint_every_s": 1e6}
    )

    def along(weather, *, stop_after=None):
        return play(config, stop_after=stop_after, open_with=lambda _, options: Streets(weather, options.size_HW))

    return along


def test_another_place_in_the_same_weather_starts_no_learning(along_two_streets) -> None:
    parts, seen = along_two_streets(Weather())
    labels = [event.frame.label_HW for event in of(seen, events.Prediction)]
    moved = [float((after != before).mean()) for before, after in pairwise(labels)]
    assert moved.pop(STREET_FRAMES - 1) > 2 * max(moved)  # a place changed, as it does along no street
    assert of(seen, events.ShiftEvent) == [] and of(seen, events.AdaptationStep) == []
    assert {event.version for event in of(seen, events.Prediction)} == {0} and parts.weights.latest.number == 0


def test_another_place_in_the_rain_starts_learning_there(along_two_streets) -> None:
    _, seen = along_two_streets(Weather(rain_mm_h=100), stop_after=STREET_FRAMES + 14)
    (shift,) = of(seen, events.ShiftEvent)
    assert shift.kind == "away" and shift.frame_index >= STREET_FRAMES
    assert of(seen, events.AdaptationStep)[0].frame_index == shift.frame_index


@pytest.mark.parametrize("method", ["styled", "dacs"])
def test_labels_never_reach_the_learner(lockstep, method) -> None:
    """Same pictures without labels: the same predictions, versions and steps."""
    _, labelled = play(lockstep(method))
    _, blind = play(lockstep(method, split="test_blind"))
    assert all(event.frame.label_HW is None for event in of(blind, events.Prediction))
    for kind in (events.Prediction, events.AdaptationStep, events.ShiftScore):
        assert [facts(event) for event in of(labelled, kind)] == [facts(event) for event in of(blind, kind)]
    assert {field.name for field in dataclasses.fields(Target)} == {
        *("frame_index", "image_HWC", "labels_HW", "confident_share", "crop_share", "appearance_F")
    }


def test_stop_ends_after_the_frame_at_hand(lockstep) -> None:
    _, seen = play(lockstep(), stop_after=4)
    assert len(of(seen, events.FrameCaptured)) == len(of(seen, events.Prediction)) == 4


def test_no_clock_enters_a_decision(lockstep, dusk) -> None:
    """A clock that leaps an hour at every reading changes nothing but times, and when checkpoints are taken."""
    readings = iter(range(0, 3600 * 10**6, 3600))
    parts = build(lockstep(), clock=lambda: float(next(readings)))
    seen = []
    parts.driver.run(seen.append, threading.Event())
    decided = [event for event in seen if not isinstance(event, events.SnapshotTaken)]
    assert [facts(event) for event in decided] == [facts(event) for event in dusk[1]]


def test_off_watches_like_any_run_and_learns_nothing(lockstep, dusk) -> None:
    parts, seen = play(lockstep(adapt="off"))
    assert len(of(seen, events.Prediction)) == len(of(seen, events.ShadowPrediction)) == 12
    assert [event.kind for event in of(seen, events.ShiftEvent)] == ["away"]
    assert [facts(event) for event in of(seen, events.ShiftScore)] == [
        facts(event) for event in of(dusk[1], events.ShiftScore)
    ]
    assert of(seen, events.AdaptationStep) == [] and parts.weights.latest.number == 0


def test_a_lossless_run_that_learns_inline_says_the_same_as_lockstep(lockstep) -> None:
    """Same parts, another driver: only the times of capture differ."""
    (_, expected), (_, seen) = (
        play(lockstep(seed=3, shadow=1.0, threads="1+1", **run))
        for run in ({"pace": "lockstep"}, {"pace": "max", "adapt": "inline"})
    )
    kinds = (events.Prediction, events.ShadowPrediction, events.AdaptationStep, events.ShiftScore, events.ShiftEvent)
    assert [facts(e) for e in seen if isinstance(e, kinds)] == [facts(e) for e in expected if isinstance(e, kinds)]
    assert of(seen, events.AdaptationStep)
