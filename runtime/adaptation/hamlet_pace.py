"""HAMLET's pace: which frames are learned from, at what rate, and how much of the source is pasted.

    step = pace.begin()                     # before a frame: None is rest
    ...
    pace.note(distance)                     # after it: may grant steps, from the next frame on

Colomer et al., ICCV 2023, arXiv 2307.15063, "active training modulation" and "dynamic ClassMix", with the constants of
the released code. The mean distance of a window that departs far enough from the anchor is a change of domain
(`runtime/shift/windows.py`). It grants

- a budget: 750 iterations for every step it departs by; coming back 25 to 75 % of that, by how far the domain still is
  from the source; what was left of the last grant is added, 4450 at most;
- a rate: the recipe's at the source, four times that at the farthest domain, falling linearly to 0 as the budget is
  spent;
- the share of source classes to paste: half of them at the source, a quarter at the farthest domain.

Iterations are frames, whether learned from or not: after a budget is spent the pace rests until the next change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from runtime.shift.windows import DomainChange, DomainWindows
from runtime.state import State

WINDOW = 75  # frames; 200 for SHIFT
BASE_STEPS = 750
MAX_STEPS = 4450
BACK_SHARES = (0.25, 0.75)  # of BASE_STEPS on the way back, at the source and at the farthest domain
FAR_RATE = 4.0  # 6e-5 over 1.5e-5
PASTED_SHARES = (0.5, 0.25)  # of the source's classes, at the source and at the farthest domain
DUST = 1e-6  # of a step: 1499.9999999 from binary fractions is 1500


@dataclass(frozen=True, slots=True)
class Scale:
    """What distances mean to one network, in nats: the mean at the source, that of the farthest domain, the step that
    budgets are counted in, and the difference of window means from which on it is a change, at least a step.

    The defaults are published for Cityscapes and its rain.
    """

    source: float = 0.8
    farthest: float = 2.55
    step: float = 0.23
    limit: float = 0.23

    @classmethod
    def of_source(cls, distances: Sequence[float]) -> "Scale":
        """Calibrated on readings of source samples: the published scale in units of their mean.

        Published frames come shuffled, and means of 75 hardly differ. In the order of a drive a window shows one place
        and varies nearly as single samples do: the limit is two standard deviations of the difference of two samples,
        where that is more than a step.
        """
        published, source = cls(), fmean(distances)
        unit = source / published.source
        step = published.step * unit
        return cls(source, published.farthest * unit, step, max(step, 2 * 2**0.5 * stdev(distances)))

    def between(self, distance: float, at_source: float, at_farthest: float) -> float:
        """Linear in the distance, and level beyond both ends."""
        share = (distance - self.source) / (self.farthest - self.source)
        return at_source + min(1.0, max(0.0, share)) * (at_farthest - at_source)


@dataclass(frozen=True, slots=True)
class PacedStep:
    """How to learn from one frame: `rate` is a factor on the recipe's, `ratio` the share of classes to paste."""

    rate: float
    ratio: float


class Pace:
    """Budget, rate and ratio, set by the windows' changes."""

    def __init__(self, scale: Scale, *, windows: DomainWindows) -> None:
        self._scale = scale
        self._windows = windows
        self._iteration = 0
        self._budget = 0
        self._rate = 1.0
        self._ratio = PASTED_SHARES[0]

    @property
    def budget(self) -> int:
        """Iterations granted by the last change, from that change on."""
        return self._budget

    def begin(self) -> PacedStep | None:
        """How to learn from the frame that comes now; None where the budget is spent, and before any change."""
        position = self._iteration
        self._iteration += 1
        if position >= self._budget:
            return None
        return PacedStep(self._rate * (1.0 - position / self._budget), self._ratio)

    def note(self, distance: float) -> DomainChange | None:
        """The distance read on this frame; the change its window ends with, if it does."""
        change = self._windows.update(distance)
        if change is not None:
            self._grant(change)
        return change

    def _grant(self, change: DomainChange) -> None:
        steps = abs(change.level - change.anchor) / self._scale.step
        each = BASE_STEPS if change.is_outward else BASE_STEPS * self._scale.between(change.level, *BACK_SHARES)
        left = max(self._budget - self._iteration, 0)
        self._budget = min(int(steps * each + DUST) + left, MAX_STEPS)
        self._rate = self._scale.between(change.level, 1.0, FAR_RATE)
        self._ratio = self._scale.between(change.level, *PASTED_SHARES)
        self._iteration = 0

    def state(self) -> State:
        """Where the budget and the window stand."""
        return {
            "windows": self._windows.state(),
            "iteration": self._iteration,
            "budget": self._budget,
            "rate": self._rate,
            "ratio": self._ratio,
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {
                "windows": dict(windows),
                "iteration": int(iteration),
                "budget": int(budget),
                "rate": float(rate),
                "ratio": float(ratio),
            }:
                self._windows.load_state(windows)
                self._iteration, self._budget = iteration, budget
                self._rate, self._ratio = rate, ratio
            case _:
                raise ValueError(f"not the state of a pace: it has the keys {sorted(state)}")
