"""Poison: what a stream or a learner may be fed that no road ever showed, by kind, in two plain dicts.

    stream = PoisonedStream("frozen", Plan(start="rain"), seed=0, size_HW=(256, 512))
    METHODS |= poisoned_methods(plan)

`PICTURES` (`poisoned_pictures.py`) spoil the frames of the stretch between the sound start and the clear end; `LESSONS`
leave frames alone and spoil what the method learns from while the stretch lasts. Nothing here scores.
"""

# H height, W width

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from benchmarks.poisoned_pictures import PICTURES, Moment, late, lateness, none
from models.segformer import SegmentationModel
from replay.buffer import ReplayBuffer
from runtime.adaptation.method import Materials, Method, Target
from runtime.adaptation.methods import STYLED_RECIPE, Entry
from runtime.adaptation.styled import StyledReplay
from streams.frame import IGNORE_LABEL, Frame
from streams.synthetic.sequences import Sequence as WeatherSequence
from streams.synthetic.sequences import Visit
from streams.synthetic.stream import SyntheticStream
from streams.synthetic.weather import Weather

STRETCH = "poison"  # domain of the poisoned frames
STARTS = {"clear": Weather(), "rain": Weather(rain_mm_h=100)}


@dataclass(frozen=True, slots=True)
class Plan:
    """Frames of the sound start, of the poisoned stretch in the same weather, and of the clear end."""

    start: Literal["clear", "rain"] = "clear"
    before: int = 40
    poison: int = 120
    after: int = 75

    def sequence(self) -> WeatherSequence:
        weather, dry = STARTS[self.start], STARTS["clear"]
        visits = (
            Visit(self.start, weather, weather, self.before),
            Visit(STRETCH, weather, weather, self.poison),
            Visit("after", dry, dry, self.after),
        )
        return WeatherSequence(f"poisoned_{self.start}", visits, "sound, poisoned, clear")

    def is_poisoned(self, frame_index: int) -> bool:
        return self.before <= frame_index < self.before + self.poison


class PoisonedStream:
    """The synthetic street by a plan, its middle spoiled. Keeps the pictures it played, for kinds that repeat them."""

    def __init__(self, kind: str, plan: Plan, *, seed: int, size_HW: tuple[int, int]) -> None:
        self.name = f"{kind}-{plan.start}"
        self._spoil = PICTURES.get(kind, none)
        self._is_late = kind == late.__name__
        self._plan = plan
        self._seed = seed
        self._sound = SyntheticStream(plan.sequence(), seed=seed, size_HW=size_HW)

    fps, is_live = 10.0, False

    @property
    def faults(self) -> Mapping[str, int]:
        return {}

    @property
    def num_frames(self) -> int | None:
        return self._sound.num_frames

    @property
    def cursor(self) -> int:
        return self._sound.cursor

    def __iter__(self) -> Iterator[Frame]:
        played: list[Frame] = []
        for frame in self._sound:
            played.append(replace(frame, depth_HW=None, flow_HW2=None))
            if not self._plan.is_poisoned(frame.index):
                yield played[-1]
                continue
            generator = np.random.default_rng((self._seed, frame.index, 31))
            moment = Moment(played, frame.index - self._plan.before, generator)
            index = frame.index - (lateness(moment) if self._is_late else 0)
            yield replace(played[-1], index=index, image_HWC=self._spoil(moment))

    def close(self) -> None:
        self._sound.close()


class Lessons(Method):
    """A method whose lessons are spoiled while the stretch lasts and sound before and after."""

    def __init__(self, sound: Method, spoiled: Method, plan: Plan) -> None:
        self._sound = sound
        self._spoiled = spoiled
        self._plan = plan

    def loss(self, student: SegmentationModel, target: Target) -> Tensor | None:
        return (self._spoiled if self._plan.is_poisoned(target.frame_index) else self._sound).loss(student, target)


class Numbers(Method):
    """A sound loss made useless by arithmetic alone: `spoil` gets the loss and a parameter it depends on."""

    def __init__(self, sound: StyledReplay, spoil: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._sound = sound
        self._spoil = spoil

    def loss(self, student: SegmentationModel, target: Target) -> Tensor:
        weight = next(parameter for parameter in student.parameters() if parameter.requires_grad)
        return self._spoil(self._sound.loss(student, target), weight)


def overflow(loss: Tensor, _: Tensor) -> Tensor:
    """float32 ends at 3.4e38; inf minus inf is NaN."""
    huge = (loss + 1.0) * 3e38 * 3e38
    return huge - huge


def endless_slope(loss: Tensor, weight: Tensor) -> Tensor:
    """A finite loss with a gradient that is not: the square root at zero."""
    return loss + (weight - weight.detach()).square().sum().sqrt()


def between_classes(labels_NHW: Tensor, generator: torch.Generator) -> Tensor:
    """Every class takes another's name."""
    names = torch.arange(IGNORE_LABEL + 1, dtype=torch.uint8)
    names[:19] = names[:19].roll(int(torch.randint(1, 19, (), generator=generator)))
    return names[labels_NHW.long()]


def between_samples(labels_NHW: Tensor, generator: torch.Generator) -> Tensor:
    """Every picture gets another's labels."""
    return labels_NHW.roll(int(torch.randint(1, len(labels_NHW), (), generator=generator)), dims=0)


def ascent(loss: Tensor, _: Tensor) -> Tensor:
    """The sign is wrong: what is learnt is to be wrong."""
    return -loss


NUMBERS = {"nan_loss": overflow, "nan_gradient": endless_slope, "ascent": ascent}
LABELS = {"labels_of_classes": between_classes, "labels_of_samples": between_samples}
LESSONS = (*LABELS, *NUMBERS)


def poisoned_methods(plan: Plan) -> dict[str, Entry]:
    """The default method with each kind of spoiled lesson, by the kind's name."""

    def entry(kind: str) -> Entry:
        def build(given: Materials) -> Method:
            sound = StyledReplay(given.replay, device=given.device, generator=given.generator)
            if kind in NUMBERS:
                return Lessons(sound, Numbers(sound, NUMBERS[kind]), plan)
            replay = relabelled(given.replay, kind, given.generator)
            return Lessons(sound, StyledReplay(replay, device=given.device, generator=given.generator), plan)

        return Entry(f"styled, its lessons spoiled: {kind}", build, recipe=STYLED_RECIPE)

    return {kind: entry(kind) for kind in LESSONS}


def relabelled(replay: ReplayBuffer, kind: str, generator: torch.Generator) -> ReplayBuffer:
    """A second buffer with the same pictures and labels shuffled by a kind of LABELS."""
    images_NHWC, labels_NHW = replay.gather(torch.arange(len(replay)))
    labels_NHW = LABELS[kind](labels_NHW, generator)
    held = replay.statistics()
    spoiled = ReplayBuffer(replay.size_HW, capacity_bytes=held.num_bytes, generator=generator)
    for image, label in zip(images_NHWC, labels_NHW, strict=True):
        spoiled.add(image, label)
    return spoiled
