"""Faces that all bodies on wheels share: sides, ends, wheels, and the shadow on the ground."""

from functools import lru_cache

import numpy as np

from streams.synthetic.classes import NONE
from streams.synthetic.quads import QuadList
from streams.synthetic.sprites import Canvas, Sprite
from streams.synthetic.textures import Colour

SIDE_GAIN, END_GAIN, TOP_GAIN, GLASS_GAIN = 0.88, 0.94, 1.18, 1.0
GLASS: Colour = (38, 46, 56)
TYRE: Colour = (24, 24, 26)
HEADLAMP: Colour = (250, 246, 222)
TAIL_LAMP: Colour = (206, 26, 24)
PAINTS: tuple[Colour, ...] = (
    (176, 28, 30), (28, 62, 140), (226, 228, 230), (150, 156, 162), (44, 48, 56), (92, 98, 106),
    (196, 160, 40), (30, 96, 84), (120, 40, 60), (64, 120, 180), (206, 196, 176), (214, 92, 30),
)  # fmt: skip


def add_sides(quads: QuadList, side: Sprite, *, width_m: float, reach_m: float) -> None:
    """Both sides of a body from one drawing whose left end is the rear."""
    for sign in (-1.0, 1.0):
        quads.add(
            side,
            origin=(sign * width_m / 2, -side.height_m, -side.width_m / 2),
            across=(0, 0, side.width_m),
            down=(0, side.height_m, 0),
            look=(reach_m, SIDE_GAIN),
            normal=(sign, 0, 0),
        )


def add_end(quads: QuadList, sprite: Sprite, *, z: float, sign: int, reach_m: float) -> None:
    """An upright face across the body at `z`, seen from the front (sign 1) or the rear (-1)."""
    quads.add(
        sprite,
        origin=(-sprite.width_m / 2, -sprite.height_m, z),
        across=(sprite.width_m, 0, 0),
        down=(0, sprite.height_m, 0),
        look=(reach_m, END_GAIN),
        normal=(0, 0, sign),
    )


def draw_wheels(canvas: Canvas, positions: tuple[float, ...], radius: float) -> None:
    """Wheels with rims, seen from the side."""
    for x in positions:
        canvas.ellipse((x, radius + 0.02), (radius + 0.06, radius + 0.06), (18, 18, 20))
        canvas.ellipse((x, radius), (radius, radius), TYRE)
        canvas.ellipse((x, radius), (0.62 * radius, 0.62 * radius), (150, 154, 160))
        canvas.ellipse((x, radius), (0.22 * radius, 0.22 * radius), (70, 72, 76))


def add_shadow(quads: QuadList, *, width_m: float, length_m: float) -> None:
    """The contact shadow under a body."""
    quads.add(
        ground_shadow(),
        origin=(-0.75 * width_m, 0, 0.62 * length_m),
        across=(1.5 * width_m, 0, 0),
        down=(0, 0, -1.24 * length_m),
        look=(45.0, 1.0),
    )


@lru_cache(maxsize=1)
def ground_shadow() -> Sprite:
    """A soft dark patch that lies on the ground under things; it has no label."""
    y, x = np.mgrid[-1:1:64j, -1:1:64j].astype(np.float32)
    distance = (np.abs(x) ** 4 + np.abs(y) ** 4) ** 0.25
    alpha = np.clip((1 - distance) / 0.42, 0, 1) * 165
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[..., 3] = alpha.astype(np.uint8)
    return Sprite.painted(rgba, np.full((64, 64), NONE, np.uint8), width_m=1, height_m=1)
