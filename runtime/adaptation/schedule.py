"""When to learn, how long, how fast.

Learning at true labels costs a little where there is nothing to win, so it happens only away from the source: at full
rate while the budget a shift granted lasts, then on one frame of eight (the domain may drift on). Weights fresh from
the source may take several descents a frame, for until they have left it they are of little use. Back at the source
the weights are pulled to the source's until they are equal. Without a budget it learns from every frame at the full
rate, as test-time methods are published. Decisions only; the learner acts.
"""

from enum import Enum

from runtime.events import ShiftEvent
from runtime.state import State

UPKEEP_PERIOD = 8  # frames that share a step once the budget is spent
HOLD_FRAMES = 10  # the detector's time to agree that a known domain is back
FULL_RATE_SCORE = 2.0  # shift score from which learning goes at its full rate; dusk has 1.0 to 1.5, night and rain 2.1
LEAST_RATE = 0.2
FRESH_FRAMES = 30  # learned from since the weights were the source's


class Action(Enum):
    """What the learner does with a frame."""

    LEARN = "learn"
    RELAX = "relax"
    REST = "rest"


class LearningSchedule:
    """One owner; `budget` frames to learn from are granted by every shift away from or between shifted domains.

    None: shifts make no difference. The first FRESH_FRAMES learned from since the source are worth `fresh_descents`
    each.
    """

    def __init__(self, *, budget: int | None, fresh_descents: int = 1) -> None:
        self._budget = budget or 0
        self._is_always = budget is None
        self._fresh_descents = fresh_descents
        self._remaining = 0
        self._is_away = False
        self._held_until = -1
        self._learnt_period = -1  # the newest one of UPKEEP_PERIOD frames in which a frame was learned from
        self._num_learnt = 0  # frames since the weights were the source's

    def notice(self, shift: ShiftEvent) -> None:
        self._is_away = shift.kind != "return"
        self._remaining = self._budget if self._is_away else 0
        self._held_until = -1

    def hold(self, frame_index: int) -> None:
        """This frame looks like the domain whose weights are at hand: do not relax them, if no shift is known yet."""
        self._held_until = frame_index + HOLD_FRAMES

    def decide(self, frame_index: int, *, is_at_source: bool) -> Action:
        """The action for this frame; changes nothing, so that a step shed for lack of time keeps its budget, and the
        next frame takes the turn of one that was never asked about.
        """
        if self._is_always:
            return Action.LEARN
        if not self._is_away:
            return Action.REST if is_at_source or frame_index < self._held_until else Action.RELAX
        if self._remaining > 0:
            return Action.LEARN
        return Action.LEARN if frame_index // UPKEEP_PERIOD != self._learnt_period else Action.REST

    def spend(self, frame_index: int, *, is_at_source: bool) -> int:
        """This frame is learned from; how many descents it is worth."""
        self._learnt_period = frame_index // UPKEEP_PERIOD
        self._remaining = max(0, self._remaining - 1)
        self._num_learnt = 1 if is_at_source else self._num_learnt + 1
        return 1 if self._is_always or self._num_learnt > FRESH_FRAMES else self._fresh_descents

    def rate_share(self, score: float) -> float:
        """In [LEAST_RATE, 1]: in proportion to how far the shift score lies beyond the edge of the source, 1.

        Near the edge there is little to win, and it may be a false alarm; far away there is little to lose.
        """
        return 1.0 if self._is_always else min(1.0, max(LEAST_RATE, (score - 1.0) / (FULL_RATE_SCORE - 1.0)))

    def state(self) -> State:
        """Where the stream is, and what is left of the budget."""
        return {
            "remaining": self._remaining,
            "is_away": self._is_away,
            "held_until": self._held_until,
            "learnt_period": self._learnt_period,
            "num_learnt": self._num_learnt,
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {
                "remaining": int(remaining),
                "is_away": bool(is_away),
                "held_until": int(held_until),
                "learnt_period": int(learnt_period),
                "num_learnt": int(num_learnt),
            }:
                self._remaining, self._is_away, self._held_until = remaining, is_away, held_until
                self._learnt_period, self._num_learnt = learnt_period, num_learnt
            case _:
                raise ValueError(f"not the state of a learning schedule: it has the keys {sorted(state)}")
