"""The streams that detection is measured on, and the frames at which each of them truly changes.

Jumps are the visits of presets; a step of one weather's intensity is told from a jump to other weather. A drive is
clear weather all along one street, which bends and has traffic. Places are clear weather on another street every four
seconds: content changes at once, and nothing is to be learnt.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from itertools import accumulate, chain, islice, pairwise

from streams.frame import Frame
from streams.stream import StreamOptions, open_stream
from streams.synthetic.sequences import PRESETS, Sequence, Visit, clear
from streams.synthetic.stream import SyntheticStream
from streams.synthetic.weather import Weather

JUMP_TOLERANCE = 40  # frames
RAMP = "storm_gradual"
DRIVE_SEED, PLACES_SEED = 100, 1000  # away from the seeds of presets
FRAMES_PER_PLACE, NUM_PLACES = 40, 10


@dataclass(frozen=True, slots=True)
class Trial:
    """A stream to be watched. `changes` are first frames, `titles` what each is from and to ("clear to fog_75m"),
    `is_step` whether it stays within one weather.

    `group` is what it is counted under: jumps, ramps, drives, places or recorded.
    """

    name: str
    group: str
    seed: int
    num_frames: int
    changes: tuple[int, ...]
    titles: tuple[str, ...]
    is_step: tuple[bool, ...]
    tolerance: int
    frames: Callable[[], Iterator[Frame]]


def preset_trial(name: str, seed: int, *, size_HW: tuple[int, int]) -> Trial:
    """A preset on the synthetic street of that seed."""
    sequence = PRESETS[name]()
    frames = partial(_synthetic, sequence, seed, size_HW)
    starts = list(accumulate(visit.num_frames for visit in sequence.visits))
    if name == RAMP:
        ramps = [start for start, visit in zip([0, *starts], sequence.visits, strict=False) if visit.start != visit.end]
        tolerance = JUMP_TOLERANCE + max(visit.num_frames for visit in sequence.visits)
        steps = (False,) * len(ramps)
        titles = tuple(visit.name for visit in sequence.visits if visit.start != visit.end)
        return Trial(name, "ramps", seed, starts[-1], tuple(ramps), titles, steps, tolerance, frames)
    changes, titles = tuple(starts[:-1]), titles_of(sequence)
    return Trial(name, "jumps", seed, starts[-1], changes, titles, steps_of(sequence), JUMP_TOLERANCE, frames)


def drive_trial(number: int, num_frames: int, *, size_HW: tuple[int, int]) -> Trial:
    """Clear weather along the street of that number."""
    seed = DRIVE_SEED + number
    sequence = Sequence("drive", (Visit("clear", Weather(), Weather(), num_frames),), "clear weather along one street")
    return Trial(
        "drive", "drives", seed, num_frames, (), (), (), JUMP_TOLERANCE, partial(_synthetic, sequence, seed, size_HW)
    )


def places_trial(number: int, *, size_HW: tuple[int, int]) -> Trial:
    """Clear weather on NUM_PLACES streets, one after the other."""
    seed = PLACES_SEED + number
    num_frames = FRAMES_PER_PLACE * NUM_PLACES
    return Trial("places", "places", seed, num_frames, (), (), (), JUMP_TOLERANCE, partial(_places, number, size_HW))


def recorded_trial(name: str, options: StreamOptions) -> Trial:
    """A preset's weather on a recording, or a recorded stream as it is, which is one change at its first frame."""
    stream = open_stream(name, options)
    num_frames = stream.num_frames
    stream.close()
    assert num_frames is not None  # data sets know their length
    changes: tuple[int, ...] = (0,)
    titles: tuple[str, ...] = ("source to dusk",)
    is_step: tuple[bool, ...] = (False,)
    if name in PRESETS:
        sequence = PRESETS[name]()
        length = num_frames // len(sequence.visits)
        changes = tuple(length * number for number in range(1, len(sequence.visits)))
        titles, is_step = titles_of(sequence), steps_of(sequence)
    frames = partial(open_stream, name, options)
    return Trial(
        name, "recorded", options.seed, num_frames, changes, titles, is_step, JUMP_TOLERANCE, lambda: iter(frames())
    )


def titles_of(sequence: Sequence) -> tuple[str, ...]:
    """For every visit but the first, the domain before and its own."""
    return tuple(f"{before.name} to {after.name}" for before, after in pairwise(sequence.visits))


def steps_of(sequence: Sequence) -> tuple[bool, ...]:
    """For every visit but the first, whether it only has more or less of the same weather than the one before."""
    kinds = [_kind(visit.start) for visit in sequence.visits]
    return tuple(before == after != frozenset() for before, after in pairwise(kinds))


def _kind(weather: Weather) -> frozenset[str]:
    """What there is of weather, without how much."""
    calm = Weather()
    return frozenset(
        field.name for field in fields(Weather) if getattr(weather, field.name) != getattr(calm, field.name)
    )


def _synthetic(sequence: Sequence, seed: int, size_HW: tuple[int, int]) -> Iterator[Frame]:
    return iter(SyntheticStream(sequence, seed=seed, size_HW=size_HW))


def _places(number: int, size_HW: tuple[int, int]) -> Iterator[Frame]:
    seeds = range(PLACES_SEED + NUM_PLACES * number, PLACES_SEED + NUM_PLACES * (number + 1))
    return chain.from_iterable(islice(_synthetic(clear(), seed, size_HW), FRAMES_PER_PLACE) for seed in seeds)
