"""Pictures no road ever showed, by kind: what a sensor, a cable, a decoder or an adversary makes of sound frames.

    image_HWC = PICTURES["torn"](Moment(sound, position, generator))

Labels stay those of the sound frame; which frames are spoiled is the plan's business (`poisoned.py`).
"""

# H height, W width, C channels (RGB)

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streams.frame import Frame

LOOP_FRAMES = 8
LATE_FRAMES = 5


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
    return moment.sound[-1 - lateness(moment)].image_HWC


PICTURES: Mapping[str, Spoil] = {
    spoil.__name__: spoil
    for spoil in (
        *(none, noise, grey_noise, black, covered, frozen, frozen_noisy, looped, repeated, torn, sheared),
        *(dead_blocks, flicker, swapped, upside_down, late),
    )
}


def lateness(moment: Moment) -> int:
    """By how many frames a picture of kind `late` is overtaken."""
    return LATE_FRAMES if moment.position % 2 and moment.position >= LATE_FRAMES else 0


def _cut(moment: Moment) -> int:
    height: int = moment.image_HWC.shape[0]
    return height * 2 // 5


def _bytes(values_HWC: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.clip(np.rint(values_HWC), 0, 255).astype(np.uint8)
    return result
