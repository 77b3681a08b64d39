"""People, riders, bicycles and motorcycles: flat figures drawn by their limbs, one picture per phase of the step.

A figure stands upright across the street; `turned` figures are seen from behind or in front, the others from the side.
"""

from functools import lru_cache

import numpy as np

from streams.synthetic.classes import BICYCLE, MOTORCYCLE, PERSON, RIDER
from streams.synthetic.randomness import generator
from streams.synthetic.sprites import Canvas, Sprite
from streams.synthetic.textures import Colour, lit

NUM_VARIANTS = 40
NUM_PHASES = 6
_PX_PER_M = 56.0
_SKIN: tuple[Colour, ...] = ((226, 180, 150), (198, 144, 110), (140, 96, 70), (96, 64, 48))
_HAIR: tuple[Colour, ...] = ((40, 30, 24), (90, 60, 36), (190, 160, 100), (24, 24, 26), (150, 150, 150))
_TOPS: tuple[Colour, ...] = (
    (190, 40, 46), (40, 70, 150), (230, 226, 216), (36, 38, 44),
    (210, 160, 50), (70, 130, 90), (150, 90, 140), (90, 140, 180),
)  # fmt: skip
_TROUSERS: tuple[Colour, ...] = ((44, 54, 82), (36, 36, 40), (110, 98, 80), (70, 74, 80), (140, 134, 120))


class _Clothes:
    def __init__(self, rng: np.random.Generator) -> None:
        self.skin = _pick(rng, _SKIN)
        self.hair = _pick(rng, _HAIR)
        self.top = _pick(rng, _TOPS)
        self.trousers = _pick(rng, _TROUSERS)
        self.has_coat = bool(rng.random() < 0.25)
        self.has_bag = bool(rng.random() < 0.3)


@lru_cache(maxsize=1024)
def person(variant: int, phase: int, *, turned: bool) -> Sprite:
    """A walking person, about 1.75 m tall."""
    rng = generator(20, variant)
    clothes = _Clothes(rng)
    tall = float(rng.uniform(1.58, 1.88))
    swing = float(np.sin(2 * np.pi * phase / NUM_PHASES))
    canvas = Canvas(1.0, tall + 0.04, px_per_m=_PX_PER_M, label=PERSON)
    k = tall / 1.75
    stride = (0.05 if turned else 0.27) * swing
    lift = 0.07 * swing if turned else 0.0
    spread = 0.11 if turned else 0.0
    hip, neck = 0.90 * k, 1.45 * k
    for sign, shade in ((-1, 0.8), (1, 1.0)):
        foot = (0.5 + sign * (stride + spread), max(0.05, 0.05 + sign * lift))
        knee = (0.5 + sign * (0.55 * stride + spread) + (0 if turned else 0.04), 0.48 * k)
        canvas.line([(0.5 + sign * spread * 0.7, hip), knee, foot], 0.165, lit(clothes.trousers, shade))
        toe = 0.0 if turned else 0.10
        canvas.line([foot, (foot[0] + toe, foot[1])], 0.11, (30, 26, 24))
    width = 0.23 if turned else 0.16
    far_arm = [
        (0.5 - width, neck - 0.08),
        (0.5 - width - 0.05 - stride * 0.6, 1.10 * k),
        (0.5 - width - stride, 0.86 * k),
    ]
    near_arm = [
        (0.5 + width, neck - 0.08),
        (0.5 + width + 0.05 - stride * 0.6, 1.10 * k),
        (0.5 + width - stride, 0.86 * k),
    ]
    if not turned:
        far_arm = [(0.5, neck - 0.08), (0.5 - 0.7 * stride, 1.12 * k), (0.5 - 1.1 * stride, 0.90 * k)]
        near_arm = [(0.5, neck - 0.08), (0.5 + 0.7 * stride, 1.12 * k), (0.5 + 1.1 * stride + 0.05, 0.90 * k)]
    canvas.line(far_arm, 0.12, lit(clothes.top, 0.75))
    low = 0.62 * k if clothes.has_coat else hip - 0.04
    canvas.polygon(
        [(0.5 - width * 0.85, low), (0.5 - width, neck - 0.05), (0.5 - width * 0.5, neck + 0.03),
         (0.5 + width * 0.5, neck + 0.03), (0.5 + width, neck - 0.05), (0.5 + width * 0.85, low)],
        clothes.top,
    )  # fmt: skip
    canvas.line([(0.5 - width * 0.6, low + 0.05), (0.5 - width * 0.7, neck - 0.1)], 0.06, lit(clothes.top, 1.2))
    canvas.line(near_arm, 0.12, lit(clothes.top, 0.92))
    canvas.ellipse(near_arm[-1], (0.06, 0.06), clothes.skin)
    if clothes.has_bag:
        canvas.box(0.5 - width - 0.10, hip, 0.5 - width + 0.12, hip + 0.34, (70, 48, 36))
    _head(canvas, (0.5 + (0 if turned else 0.03), 1.62 * k), clothes, helmet=None)
    return canvas.finish()


@lru_cache(maxsize=1024)
def cyclist(variant: int, phase: int) -> Sprite:
    """A person riding a bicycle, seen at an angle from the side; 1.35 m wide."""
    rng = generator(21, variant)
    clothes = _Clothes(rng)
    canvas = Canvas(1.35, 1.86, px_per_m=_PX_PER_M, label=BICYCLE)
    _bicycle(canvas, rng, offset=0.0, squeeze=0.74)
    canvas.current_label = RIDER
    turn = 2 * np.pi * phase / NUM_PHASES
    saddle, bar, crank = (0.46, 1.00), (0.95, 1.08), (0.60, 0.32)
    for sign, shade in ((-1.0, 0.75), (1.0, 1.0)):
        foot = (crank[0] + sign * 0.14 * np.cos(turn), crank[1] + sign * 0.16 * np.sin(turn))
        knee = (0.5 * (saddle[0] + foot[0]) + 0.2, 0.5 * (saddle[1] + foot[1]) + 0.10)
        canvas.line([saddle, knee, foot], 0.16, lit(clothes.trousers, shade))
        canvas.line([foot, (foot[0] + 0.1, foot[1])], 0.09, (28, 26, 26))
    canvas.polygon([(0.34, 0.96), (0.50, 1.46), (0.66, 1.56), (0.78, 1.44), (0.62, 0.98)], clothes.top)
    canvas.line([(0.70, 1.44), (0.82, 1.22), bar], 0.11, lit(clothes.top, 0.85))
    canvas.ellipse(bar, (0.06, 0.06), clothes.skin)
    helmet = _pick(rng, _TOPS) if rng.random() < 0.7 else None
    _head(canvas, (0.76, 1.68), clothes, helmet=helmet)
    return canvas.finish()


@lru_cache(maxsize=256)
def motorcyclist(variant: int) -> Sprite:
    """A person in a helmet on a motorcycle, seen at an angle; 1.5 m wide."""
    rng = generator(22, variant)
    clothes = _Clothes(rng)
    canvas = Canvas(1.5, 1.72, px_per_m=_PX_PER_M, label=MOTORCYCLE)
    _motorcycle(canvas, rng, squeeze=0.75)
    canvas.current_label = RIDER
    canvas.line([(0.56, 0.84), (0.88, 0.72), (0.74, 0.34)], 0.19, clothes.trousers)
    canvas.line([(0.74, 0.34), (0.84, 0.32)], 0.11, (26, 26, 28))
    canvas.polygon([(0.40, 0.80), (0.52, 1.34), (0.70, 1.44), (0.86, 1.32), (0.68, 0.80)], clothes.top)
    canvas.line([(0.76, 1.30), (0.90, 1.06), (1.06, 1.04)], 0.13, lit(clothes.top, 0.85))
    _head(canvas, (0.80, 1.54), clothes, helmet=_pick(rng, _TOPS))
    return canvas.finish()


@lru_cache(maxsize=256)
def parked_bicycle(variant: int) -> Sprite:
    """A bicycle from the side, 1.8 m long."""
    canvas = Canvas(1.82, 1.12, px_per_m=_PX_PER_M, label=BICYCLE)
    _bicycle(canvas, generator(23, variant), offset=0.0, squeeze=1.0)
    return canvas.finish()


@lru_cache(maxsize=256)
def parked_motorcycle(variant: int) -> Sprite:
    """A motorcycle from the side, 2 m long."""
    canvas = Canvas(2.0, 1.22, px_per_m=_PX_PER_M, label=MOTORCYCLE)
    _motorcycle(canvas, generator(24, variant), squeeze=1.0)
    return canvas.finish()


def _bicycle(canvas: Canvas, rng: np.random.Generator, *, offset: float, squeeze: float) -> None:
    colour = lit(_pick(rng, _TOPS), float(rng.uniform(0.8, 1.1)))

    def at(x: float, y: float) -> tuple[float, float]:
        return (offset + x * squeeze, y)

    label = canvas.current_label
    for x in (0.36, 1.44):
        canvas.ellipse(at(x, 0.35), (0.34 * squeeze, 0.34), (112, 112, 108))
        canvas.ring(at(x, 0.35), (0.32 * squeeze, 0.32), 0.07, (20, 20, 22))
        for angle in np.arange(0, np.pi, np.pi / 4):
            dx, dy = 0.3 * np.cos(angle), 0.3 * np.sin(angle)
            canvas.line([at(x - dx, 0.35 - dy), at(x + dx, 0.35 + dy)], 0.015, (170, 172, 174))
    canvas.current_label = label
    frame = [(0.36, 0.35), (0.82, 0.32), (1.28, 0.86), (0.70, 0.82), (0.36, 0.35)]
    canvas.line([at(*p) for p in frame], 0.085, colour)
    canvas.line([at(0.82, 0.32), at(0.66, 0.96)], 0.085, colour)
    canvas.line([at(1.44, 0.35), at(1.26, 1.02)], 0.08, colour)
    canvas.line([at(1.16, 1.04), at(1.36, 1.06)], 0.07, (26, 26, 28))
    canvas.line([at(0.54, 0.98), at(0.76, 0.97)], 0.10, (26, 24, 24))
    canvas.ellipse(at(0.82, 0.32), (0.10 * squeeze, 0.10), (60, 60, 62))
    if rng.random() < 0.3:
        canvas.box(*at(1.42, 0.82), *at(1.74, 1.06), (130, 100, 60))


def _motorcycle(canvas: Canvas, rng: np.random.Generator, *, squeeze: float) -> None:
    colour = lit(_pick(rng, _TOPS), float(rng.uniform(0.7, 1.0)))

    def at(x: float, y: float) -> tuple[float, float]:
        return (x * squeeze, y)

    for x in (0.36, 1.62):
        canvas.ellipse(at(x, 0.33), (0.33 * squeeze, 0.33), (20, 20, 22))
        canvas.ellipse(at(x, 0.33), (0.18 * squeeze, 0.18), (150, 152, 156))
    canvas.polygon([at(*p) for p in ((0.56, 0.26), (0.50, 0.62), (1.30, 0.66), (1.24, 0.24))], (58, 58, 62))
    canvas.ellipse(at(0.9, 0.42), (0.2 * squeeze, 0.16), (140, 142, 146))
    canvas.line([at(0.2, 0.36), at(0.86, 0.26)], 0.10, (176, 178, 182))
    canvas.polygon([at(*p) for p in ((0.08, 0.80), (0.30, 0.62), (0.9, 0.62), (0.9, 0.84), (0.4, 0.88))], (28, 26, 26))
    canvas.polygon([at(*p) for p in ((0.84, 0.64), (0.90, 0.98), (1.36, 0.96), (1.40, 0.66))], colour)
    canvas.line([at(1.62, 0.33), at(1.34, 1.04)], 0.10, (110, 112, 116))
    canvas.polygon([at(*p) for p in ((1.30, 0.70), (1.32, 1.16), (1.52, 1.02), (1.58, 0.76))], lit(colour, 1.15))
    canvas.ellipse(at(1.52, 0.88), (0.08, 0.09), (252, 248, 226))
    canvas.line([at(1.16, 1.08), at(1.34, 1.06)], 0.07, (22, 22, 24))
    canvas.line([at(0.30, 0.60), at(1.52, 0.66)], 0.04, lit(colour, 0.6))


def _head(canvas: Canvas, at: tuple[float, float], clothes: _Clothes, *, helmet: Colour | None) -> None:
    canvas.line([(at[0] - 0.01, at[1] - 0.16), at], 0.11, clothes.skin)
    canvas.ellipse(at, (0.105, 0.125), clothes.skin)
    if helmet is None:
        canvas.ellipse((at[0] - 0.02, at[1] + 0.06), (0.11, 0.085), clothes.hair)
    else:
        canvas.ellipse((at[0] - 0.01, at[1] + 0.04), (0.135, 0.115), helmet)


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    return colours[int(rng.integers(len(colours)))]
