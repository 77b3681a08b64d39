"""Poison: what a stream or a learner may be fed that no road ever showed, by kind, in two plain dicts.

    stream = PoisonedStream("frozen", Plan(start="rain"), seed=0, size_HW=(256, 512))
    METHODS |= poisoned_methods(plan)

`PICTURES` spoil the frames of the stretch between the sound start and the clear end; `LESSONS` leave frames alone and
spoil what the method learns from while the stretch lasts. Labels stay those of the sound frame; nothing here scores.
"""

# H height, W width, C channels (RGB)

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from models.segformer import SegmentationModel
from replay.buffer import ReplayBuffer
from runtime.adaptation.method import Materials, Method, Target
from runtime.adaptation.methods import Entry
from runtime.adaptation.styled import StyledReplay
from streams.frame import IGNORE_LABEL, Frame
from streams.synthetic.sequences import Sequence as WeatherSequence
from streams.synthetic.sequences import Visit
from streams.synthetic.stream import SyntheticStream
from streams.synthetic.weather import Weather

STRETCH = "poison"  # domain of the poisoned frames
STARTS = {"clear": Weather(), "rain": Weather(rain_mm_h=100)}
LOOP_FRAMES = 8
LATE_FRAMES = 5


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


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """What a kind may look at: all sound frames so far, the last one being this, and how many of them are poisoned."""

    sound: Sequence[Frame]
    position: int
    generator: np.random.Generator

    @property
    def image_HWC(self) -> np.ndarray:
        return self.sound[-1].image_HWC

    @property
    def last_sound_HWC(self) -> np.ndarray:
        """The frame just before the stretch."""
        return self.sound[-2 - self.position].image_HWC


Spoil = Callable[[Moment], np.ndarray]


def none(moment: Moment) -> np.ndarray:
    """The control: what the weather alone does."""
    return moment.image_HWC


def noise(moment: Moment) -> np.ndarray:
    """Static in colour: every byte independent."""
    return moment.generator.integers(0, 256, moment.image_HWC.shape, dtype=np.uint8)


def grey_noise(moment: Moment) -> np.ndarray:
    """Static of a receiver without a signal, in grains of two pixels."""
    height, width = moment.image_HWC.shape[:2]
    grains_HW = moment.generator.normal(127, 60, (height // 2 + 1, width // 2 + 1, 1))
    return _bytes(grains_HW.repeat(2, axis=0).repeat(2, axis=1)[:height, :width].repeat(3, axis=2))


def black(moment: Moment) -> np.ndarray:
    """A dead sensor."""
    return np.zeros_like(moment.image_HWC)


def covered(moment: Moment) -> np.ndarray:
    """A covered lens: nothing but the noise of the sensor at high gain, and a little light at one side."""
    width = moment.image_HWC.shape[1]
    light_W1 = np.linspace(8, 12, width)[:, None]
    return _bytes(light_W1 + moment.generator.normal(0, 6, moment.image_HWC.shape))


def frozen(moment: Moment) -> np.ndarray:
    """The picture before the stretch, byte for byte."""
    return moment.last_sound_HWC


def frozen_noisy(moment: Moment) -> np.ndarray:
    """The picture before the stretch with coding noise: one byte in eight is off by one."""
    off_HWC = moment.generator.choice([-1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], moment.image_HWC.shape)
    return _bytes(moment.last_sound_HWC + off_HWC)


def looped(moment: Moment) -> np.ndarray:
    """The last pictures before the stretch, round and round."""
    first = len(moment.sound) - 1 - moment.position - LOOP_FRAMES
    return moment.sound[first + moment.position % LOOP_FRAMES].image_HWC


def repeated(moment: Moment) -> np.ndarray:
    """An adversary puts one picture, with fresh noise so that no byte repeats, between every two live ones."""
    if moment.position % 2:
        return moment.image_HWC
    return _bytes(moment.last_sound_HWC + moment.generator.normal(0, 2, moment.image_HWC.shape))


def torn(moment: Moment) -> np.ndarray:
    """The lower part stands still."""
    return np.concatenate([moment.image_HWC[: _cut(moment)], moment.last_sound_HWC[_cut(moment) :]])


def sheared(moment: Moment) -> np.ndarray:
    """The upper part is of this moment, the lower part of the one before."""
    return np.concatenate([moment.image_HWC[: _cut(moment)], moment.sound[-2].image_HWC[_cut(moment) :]])


def dead_blocks(moment: Moment) -> np.ndarray:
    """Pixels that were NaN before they became bytes, in rectangles: 0 or 255 there."""
    image_HWC = moment.image_HWC.copy()
    height, width = image_HWC.shape[:2]
    for _ in range(6):
        top, left = moment.generator.integers(0, height * 3 // 4), moment.generator.integers(0, width * 3 // 4)
        value = 255 if moment.generator.random() < 0.25 else 0
        image_HWC[top : top + height // 4, left : left + width // 4] = value
    return image_HWC


def flicker(moment: Moment) -> np.ndarray:
    """Exposure gone wild: every frame up to three times too bright, or too dark, and noisier for it."""
    gain = float(np.exp(moment.generator.uniform(-1.1, 1.1)))
    return _bytes(moment.image_HWC * gain + moment.generator.normal(0, 8 * gain, moment.image_HWC.shape))


def swapped(moment: Moment) -> np.ndarray:
    """Red and blue exchanged."""
    return moment.image_HWC[..., ::-1].copy()


def upside_down(moment: Moment) -> np.ndarray:
    """The camera turned over."""
    return moment.image_HWC[::-1, ::-1].copy()


def late(moment: Moment) -> np.ndarray:
    """Every second frame overtaken by younger ones; its number says so."""
    return moment.sound[-1 - _lateness(moment)].image_HWC


PICTURES: Mapping[str, Spoil] = {
    spoil.__name__: spoil
    for spoil in (
        *(none, noise, grey_noise, black, covered, frozen, frozen_noisy, looped, repeated, torn, sheared),
        *(dead_blocks, flicker, swapped, upside_down, late),
    )
}


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
            index = frame.index - (_lateness(moment) if self._is_late else 0)
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

        return Entry(f"styled, its lessons spoiled: {kind}", build)

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


def _cut(moment: Moment) -> int:
    height: int = moment.image_HWC.shape[0]
    return height * 2 // 5


def _lateness(moment: Moment) -> int:
    return LATE_FRAMES if moment.position % 2 and moment.position >= LATE_FRAMES else 0


def _bytes(values_HWC: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.clip(np.rint(values_HWC), 0, 255).astype(np.uint8)
    return result
