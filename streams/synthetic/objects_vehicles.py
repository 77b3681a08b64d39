"""Cars, trucks and buses: a side profile drawn out to its width, with textured faces.

`vehicle(kind, variant)` gives quads around the middle of the footprint, looking along +z; they are shared, do not write.
"""

# axes of a vehicle: x right, y up in drawings (down in quads), z forward; metres

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from streams.synthetic.classes import BUS, CAR, NONE, TRUCK
from streams.synthetic.quads import QuadList, Quads
from streams.synthetic.randomness import generator
from streams.synthetic.sprites import Canvas, Sprite
from streams.synthetic.textures import Colour

NUM_VARIANTS = 40
_PX_PER_M = 44.0
_SHADES = {"side": 0.88, "rear": 0.94, "front": 0.94, "top": 1.18, "glass": 1.0}
_GLASS: Colour = (38, 46, 56)
_TYRE: Colour = (24, 24, 26)

_CAR_PAINTS: tuple[Colour, ...] = (
    (176, 28, 30), (28, 62, 140), (226, 228, 230), (150, 156, 162), (44, 48, 56), (92, 98, 106),
    (196, 160, 40), (30, 96, 84), (120, 40, 60), (64, 120, 180), (206, 196, 176), (214, 92, 30),
)  # fmt: skip
_BUS_PAINTS: tuple[Colour, ...] = ((206, 52, 40), (238, 190, 40), (40, 120, 190), (60, 150, 90), (232, 232, 226))
_CARGO_PAINTS: tuple[Colour, ...] = ((226, 226, 222), (190, 196, 204), (84, 110, 150), (170, 120, 80), (120, 140, 110))


@dataclass(frozen=True, slots=True)
class _Body:
    """Side profile from rear to front as (z from the rear, height) points, and the width."""

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
    ((0.0, 0.20), (0.0, 0.95), (0.42, 1.48), (2.35, 1.50), (3.15, 0.98), (4.0, 0.82), (4.05, 0.20)), 1.76, (0.72, 3.25), 0.33
)
_SALOON = _Body(
    ((0.0, 0.20), (0.0, 0.94), (0.75, 0.98), (1.45, 1.42), (2.75, 1.44), (3.55, 0.94), (4.5, 0.78), (4.55, 0.20)),
    1.80, (0.85, 3.65), 0.33,
)  # fmt: skip
_ESTATE = _Body(
    ((0.0, 0.22), (0.0, 1.05), (0.35, 1.64), (3.0, 1.68), (3.7, 1.12), (4.6, 0.98), (4.65, 0.22)), 1.88, (0.85, 3.75), 0.38
)
_VAN = _Body(
    ((0.0, 0.24), (0.0, 1.15), (0.12, 1.96), (3.5, 1.98), (4.3, 1.16), (4.85, 1.02), (4.9, 0.24)), 1.94, (0.95, 3.95), 0.36
)
_CARS = (_HATCHBACK, _SALOON, _ESTATE, _HATCHBACK, _SALOON, _VAN)


@lru_cache(maxsize=256)
def vehicle(kind: int, variant: int) -> Quads:
    """Quads of a CAR, TRUCK or BUS; `variant` chooses shape, colour and detail."""
    rng = generator(10, kind, variant)
    quads = QuadList()
    if kind == CAR:
        _car(quads, rng)
    elif kind == TRUCK:
        _truck(quads, rng)
    else:
        _bus(quads, rng)
    return quads.pack()


def vehicle_length_m(kind: int) -> float:
    """Length to keep free for a vehicle of this class."""
    return {CAR: 4.9, TRUCK: 8.0, BUS: 11.0}[kind]


def _car(quads: QuadList, rng: np.random.Generator) -> None:
    body = _CARS[int(rng.integers(len(_CARS)))]
    colour = _vary(rng, _CAR_PAINTS[int(rng.integers(len(_CAR_PAINTS)))])
    reach = 75.0
    _shadow(quads, body.width, body.length, reach)
    half, length = body.width / 2, body.length
    side = _car_side(body, colour)
    for sign in (-1.0, 1.0):
        quads.add(
            side,
            origin=(sign * half, -body.height, -length / 2),
            across=(0, 0, length),
            down=(0, body.height, 0),
            look=(reach, _SHADES["side"]),
            normal=(sign, 0, 0),
        )
    points = body.profile
    for (z0, y0), (z1, y1) in zip(points[1:-2], points[2:-1], strict=True):
        slope = abs(y1 - y0) / max(z1 - z0, 1e-6)
        is_glass = slope > 0.5
        sprite = _plate_sprite(body.width, np.hypot(z1 - z0, y1 - y0), colour, glass=is_glass)
        quads.add(
            sprite,
            origin=(-half, -max(y0, y1), (z1 if y1 > y0 else z0) - length / 2),
            across=(body.width, 0, 0),
            down=(0, abs(y1 - y0), (z0 - z1) if y1 > y0 else (z1 - z0)),
            look=(reach, _SHADES["glass" if is_glass else "top"]),
            normal=(0, -(z1 - z0), -(y1 - y0)),
        )
    for is_front, z, height in ((False, -length / 2, points[1][1]), (True, length / 2 - 0.02, points[-2][1])):
        quads.add(
            _car_end(body.width, height, colour, is_front=is_front),
            origin=(-half, -height, z),
            across=(body.width, 0, 0),
            down=(0, height, 0),
            look=(reach, _SHADES["front" if is_front else "rear"]),
            normal=(0, 0, 1 if is_front else -1),
        )


def _car_side(body: _Body, colour: Colour) -> Sprite:
    canvas = Canvas(body.length, body.height, px_per_m=_PX_PER_M, label=CAR)
    canvas.polygon(body.profile, colour)
    low, high = body.profile[1][1], body.height
    canvas.box(0.0, body.profile[0][1], body.length, 0.42, tuple(0.55 * c for c in colour))
    canvas.line([(0.06, low - 0.08), (body.length - 0.1, body.profile[-2][1] - 0.06)], 0.03, _lit(colour, 1.25))
    upper = [p for p in body.profile[1:-1] if p[1] > 0.9]
    roof = [p for p in upper if p[1] > high - 0.12]
    rear_base = max((p for p in upper if p[0] < roof[0][0]), key=lambda p: p[0])
    front_base = min((p for p in upper if p[0] > roof[-1][0]), key=lambda p: p[0])
    base = max(rear_base[1], front_base[1]) + 0.02
    windows = [
        (rear_base[0] + 0.22, base), (roof[0][0] + 0.14, high - 0.10), (roof[-1][0] - 0.10, high - 0.10),
        (front_base[0] - 0.18, base),
    ]  # fmt: skip
    canvas.polygon(windows, _GLASS)
    canvas.polygon(
        [windows[1], windows[2], (windows[2][0] + 0.1, high - 0.2), (windows[1][0] - 0.08, high - 0.2)], (70, 84, 98)
    )
    middle = (roof[0][0] + roof[-1][0]) / 2 + 0.1
    canvas.box(middle - 0.05, base, middle + 0.05, high - 0.08, colour)
    canvas.line([(middle, 0.40), (middle, base)], 0.02, tuple(0.6 * c for c in colour))
    canvas.box(middle - 0.35, base - 0.12, middle - 0.15, base - 0.08, _lit(colour, 0.5))
    canvas.box(0.0, low - 0.22, 0.16, low - 0.06, (190, 24, 22))
    canvas.box(body.length - 0.22, body.profile[-2][1] - 0.2, body.length, body.profile[-2][1] - 0.06, (244, 240, 214))
    _wheels(canvas, body.wheels, body.wheel_radius)
    return canvas.finish()


@lru_cache(maxsize=128)
def _plate_sprite(width: float, length: float, colour: Colour, *, glass: bool) -> Sprite:
    canvas = Canvas(width, max(length, 0.1), px_per_m=24, label=CAR)
    if glass:
        canvas.box(0, 0, width, length, colour)
        canvas.box(0.10, 0.03, width - 0.10, length - 0.05, _GLASS)
        canvas.polygon(
            [(0.15, 0.6 * length), (0.15, length - 0.08), (width - 0.15, length - 0.08), (width - 0.5, 0.6 * length)],
            (92, 108, 124),
        )
        canvas.box(0.3, 0.03, 0.62, 0.40 * length, (22, 24, 28))
        canvas.box(width - 0.62, 0.03, width - 0.3, 0.40 * length, (22, 24, 28))
    else:
        canvas.box(0, 0, width, length, colour)
        canvas.box(0.25 * width, 0, 0.75 * width, length, _lit(colour, 1.12))
    return canvas.finish()


def _car_end(width: float, height: float, colour: Colour, *, is_front: bool) -> Sprite:
    canvas = Canvas(width, height, px_per_m=_PX_PER_M, label=CAR)
    canvas.box(0.06, 0.10, width - 0.06, 0.30, (30, 30, 33))
    for left in (0.05, width - 0.27):
        canvas.box(left, 0.0, left + 0.22, 0.34, _TYRE)
    canvas.box(0.0, 0.26, width, height, colour)
    canvas.box(0.0, height - 0.07, width, height, _lit(colour, 1.2))
    canvas.box(0.04, 0.26, width - 0.04, 0.44, _lit(colour, 0.7))
    lamp: Colour = (250, 246, 222) if is_front else (206, 26, 24)
    for left in (0.04, width - 0.40):
        canvas.box(left, height - 0.30, left + 0.36, height - 0.12, lamp)
    if is_front:
        canvas.box(0.45, height - 0.32, width - 0.45, height - 0.14, (26, 26, 30))
        canvas.box(0.4, 0.28, width - 0.4, 0.40, (34, 34, 38))
    canvas.box(width / 2 - 0.26, 0.44, width / 2 + 0.26, 0.56, (232, 232, 224))
    return canvas.finish()


def _truck(quads: QuadList, rng: np.random.Generator) -> None:
    width, length = 2.4, float(rng.uniform(7.0, 8.2))
    cargo_height, cab_height, cab = float(rng.uniform(3.1, 3.6)), 2.55, 2.0
    paint = _vary(rng, _CAR_PAINTS[int(rng.integers(len(_CAR_PAINTS)))])
    box_paint = _vary(rng, _CARGO_PAINTS[int(rng.integers(len(_CARGO_PAINTS)))])
    stripe = _CAR_PAINTS[int(rng.integers(len(_CAR_PAINTS)))]
    _shadow(quads, width, length, 100)
    side = Canvas(length, cargo_height, px_per_m=30, label=TRUCK)
    end_of_box = length - cab - 0.25
    side.box(0.1, 0.55, length - 0.3, 0.95, (40, 40, 42))
    side.box(0, 0.95, end_of_box, cargo_height, box_paint)
    for x in np.arange(0.5, end_of_box, 0.55):
        side.line([(x, 1.0), (x, cargo_height - 0.05)], 0.03, _lit(box_paint, 0.86))
    side.box(0.6, 1.7, end_of_box - 0.6, 2.3, stripe)
    side.box(0, 0.92, end_of_box, 1.06, (70, 72, 76))
    side.polygon(
        [(length - cab, 0.4), (length - cab, cab_height), (length - 0.35, cab_height), (length, 1.35), (length, 0.4)], paint
    )
    side.polygon(
        [(length - 1.3, 1.45), (length - 1.3, 2.25), (length - 0.5, 2.25), (length - 0.15, 1.45)], _GLASS
    )
    side.line([(length - 1.4, 0.5), (length - 1.4, 2.3)], 0.03, _lit(paint, 0.6))
    _wheels(side, (1.1, 2.1, length - 1.1), 0.48)
    _box_faces(quads, side.finish(), width=width, length=length, reach=100)
    rear = Canvas(width, cargo_height, px_per_m=30, label=TRUCK)
    rear.box(0.3, 0.5, width - 0.3, 1.0, (36, 36, 40))
    for left in (0.05, width - 0.6):
        rear.box(left, 0, left + 0.55, 0.9, _TYRE)
    rear.box(0, 0.95, width, cargo_height, box_paint)
    rear.box(0.08, 1.05, width - 0.08, cargo_height - 0.08, _lit(box_paint, 0.9))
    rear.line([(width / 2, 1.0), (width / 2, cargo_height - 0.05)], 0.04, (60, 60, 62))
    for x in (width / 2 - 0.25, width / 2 + 0.25):
        rear.line([(x, 1.1), (x, cargo_height - 0.1)], 0.04, (150, 152, 156))
    rear.box(0, 0.78, width, 0.98, (196, 40, 34))
    for left in np.arange(0.0, width, 0.4):
        rear.box(left, 0.78, left + 0.2, 0.98, (236, 236, 230))
    _end_face(quads, rear.finish(), width=width, z=-length / 2, sign=-1, reach=100)
    front = Canvas(width, cab_height, px_per_m=30, label=TRUCK)
    for left in (0.05, width - 0.5):
        front.box(left, 0, left + 0.45, 0.8, _TYRE)
    front.box(0, 0.4, width, cab_height, paint)
    front.box(0.12, 1.45, width - 0.12, 2.3, _GLASS)
    front.polygon([(0.2, 1.9), (0.2, 2.25), (width - 0.2, 2.25), (width - 0.8, 1.9)], (88, 104, 120))
    front.box(0.35, 0.75, width - 0.35, 1.3, (34, 34, 38))
    for y in (0.85, 1.0, 1.15):
        front.line([(0.4, y), (width - 0.4, y)], 0.04, (120, 122, 126))
    front.box(0.05, 0.55, 0.4, 0.75, (248, 244, 220))
    front.box(width - 0.4, 0.55, width - 0.05, 0.75, (248, 244, 220))
    _end_face(quads, front.finish(), width=width, z=length / 2 - 0.1, sign=1, reach=100)
    top = Canvas(width, cargo_height - 1.0, px_per_m=20, label=TRUCK)
    top.box(0, 0, width, cargo_height, _lit(box_paint, 0.95))
    quads.add(
        top.finish(),
        origin=(-width / 2, -cargo_height, length / 2 - cab - 0.25),
        across=(width, 0, 0),
        down=(0, cargo_height - 1.0, 0),
        look=(100, 0.9),
        normal=(0, 0, 1),
    )


def _bus(quads: QuadList, rng: np.random.Generator) -> None:
    width, length, height = 2.5, float(rng.uniform(9.5, 11.0)), float(rng.uniform(2.95, 3.2))
    paint = _vary(rng, _BUS_PAINTS[int(rng.integers(len(_BUS_PAINTS)))])
    skirt = _lit(paint, 0.6) if rng.random() < 0.5 else (235.0, 235.0, 230.0)
    _shadow(quads, width, length, 110)
    side = Canvas(length, height, px_per_m=30, label=BUS)
    side.box(0, 0.24, length, height, paint)
    side.box(0, 0.30, length, 0.75, skirt)
    side.box(0, height - 0.18, length, height, _lit(paint, 1.2))
    side.box(0.25, 1.30, length - 0.1, 2.45, _GLASS)
    for x in np.arange(0.3, length - 0.6, 1.3):
        side.polygon([(x + 0.1, 1.9), (x + 0.1, 2.4), (x + 1.1, 2.4), (x + 0.8, 1.9)], (84, 100, 116))
        side.ellipse((x + 0.55, 1.5), (0.16, 0.22), (92, 74, 66))
        side.line([(x, 1.3), (x, 2.45)], 0.08, (28, 28, 30))
    for x in (length - 1.5, length / 2 - 0.6):
        side.box(x, 0.4, x + 1.15, 2.45, (52, 60, 70))
        side.line([(x + 0.57, 0.4), (x + 0.57, 2.45)], 0.05, (20, 20, 22))
    _wheels(side, (2.2, length - 2.4), 0.48)
    _box_faces(quads, side.finish(), width=width, length=length, reach=110)
    for is_front in (False, True):
        face = Canvas(width, height, px_per_m=34, label=BUS)
        for left in (0.08, width - 0.5):
            face.box(left, 0, left + 0.42, 0.6, _TYRE)
        face.box(0, 0.24, width, height, paint)
        face.box(0, 0.30, width, 0.8, skirt)
        bottom = 1.05 if is_front else 1.6
        face.box(0.12, bottom, width - 0.12, 2.45, _GLASS)
        face.polygon([(0.2, 2.0), (0.2, 2.4), (width - 0.2, 2.4), (width - 0.9, 2.0)], (88, 104, 120))
        face.box(0.35, 2.52, width - 0.35, height - 0.1, (16, 16, 18))
        for x in np.arange(0.5, width - 0.6, 0.28):
            face.box(x, 2.58, x + 0.16, height - 0.16, (255, 176, 40))
        lamp: Colour = (250, 246, 222) if is_front else (214, 28, 24)
        for left in (0.08, width - 0.42):
            face.box(left, 0.85, left + 0.34, 1.02 if is_front else 1.45, lamp)
        if not is_front:
            face.box(0.6, 0.9, width - 0.6, 1.4, _lit(paint, 0.7))
        _end_face(quads, face.finish(), width=width, z=length / 2 * (1 if is_front else -1), sign=1 if is_front else -1,
                  reach=110)  # fmt: skip


def _wheels(canvas: Canvas, positions: tuple[float, ...], radius: float) -> None:
    for x in positions:
        canvas.ellipse((x, radius + 0.02), (radius + 0.06, radius + 0.06), (18, 18, 20))
        canvas.ellipse((x, radius), (radius, radius), _TYRE)
        canvas.ellipse((x, radius), (0.62 * radius, 0.62 * radius), (150, 154, 160))
        canvas.ellipse((x, radius), (0.22 * radius, 0.22 * radius), (70, 72, 76))


def _box_faces(quads: QuadList, side: Sprite, *, width: float, length: float, reach: float) -> None:
    for sign in (-1.0, 1.0):
        quads.add(
            side,
            origin=(sign * width / 2, -side.height_m, -length / 2),
            across=(0, 0, length),
            down=(0, side.height_m, 0),
            look=(reach, _SHADES["side"]),
            normal=(sign, 0, 0),
        )


def _end_face(quads: QuadList, sprite: Sprite, *, width: float, z: float, sign: int, reach: float) -> None:
    quads.add(
        sprite,
        origin=(-width / 2, -sprite.height_m, z),
        across=(width, 0, 0),
        down=(0, sprite.height_m, 0),
        look=(reach, _SHADES["rear"]),
        normal=(0, 0, sign),
    )


def _shadow(quads: QuadList, width: float, length: float, reach: float) -> None:
    quads.add(
        ground_shadow(),
        origin=(-0.75 * width, 0, 0.62 * length),
        across=(1.5 * width, 0, 0),
        down=(0, 0, -1.24 * length),
        look=(min(reach, 45), 1.0),
    )


@lru_cache(maxsize=1)
def ground_shadow() -> Sprite:
    """A soft dark patch that lies on the ground under things; it has no label."""
    y, x = np.mgrid[-1:1:64j, -1:1:64j].astype(np.float32)
    distance = (np.abs(x) ** 4 + np.abs(y) ** 4) ** 0.25
    alpha = np.clip((1 - distance) / 0.42, 0, 1) * 165
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[..., 3] = alpha.astype(np.uint8)
    return Sprite(rgba, np.full((64, 64), NONE, np.uint8), width_m=1, height_m=1)


def _lit(colour: Colour, gain: float) -> Colour:
    return (min(255.0, colour[0] * gain), min(255.0, colour[1] * gain), min(255.0, colour[2] * gain))


def _vary(rng: np.random.Generator, colour: Colour) -> Colour:
    gain = float(rng.uniform(0.8, 1.15))
    return _lit(colour, gain)
