"""Sequences: which weather comes after which, and for how long; the presets that runs are named after.

    visit, weather = rain_sequence().at(frame)

A sequence is a list of visits, a visit a stretch of one domain (or of a ramp between two). Knows no images and no
streams.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate

from streams.synthetic.weather import Weather

FRAMES_PER_VISIT = 75  # seven and a half seconds at 10 frames per second


@dataclass(frozen=True, slots=True)
class Visit:
    """A stretch of `num_frames` frames under one name, its weather running linearly from `start` to `end`.

    The end itself is where the next visit starts: a ramp followed by a visit that starts at its end has no step.
    """

    name: str
    start: Weather
    end: Weather
    num_frames: int = FRAMES_PER_VISIT

    def __post_init__(self) -> None:
        if self.num_frames < 1:
            raise ValueError(f"visit.num_frames of {self.name!r} must be at least 1, got {self.num_frames}")

    def at(self, share: float) -> Weather:
        """The weather at a share in [0, 1] of the visit."""
        return Weather.mix(self.start, self.end, share)


@dataclass(frozen=True, slots=True)
class Sequence:
    """Visits one after the other; `description` is the line that `streams` lists."""

    name: str
    visits: tuple[Visit, ...]
    description: str

    def __post_init__(self) -> None:
        if not self.visits:
            raise ValueError(f"sequence {self.name!r} must have at least one visit")

    @property
    def num_frames(self) -> int:
        """Frames of all visits together."""
        return sum(visit.num_frames for visit in self.visits)

    def at(self, frame: int) -> tuple[int, Weather]:
        """Number of the visit that holds this frame, and its weather there; IndexError outside the sequence."""
        if not 0 <= frame < self.num_frames:
            raise IndexError(f"sequence {self.name!r} has frames 0 to {self.num_frames - 1}, got {frame}")
        ends = list(accumulate(visit.num_frames for visit in self.visits))
        number = bisect_right(ends, frame)
        visit = self.visits[number]
        return number, visit.at((frame - (ends[number] - visit.num_frames)) / visit.num_frames)

    def scaled(self, frames_per_visit: int) -> "Sequence":
        """The same sequence with the usual visit lasting this long, the others in proportion (at least one frame)."""
        if frames_per_visit < 1:
            raise ValueError(f"frames_per_visit must be at least 1, got {frames_per_visit}")
        visits = tuple(
            replace(visit, num_frames=max(1, round(visit.num_frames * frames_per_visit / FRAMES_PER_VISIT)))
            for visit in self.visits
        )
        return replace(self, visits=visits)


def rain_sequence() -> Sequence:
    """The storm of the continual adaptation literature (OnDA, HAMLET): up to 200 mm/h in steps and back."""
    rates = (0, 25, 50, 75, 100, 200, 100, 75, 50, 25, 0)
    visits = tuple(_steady(f"rain_{rate}mm" if rate else "clear", Weather(rain_mm_h=rate)) for rate in rates)
    return Sequence("rain_sequence", visits, "rain in steps: clear 25 50 75 100 200 100 75 50 25 clear mm/h")


def fog_sequence() -> Sequence:
    """Fog by visibility as in Foggy Cityscapes and HAMLET."""
    ranges_m = (750, 375, 150, 75, 150, 375, 750)
    fog = tuple(_steady(f"fog_{range_m}m", Weather(fog_visibility_m=range_m)) for range_m in ranges_m)
    clear = _steady("clear", Weather())
    return Sequence("fog_sequence", (clear, *fog, clear), "fog in steps: clear 750 375 150 75 150 375 750 clear m")


def night_sequence() -> Sequence:
    """One evening, one night and one morning."""
    day, dusk, night = _steady("day", Weather()), _steady("dusk", DUSK), _steady("night", NIGHT)
    return Sequence("night_sequence", (day, dusk, night, dusk, day), "light in steps: day dusk night dusk day")


def storm_gradual() -> Sequence:
    """One storm without any step: a ramp up, its height, a ramp down; a shift with no moment at which it happens."""
    dry, storm = Weather(), Weather(rain_mm_h=200)
    visits = (
        Visit("clear", dry, dry),
        Visit("rising", dry, storm, 3 * FRAMES_PER_VISIT),
        Visit("storm", storm, storm),
        Visit("falling", storm, dry, 3 * FRAMES_PER_VISIT),
        Visit("clear", dry, dry),
    )
    return Sequence("storm_gradual", visits, "rain without steps: clear, a ramp to 200 mm/h, a ramp back, clear")


def clear() -> Sequence:
    """The control: whatever a method does here is harm, noise or cost."""
    return Sequence("clear", (_steady("clear", Weather(), 400),), "the control: clear weather, nothing changes")


def mixed_recurring() -> Sequence:
    """Domains that return in irregular order, after irregular times, by a fixed table."""
    domains = {
        "clear": Weather(),
        "rain_100mm": Weather(rain_mm_h=100),
        "fog_150m": Weather(fog_visibility_m=150),
        "dusk": DUSK,
        "night": NIGHT,
        "low_sun": Weather(low_sun=0.8),
    }
    table = (
        *(("clear", 75), ("rain_100mm", 60), ("clear", 40), ("fog_150m", 110), ("night", 75), ("clear", 90)),
        *(("fog_150m", 50), ("rain_100mm", 130), ("low_sun", 60), ("clear", 45), ("dusk", 70), ("night", 45)),
        *(("rain_100mm", 40), ("clear", 60), ("fog_150m", 75), ("low_sun", 55), ("night", 100), ("dusk", 40)),
        *(("clear", 75),),
    )
    visits = tuple(_steady(name, domains[name], num_frames) for name, num_frames in table)
    return Sequence("mixed_recurring", visits, "rain, fog, dusk, night, low sun in irregular order and dwell")


DUSK = Weather(night=0.5)
NIGHT = Weather(night=1.0)

PRESETS: dict[str, Callable[[], Sequence]] = {
    "rain_sequence": rain_sequence,
    "fog_sequence": fog_sequence,
    "night_sequence": night_sequence,
    "storm_gradual": storm_gradual,
    "clear": clear,
    "mixed_recurring": mixed_recurring,
}


def _steady(name: str, weather: Weather, num_frames: int = FRAMES_PER_VISIT) -> Visit:
    return Visit(name, weather, weather, num_frames)
