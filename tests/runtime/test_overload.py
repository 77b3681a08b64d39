"""Three times more frames than inference can answer: every answer is fresh, and learning is what gives way.

The real live driver, slot, freshness rule, cycle and governor, on a clock moved by hand: time passes only while a
stand-in computes, and the frames due meanwhile are handed over before it goes on.
"""

import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from runtime import events
from runtime.adaptation.cycle import AdaptationCycle
from runtime.adaptation.learning import Learning
from runtime.adaptation.schedule import LearningSchedule
from runtime.adaptation.shadow_plan import ShadowPlan
from runtime.effort import LEVELS
from runtime.governor import UP_WINDOW_S, Governor
from runtime.live import Live
from runtime.observer import Event
from runtime.rules import LiveRules, ThreadBudget, max_age_s
from runtime.shift.appearance import appearance
from runtime.shift.calibration import calibrate
from runtime.shift.jumps import JumpWatch
from runtime.shift.monitor import ShiftMonitor
from streams.frame import Frame
from tests.fakes import ManualClock, make_prediction, make_shadow, make_step

OVERLOAD = 3  # periods an inference takes
STEP_PERIODS = 5  # periods a learning step takes at full effort
HANDOVER_S = 60.0  # a test that waits longer is stuck


def picture(index: int, *, brightness: float) -> np.ndarray:
    """Patches with grain, no two pictures alike: the gate lets them pass."""
    rng = np.random.default_rng(index)
    patches_HW1 = rng.normal(rng.uniform(110, 140), 40, (4, 8, 1)).repeat(8, axis=0).repeat(8, axis=1)
    image_HWC = (patches_HW1 + rng.normal(0, rng.uniform(10, 15), (32, 64, 3))) * brightness
    return image_HWC.clip(0, 255).astype(np.uint8)


class World:
    """A stream of `num` dark frames at `fps`, and the only one that moves the clock.

    Frames in `delayed` arrive half a second after they were captured.
    """

    name, is_live, num_frames, cursor, faults = "world", True, None, 0, {}

    def __init__(self, fps: float, *, num: int, delayed: frozenset[int] = frozenset()) -> None:
        self.fps = fps
        self.clock = ManualClock()
        self.delayed = delayed
        self._num = num
        self._num_due = 1
        self._start_s = self.clock()
        self._due = threading.Semaphore(1)
        self._handed_over = threading.Semaphore(0)
        self._is_closed = False

    def __iter__(self):
        for index in range(self._num):
            assert self._due.acquire(timeout=HANDOVER_S)
            if self._is_closed:
                return
            delay_s = 0.5 if index in self.delayed else 0.0
            yield Frame(index, self.clock() - delay_s, picture(index, brightness=0.2))
            if index > 0:
                self._handed_over.release()

    def close(self) -> None:
        self._is_closed = True
        self._due.release()

    def pass_time(self, seconds: float) -> None:
        """Move the clock, and hand over every frame that falls due on the way."""
        end_s = self.clock() + seconds
        while self._num_due < self._num and (due_s := self._start_s + self._num_due / self.fps) <= end_s:
            self.clock.advance(max(0.0, due_s - self.clock()))
            self._num_due += 1
            self._due.release()
            assert self._handed_over.acquire(timeout=HANDOVER_S)
        self.clock.advance(max(0.0, end_s - self.clock()))


class Predicting:
    """Takes three periods."""

    def __init__(self, world: World) -> None:
        self._world = world

    def predict(self, frame: Frame) -> events.Prediction:
        started_at_s = self._world.clock()
        self._world.pass_time(OVERLOAD / self._world.fps)
        return replace(make_prediction(frame), started_at_s=started_at_s, finished_at_s=self._world.clock())


class SlowLearner:
    """Takes five periods, less at less effort."""

    is_at_source = False
    is_weighed = True
    is_surely_trusted = False
    is_at_home = False

    def __init__(self, world: World) -> None:
        self._world = world

    def learn(self, target, *, rate_share, depth, num_descents):
        assert rate_share > 0 and num_descents == 1
        self._world.pass_time(STEP_PERIODS / self._world.fps * target.crop_share * (0.5 if depth == "head" else 1.0))
        return make_step(target.frame_index, at_s=self._world.clock()), None

    def recall(self, *_):
        return ()

    def follow_stream(self, *_, period):
        assert period > 0

    def weigh(self, prediction, frozen_HW, *, distance):
        assert frozen_HW.shape == prediction.labels_HW.shape and distance >= 0.0
        return ()

    def distrust(self, frame_index):
        raise AssertionError(f"the stream does not return to the source, not at frame {frame_index}")

    def relax(self, frame_index):
        return make_step(frame_index, outcome="relaxed", at_s=self._world.clock())


class Shadowing:
    """Takes no time."""

    def predict(self, prediction: events.Prediction) -> events.ShadowPrediction:
        return make_shadow(prediction)


def play(world: World) -> list[Event]:
    """Everything that happened, with learning between two frames."""
    source = calibrate(np.stack([appearance(picture(-i % 97, brightness=1.0)) for i in range(40)]), quantile=0.95)
    shadow = ShadowPlan(Shadowing(), share=0.0)
    learning = Learning(
        SlowLearner(world),
        schedule=LearningSchedule(budget=10_000),
        governor=Governor(period_s=1 / world.fps),
        shadow=shadow,
    )
    cycle = AdaptationCycle(ShiftMonitor(JumpWatch(source)), shadow=shadow, learning=learning, clock=world.clock)
    rules = LiveRules(ThreadBudget(1, 1), "inline", is_lossless=False, max_age_s=max_age_s(world.fps))
    seen: list[Event] = []
    newest = -1

    def dispatch(event: Event) -> None:
        nonlocal newest
        seen.append(event)
        if isinstance(event, events.FrameCaptured):
            newest = event.index
        elif isinstance(event, events.FrameDropped) and event.index == newest:
            world.pass_time(1 / world.fps)  # no other gave it way: inference turned it down and waits for the next

    Live(world, Predicting(world), cycle, clock=world.clock, rules=rules).run(dispatch, threading.Event())
    assert not of(seen, events.Fault)
    return seen


def of(seen, kind):
    return [event for event in seen if isinstance(event, kind)]


def age_at_start_s(prediction: events.Prediction) -> float:
    return prediction.started_at_s - prediction.frame.captured_at_s


@pytest.mark.parametrize("fps", [5.0, 10.0, 30.0, 60.0])
def test_under_threefold_overload_every_frame_predicted_is_fresh_and_learning_gives_way(fps: float) -> None:
    seen = play(World(fps, num=round(24 * fps)))
    predictions = of(seen, events.Prediction)
    assert max(age_at_start_s(prediction) for prediction in predictions) <= max_age_s(fps)
    if (OVERLOAD + 1) / fps <= max_age_s(fps):  # where three periods leave room for it: the answers are as fresh
        assert max(prediction.latency_s for prediction in predictions) <= max_age_s(fps) + 1e-9
    counts = Counter(type(event) for event in seen)
    assert counts[events.FrameCaptured] == counts[events.Prediction] + counts[events.FrameDropped] == round(24 * fps)
    changes = of(seen, events.GovernorChanged)
    assert [change.level for change in changes] == list(range(1, len(LEVELS)))
    off_at_s = changes[-1].at_s
    assert off_at_s - 100.0 <= len(LEVELS) * (UP_WINDOW_S + (OVERLOAD + STEP_PERIODS) / fps)
    assert of(seen, events.AdaptationStep)
    assert not [step for step in of(seen, events.AdaptationStep) if step.at_s > off_at_s]
    late = [prediction for prediction in predictions if prediction.started_at_s > off_at_s]
    span_s = late[-1].finished_at_s - late[0].started_at_s
    assert len(late) == pytest.approx(span_s * fps / OVERLOAD, abs=1)  # inference has every moment to itself


def test_frames_that_come_too_old_are_not_predicted() -> None:
    """The newest there is was captured too long ago: it is dropped, not answered late."""
    world = World(10.0, num=120, delayed=frozenset({30, 60, 61, 62, 90}))
    seen = play(world)
    predictions = of(seen, events.Prediction)
    assert max(age_at_start_s(prediction) for prediction in predictions) <= max_age_s(10.0)
    dropped = {event.index: event.reason for event in of(seen, events.FrameDropped)}
    assert world.delayed <= dropped.keys() and set(dropped.values()) == {"stale"}
    assert not world.delayed & {prediction.frame.index for prediction in predictions}
