"""Cars: a side profile drawn out to its width, so that bonnet, windscreens and roof are faces of their own."""

# axes: x right, y up in drawings (down in quads), z forward; metres

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from streams.synthetic.classes import CAR
from streams.synthetic.objects_faces import (
    GLASS,
    GLASS_GAIN,
    HEADLAMP,
    PAINTS,
    TAIL_LAMP,
    TOP_GAIN,
    TYRE,
    add_end,
    add_shadow,
    add_sides,
    draw_wheels,
)
from streams.synthetic.quads import QuadList, Quads
from streams.synthetic.sprites import Canvas, Sprite
from streams.synthetic.textures import Colour, lit, vary

_PX_PER_M = 44.0
_REACH_M = 75.0
_SEAM_M = 0.03


@dataclass(frozen=True, slots=True)
class _Body:
    """Side profile from rear to front as (z from the rear, height) points, width, and wheels."""

    profile: tuple[tuple[float, float], ...]
    width: float
    wheels: tuple[float, ...]
    wheel_radius: float

    @property
    def length(self) -> float:
        return max(z for z, _ in self.profile)

    @property
    def height(self) -> float:
        return max(height for _, height in self.profile)


_HATCHBACK = _Body(
    ((0.0, 0.20), (0.0, 0.95), (0.42, 1.48), (2.35, 1.50), (3.15, 0.98), (4.0, 0.82), (4.05, 0.20)),
    1.76, (0.72, 3.25), 0.33,
)  # fmt: skip
_SALOON = _Body(
    ((0.0, 0.20), (0.0, 0.94), (0.75, 0.98), (1.45, 1.42), (2.75, 1.44), (3.55, 0.94), (4.5, 0.78), (4.55, 0.20)),
    1.80, (0.85, 3.65), 0.33,
)  # fmt: skip
_ESTATE = _Body(
    ((0.0, 0.22), (0.0, 1.05), (0.35, 1.64), (3.0, 1.68), (3.7, 1.12), (4.6, 0.98), (4.65, 0.22)),
    1.88, (0.85, 3.75), 0.38,
)  # fmt: skip
_VAN = _Body(
    ((0.0, 0.24), (0.0, 1.15), (0.12, 1.96), (3.5, 1.98), (4.3, 1.16), (4.85, 1.02), (4.9, 0.24)),
    1.94, (0.95, 3.95), 0.36,
)  # fmt: skip
_BODIES = (_HATCHBACK, _SALOON, _ESTATE, _HATCHBACK, _SALOON, _VAN)


def build_car(rng: np.random.Generator) -> Quads:
    """A car of random shape and paint."""
    quads = QuadList()
    body = _BODIES[int(rng.integers(len(_BODIES)))]
    colour = vary(rng, PAINTS[int(rng.integers(len(PAINTS)))])
    add_shadow(quads, width_m=body.width, length_m=body.length)
    add_sides(quads, _side(body, colour), width_m=body.width, reach_m=_REACH_M)
    for rear, front in pairwise(body.profile[1:-1]):
        _add_top(quads, body, (rear, front), colour)
    rear_height, front_height = body.profile[1][1], body.profile[-2][1]
    rear_end = _end(body.width, rear_height, colour, is_front=False)
    front_end = _end(body.width, front_height, colour, is_front=True)
    add_end(quads, rear_end, z=-body.length / 2, sign=-1, reach_m=_REACH_M)
    add_end(quads, front_end, z=body.length / 2 - 0.02, sign=1, reach_m=_REACH_M)
    return quads.pack()


def _add_top(
    quads: QuadList, body: _Body, edge: tuple[tuple[float, float], tuple[float, float]], colour: Colour
) -> None:
    """The face over one edge of the profile: glass where it is steep, metal where it is flat."""
    (z0, y0), (z1, y1) = edge
    run, rise = z1 - z0, y1 - y0
    is_glass = abs(rise) / max(run, 1e-6) > 0.5
    width = body.width + 2 * _SEAM_M
    quads.add(
        _plate(width, float(np.hypot(run, rise)), colour, is_glass=is_glass),
        origin=(-width / 2, -max(y0, y1), (z1 if rise > 0 else z0) - body.length / 2),
        across=(width, 0, 0),
        down=(0, abs(rise), -run if rise > 0 else run),
        look=(_REACH_M, GLASS_GAIN if is_glass else TOP_GAIN),
        normal=(0, -run, -rise),
    )


def _side(body: _Body, colour: Colour) -> Sprite:
    canvas = Canvas(body.length, body.height, px_per_m=_PX_PER_M, label=CAR)
    canvas.polygon(body.profile, colour)
    canvas.line(body.profile, 2 * _SEAM_M, colour)
    tail, bonnet, high = body.profile[1][1], body.profile[-2][1], body.height
    canvas.box(0.0, body.profile[0][1], body.length, 0.42, lit(colour, 0.55))
    canvas.line([(0.06, tail - 0.08), (body.length - 0.1, bonnet - 0.06)], 0.03, lit(colour, 1.25))
    middle, base = _side_windows(canvas, body)
    canvas.box(middle - 0.05, base, middle + 0.05, high - 0.08, colour)
    canvas.line([(middle, 0.40), (middle, base)], 0.02, lit(colour, 0.6))
    canvas.box(middle - 0.35, base - 0.12, middle - 0.15, base - 0.08, lit(colour, 0.5))
    canvas.box(0.0, tail - 0.22, 0.16, tail - 0.06, TAIL_LAMP)
    canvas.box(body.length - 0.22, bonnet - 0.2, body.length, bonnet - 0.06, HEADLAMP)
    draw_wheels(canvas, body.wheels, body.wheel_radius)
    return canvas.finish()


def _side_windows(canvas: Canvas, body: _Body) -> tuple[float, float]:
    """Draw the windows between the pillars; returns where the doors meet and the height of the sill."""
    high = body.height
    upper = body.profile[1:-1]
    roof = [point for point in upper if point[1] > high - 0.12]
    rear_foot = max(point for point in upper if point[0] < roof[0][0])
    front_foot = min(point for point in upper if point[0] > roof[-1][0])
    base = max(rear_foot[1], front_foot[1]) + 0.02
    left, right = roof[0][0], roof[-1][0]
    outline = [(rear_foot[0] + 0.22, base), (left + 0.14, high - 0.10), (right - 0.10, high - 0.10)]
    canvas.polygon([*outline, (front_foot[0] - 0.18, base)], GLASS)
    sheen = [(left + 0.14, high - 0.10), (right - 0.10, high - 0.10), (right, high - 0.2), (left + 0.06, high - 0.2)]
    canvas.polygon(sheen, (70, 84, 98))
    return (left + right) / 2 + 0.1, base


@lru_cache(maxsize=128)
def _plate(width: float, length: float, colour: Colour, *, is_glass: bool) -> Sprite:
    canvas = Canvas(width, max(length, 0.1), px_per_m=24, label=CAR)
    canvas.box(0, 0, width, length, colour)
    if not is_glass:
        canvas.box(0.25 * width, 0, 0.75 * width, length, lit(colour, 1.12))
        return canvas.finish()
    canvas.box(0.10, 0.03, width - 0.10, length - 0.05, GLASS)
    sheen = [(0.15, 0.6 * length), (0.15, length - 0.08), (width - 0.15, length - 0.08), (width - 0.5, 0.6 * length)]
    canvas.polygon(sheen, (92, 108, 124))
    canvas.box(0.3, 0.03, 0.62, 0.40 * length, (22, 24, 28))
    canvas.box(width - 0.62, 0.03, width - 0.3, 0.40 * length, (22, 24, 28))
    return canvas.finish()


def _end(width: float, height: float, colour: Colour, *, is_front: bool) -> Sprite:
    canvas = Canvas(width, height, px_per_m=_PX_PER_M, label=CAR)
    canvas.box(0.06, 0.10, width - 0.06, 0.30, (30, 30, 33))
    for left in (0.05, width - 0.27):
        canvas.box(left, 0.0, left + 0.22, 0.34, TYRE)
    canvas.box(0.0, 0.26, width, height, colour)
    canvas.box(0.0, height - 0.07, width, height, lit(colour, 1.2))
    canvas.box(0.04, 0.26, width - 0.04, 0.44, lit(colour, 0.7))
    for left in (0.04, width - 0.40):
        canvas.box(left, height - 0.30, left + 0.36, height - 0.12, HEADLAMP if is_front else TAIL_LAMP)
    if is_front:
        canvas.box(0.45, height - 0.32, width - 0.45, height - 0.14, (26, 26, 30))
        canvas.box(0.4, 0.28, width - 0.4, 0.40, (34, 34, 38))
    canvas.box(width / 2 - 0.26, 0.44, width / 2 + 0.26, 0.56, (232, 232, 224))
    return canvas.finish()
