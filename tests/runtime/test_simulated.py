"""Runs on a simulated clock: when frames are answered, and by which version, follows from the latencies by hand."""

import dataclasses
import itertools
import json
import math
import threading

import numpy as np
import pytest

from runtime.build import build
from runtime.config import RunConfig
from runtime.events import (
    AdaptationStep,
    FrameCaptured,
    FrameDropped,
    Prediction,
    ShadowPrediction,
    ShiftScore,
    SnapshotTaken,
    StatisticsTaken,
    Weighed,
)
from runtime.option_words import ConfigError, parse_latency
from runtime.resume import load_run, refuse_changes

FRAMES = 12


def play(tiny_world, latency, *, fps=10.0, policy="bare", **run):
    """Events of a run through the dusk split, learning from every frame; guarded from the third on at the latest."""
    config = tiny_world.config(
        stream={"fps": fps}, run={"pace": "lockstep", "latency": latency, "checkpoint_every_s": 1e6} | run
    )
    adaptation = dataclasses.replace(config.adaptation, policy=policy, serve_below=0.985)
    config = dataclasses.replace(config, adaptation=adaptation)
    seen = []
    build(config).driver.run(seen.append, threading.Event())
    return seen


def of(seen, kind):
    return [event for event in seen if isinstance(event, kind)]


def as_text(value):
    return value.tobytes() if isinstance(value, np.ndarray) else repr(value)


def answered(seen):
    """Start and end of each answer by frame, in ms since the first capture."""
    origin_s = of(seen, FrameCaptured)[0].at_s
    return {
        one.frame.index: tuple(round(1e3 * (at_s - origin_s), 3) for at_s in (one.started_at_s, one.finished_at_s))
        for one in of(seen, Prediction)
    }


@pytest.fixture(scope="module")
def in_gaps(tiny_world):
    return play(tiny_world, "60+120")


def test_frames_come_at_the_streams_rate_and_answers_take_their_time(in_gaps):
    assert answered(in_gaps) == {n: (100.0 * n, 100.0 * n + 60.0) for n in range(FRAMES)}
    assert [event.frame.captured_at_s for event in of(in_gaps, Prediction)] == [
        event.at_s for event in of(in_gaps, FrameCaptured)
    ]
    assert all(event.label_HW is not None for event in of(in_gaps, FrameCaptured))


def test_a_step_fills_gaps_and_its_version_serves_when_it_has_ended(in_gaps):
    """120 ms of learning are three gaps of 40: begun after the answer to frame n, it is done as frame n + 3 comes.
    Behind the last answer there is no gap to wait for.
    """
    steps = of(in_gaps, AdaptationStep)
    frames = [step.frame_index for step in steps]
    assert frames == [*range(0, FRAMES, 3), FRAMES - 1]
    assert {round(step.duration_s, 6) for step in steps} == {0.12}
    served = {event.frame.index: event.version for event in of(in_gaps, Prediction)}
    for step in steps:
        if step.outcome == "applied" and step.frame_index + 3 < FRAMES:
            before = {version for frame, version in served.items() if frame < step.frame_index + 3}
            assert step.version not in before and served[step.frame_index + 3] == step.version
    assert max(served.values()) > 0


def test_weighing_takes_as_long_as_answering(tiny_world):
    """Gaps, the last 40 ms of each period of 100, are filled by steps of 60, one or two answers a comparison, and one
    for the stream's statistics.
    """
    seen = play(tiny_world, "60+60", policy="guarded")
    weighed = {event.frame_index: 60 * event.num_forwards for event in of(seen, Weighed)}
    taken = {event.frame_index: 60 for event in of(seen, StatisticsTaken)}
    assert len(weighed) >= 2 and taken
    origin_s = of(seen, FrameCaptured)[0].at_s

    def spent_ms(at_s):
        now_ms = round(1e3 * (at_s - origin_s), 3)
        period = min(now_ms // 100, FRAMES - 1)  # behind the last answer all time is the learner's
        return 40 * period + max(0, now_ms - 100 * period - 60)

    for step, following in itertools.pairwise(of(seen, AdaptationStep)):
        took_ms = spent_ms(following.at_s) - spent_ms(step.at_s)
        index = step.frame_index
        assert took_ms == pytest.approx(60 + weighed.get(index, 0) + taken.get(index, 0))


def test_a_learner_with_a_device_of_its_own_never_pauses(tiny_world):
    """Its steps follow each other every 120 ms; each shows in the first answer that begins after its end."""
    seen = play(tiny_world, "60+120", adapt="thread")
    origin_s = of(seen, FrameCaptured)[0].at_s
    steps = of(seen, AdaptationStep)
    begun_ms = [round(1e3 * (step.at_s - origin_s), 3) for step in steps]
    assert begun_ms[0] % 100 == 60 and begun_ms == [begun_ms[0] + 120 * n for n in range(len(steps))]
    served = {event.frame.index: event.version for event in of(seen, Prediction)}
    applied = [(step, math.ceil((at_ms + 120) / 100)) for step, at_ms in zip(steps, begun_ms, strict=True)]
    applied = [(step, first) for step, first in applied if step.outcome == "applied" and first < FRAMES]
    assert len(applied) > 3
    assert all(served[first] >= step.version > served[first - 1] for step, first in applied)


def test_slow_answers_drop_frames_and_leave_no_gap(tiny_world):
    """150 ms at 10 frames/s: one waits, every third is displaced, and inference never rests before the last."""
    seen = play(tiny_world, "150+10")
    expected = [0, 1, 2, 4, 5, 7, 8, 10, 11]
    assert answered(seen) == {index: (150.0 * n, 150.0 * (n + 1)) for n, index in enumerate(expected)}
    assert [(event.index, event.reason) for event in of(seen, FrameDropped)] == [(n, "stale") for n in (3, 6, 9)]
    ended = max(event.finished_at_s for event in of(seen, Prediction))
    assert all(step.at_s >= ended for step in of(seen, AdaptationStep))
    assert {event.version for event in of(seen, Prediction)} == {0}


def test_constant_latencies_repeat_bit_for_bit(tiny_world, in_gaps):
    def facts(event):
        values = {
            field.name: getattr(event, field.name)
            for field in dataclasses.fields(event)
            if field.name not in ("at_s", "started_at_s", "finished_at_s", "frame", "duration_s", "state")
        }
        return type(event).__name__, {name: as_text(value) for name, value in values.items()}

    again = play(tiny_world, "60+120")
    assert [facts(event) for event in again] == [facts(event) for event in in_gaps]
    assert not of(again, SnapshotTaken)


def test_recorded_latencies_are_those_of_another_run(tiny_world, tmp_path):
    answers = [{"event": "prediction", "inference_ms": ms} for ms in (60.0, 90.0, 30.0)]
    steps = [{"event": "adaptation_step", "outcome": "applied", "duration_ms": 120.0}]
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, answers + steps)))
    seen = play(tiny_world, str(tmp_path))
    assert answered(seen) == {n: (100.0 * n, 100.0 * n + (60.0, 90.0, 30.0)[n % 3]) for n in range(FRAMES)}
    assert {round(one.duration_s, 6) for one in of(seen, AdaptationStep)} == {0.12}


def test_an_answer_that_comes_out_too_old_is_late_and_nobody_learns_from_it(tiny_world, tmp_path):
    """Two periods are 200 ms; all answers but one take 60."""
    answers = [{"event": "prediction", "inference_ms": 250.0 if n == 9 else 60.0} for n in range(FRAMES)]
    steps = [{"event": "adaptation_step", "outcome": "applied", "duration_ms": 120.0}]
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, answers + steps)))
    seen = play(tiny_world, str(tmp_path))
    assert [(event.index, event.reason) for event in of(seen, FrameDropped)] == [(9, "late"), (10, "stale")]
    assert list(answered(seen)) == [*range(9), 11]
    assert 9 not in {one.frame_index for one in of(seen, ShiftScore)}


def test_measured_latencies_are_those_of_this_machine(tiny_world):
    seen = play(tiny_world, "measured", fps=0.5)
    assert all(0 < event.inference_s < 2 for event in of(seen, Prediction))
    steps = of(seen, AdaptationStep)
    assert steps and all(step.duration_s > 0 for step in steps)
    assert all(event.duration_s > 0 for event in of(seen, ShadowPrediction))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"latency": "60"}, "--latency 60: expected P\\+S in ms, measured"),
        ({"latency": "0+5"}, "--latency 0\\+5: expected P\\+S"),
        ({"latency": "60+120", "pace": "live"}, "--latency 60\\+120: expected pace lockstep"),
        ({"latency": "60+120", "adapt": "inline"}, "--latency 60\\+120: expected learning in gaps"),
    ],
)
def test_what_cannot_be_simulated_is_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        RunConfig(**({"pace": "lockstep"} | options))
    assert parse_latency("60.5+120") == (60.5, 120.0)


def test_a_simulated_run_cannot_go_on(tmp_path):
    (tmp_path / "config.toml").write_text('[run]\npace = "lockstep"\nlatency = "60+120"\n')
    with pytest.raises(ConfigError, match="its clock was simulated"):
        refuse_changes(load_run(tmp_path))
