"""Trucks and buses: boxes with drawn sides and ends.

They must not be mistaken for each other: a truck has a cab and a closed box with doors, a bus has windows all along,
doors, a lit sign and a bright paint.
"""

# axes: x right, y up in drawings (down in quads), z forward; metres

import numpy as np

from streams.synthetic.classes import BUS, TRUCK
from streams.synthetic.objects_faces import (
    END_GAIN,
    GLASS,
    HEADLAMP,
    PAINTS,
    TAIL_LAMP,
    TYRE,
    add_end,
    add_shadow,
    add_sides,
    draw_wheels,
)
from streams.synthetic.quads import QuadList, Quads
from streams.synthetic.sprites import Canvas, Sprite
from streams.synthetic.textures import Colour, lit, vary

_TRUCK_REACH_M, _BUS_REACH_M = 100.0, 110.0
_TRUCK_WIDTH_M, _CAB_M, _CAB_HEIGHT_M = 2.4, 2.0, 2.55
_BUS_WIDTH_M = 2.5
_PX_PER_M = 32.0
_SHEEN: Colour = (88, 104, 120)
_BUS_PAINTS: tuple[Colour, ...] = ((206, 52, 40), (238, 190, 40), (40, 120, 190), (60, 150, 90), (232, 232, 226))
_CARGO_PAINTS: tuple[Colour, ...] = (
    (226, 226, 222), (190, 196, 204), (84, 110, 150), (170, 120, 80), (120, 140, 110),
)  # fmt: skip


def build_truck(rng: np.random.Generator) -> Quads:
    """A box truck of random length, height and paint."""
    quads = QuadList()
    length, height = float(rng.uniform(7.0, 8.2)), float(rng.uniform(3.1, 3.6))
    paint = vary(rng, PAINTS[int(rng.integers(len(PAINTS)))])
    cargo = vary(rng, _CARGO_PAINTS[int(rng.integers(len(_CARGO_PAINTS)))])
    stripe = PAINTS[int(rng.integers(len(PAINTS)))]
    add_shadow(quads, width_m=_TRUCK_WIDTH_M, length_m=length)
    side = _truck_side((length, height), paint, cargo, stripe)
    add_sides(quads, side, width_m=_TRUCK_WIDTH_M, reach_m=_TRUCK_REACH_M)
    add_end(quads, _truck_rear(height, cargo), z=-length / 2, sign=-1, reach_m=_TRUCK_REACH_M)
    add_end(quads, _truck_front(paint), z=length / 2 - 0.1, sign=1, reach_m=_TRUCK_REACH_M)
    bulkhead = Canvas(_TRUCK_WIDTH_M, height - 1.0, px_per_m=20, label=TRUCK)
    bulkhead.box(0, 0, _TRUCK_WIDTH_M, height, lit(cargo, 0.95))
    quads.add(
        bulkhead.finish(),
        origin=(-_TRUCK_WIDTH_M / 2, -height, length / 2 - _CAB_M - 0.25),
        across=(_TRUCK_WIDTH_M, 0, 0),
        down=(0, height - 1.0, 0),
        look=(_TRUCK_REACH_M, END_GAIN),
        normal=(0, 0, 1),
    )
    return quads.pack()


def build_bus(rng: np.random.Generator) -> Quads:
    """A city bus of random length and paint."""
    quads = QuadList()
    length, height = float(rng.uniform(9.5, 11.0)), float(rng.uniform(2.95, 3.2))
    paint = vary(rng, _BUS_PAINTS[int(rng.integers(len(_BUS_PAINTS)))])
    skirt: Colour = lit(paint, 0.6) if rng.random() < 0.5 else (235, 235, 230)
    add_shadow(quads, width_m=_BUS_WIDTH_M, length_m=length)
    add_sides(quads, _bus_side((length, height), paint, skirt), width_m=_BUS_WIDTH_M, reach_m=_BUS_REACH_M)
    rear, front = (_bus_end(height, paint, skirt, is_front=is_front) for is_front in (False, True))
    add_end(quads, rear, z=-length / 2, sign=-1, reach_m=_BUS_REACH_M)
    add_end(quads, front, z=length / 2, sign=1, reach_m=_BUS_REACH_M)
    return quads.pack()


def _truck_side(size: tuple[float, float], paint: Colour, cargo: Colour, stripe: Colour) -> Sprite:
    length, height = size
    end_of_box, cab = length - _CAB_M - 0.25, length - _CAB_M
    canvas = Canvas(length, height, px_per_m=_PX_PER_M, label=TRUCK)
    canvas.box(0.1, 0.45, length - 0.3, 0.97, (40, 40, 42))
    canvas.box(0, 0.95, end_of_box, height, cargo)
    for x in np.arange(0.5, end_of_box, 0.55):
        canvas.line([(x, 1.0), (x, height - 0.05)], 0.03, lit(cargo, 0.86))
    canvas.box(0.6, 1.7, end_of_box - 0.6, 2.3, stripe)
    canvas.box(0, 0.92, end_of_box, 1.06, (70, 72, 76))
    top, nose = _CAB_HEIGHT_M, length - 0.35
    canvas.polygon([(cab, 0.4), (cab, top), (nose, top), (length, 1.35), (length, 0.4)], paint)
    canvas.polygon([(cab + 0.7, 1.45), (cab + 0.7, 2.25), (nose - 0.15, 2.25), (length - 0.15, 1.45)], GLASS)
    canvas.line([(cab + 0.6, 0.5), (cab + 0.6, 2.3)], 0.03, lit(paint, 0.6))
    draw_wheels(canvas, (1.1, 2.1, length - 1.1), 0.48)
    return canvas.finish()


def _truck_rear(height: float, cargo: Colour) -> Sprite:
    width = _TRUCK_WIDTH_M
    canvas = Canvas(width, height, px_per_m=_PX_PER_M, label=TRUCK)
    canvas.box(0.3, 0.5, width - 0.3, 1.0, (36, 36, 40))
    for left in (0.05, width - 0.6):
        canvas.box(left, 0, left + 0.55, 0.9, TYRE)
    canvas.box(0, 0.95, width, height, cargo)
    canvas.box(0.08, 1.05, width - 0.08, height - 0.08, lit(cargo, 0.9))
    canvas.line([(width / 2, 1.0), (width / 2, height - 0.05)], 0.04, (60, 60, 62))
    for x in (width / 2 - 0.25, width / 2 + 0.25):
        canvas.line([(x, 1.1), (x, height - 0.1)], 0.04, (150, 152, 156))
    canvas.box(0, 0.78, width, 0.98, (196, 40, 34))
    for left in np.arange(0.0, width, 0.4):
        canvas.box(left, 0.78, left + 0.2, 0.98, (236, 236, 230))
    return canvas.finish()


def _truck_front(paint: Colour) -> Sprite:
    width = _TRUCK_WIDTH_M
    canvas = Canvas(width, _CAB_HEIGHT_M, px_per_m=_PX_PER_M, label=TRUCK)
    for left in (0.05, width - 0.5):
        canvas.box(left, 0, left + 0.45, 0.8, TYRE)
    canvas.box(0, 0.4, width, _CAB_HEIGHT_M, paint)
    canvas.box(0.12, 1.45, width - 0.12, 2.3, GLASS)
    canvas.polygon([(0.2, 1.9), (0.2, 2.25), (width - 0.2, 2.25), (width - 0.8, 1.9)], _SHEEN)
    canvas.box(0.35, 0.75, width - 0.35, 1.3, (34, 34, 38))
    for y in (0.85, 1.0, 1.15):
        canvas.line([(0.4, y), (width - 0.4, y)], 0.04, (120, 122, 126))
    for left in (0.05, width - 0.4):
        canvas.box(left, 0.55, left + 0.35, 0.75, HEADLAMP)
    return canvas.finish()


def _bus_side(size: tuple[float, float], paint: Colour, skirt: Colour) -> Sprite:
    length, height = size
    canvas = Canvas(length, height, px_per_m=_PX_PER_M, label=BUS)
    canvas.box(0, 0.24, length, height, paint)
    canvas.box(0, 0.30, length, 0.75, skirt)
    canvas.box(0, height - 0.18, length, height, lit(paint, 1.2))
    canvas.box(0.25, 1.30, length - 0.1, 2.45, GLASS)
    for x in np.arange(0.3, length - 0.6, 1.3):
        canvas.polygon([(x + 0.1, 1.9), (x + 0.1, 2.4), (x + 1.1, 2.4), (x + 0.8, 1.9)], _SHEEN)
        canvas.ellipse((x + 0.55, 1.5), (0.16, 0.22), (92, 74, 66))
        canvas.line([(x, 1.3), (x, 2.45)], 0.08, (28, 28, 30))
    for x in (length - 1.5, length / 2 - 0.6):
        canvas.box(x, 0.4, x + 1.15, 2.45, (52, 60, 70))
        canvas.line([(x + 0.57, 0.4), (x + 0.57, 2.45)], 0.05, (20, 20, 22))
    draw_wheels(canvas, (2.2, length - 2.4), 0.48)
    return canvas.finish()


def _bus_end(height: float, paint: Colour, skirt: Colour, *, is_front: bool) -> Sprite:
    width = _BUS_WIDTH_M
    canvas = Canvas(width, height, px_per_m=_PX_PER_M, label=BUS)
    for left in (0.08, width - 0.5):
        canvas.box(left, 0, left + 0.42, 0.6, TYRE)
    canvas.box(0, 0.24, width, height, paint)
    canvas.box(0, 0.30, width, 0.8, skirt)
    canvas.box(0.12, 1.05 if is_front else 1.6, width - 0.12, 2.45, GLASS)
    canvas.polygon([(0.2, 2.0), (0.2, 2.4), (width - 0.2, 2.4), (width - 0.9, 2.0)], _SHEEN)
    canvas.box(0.35, 2.52, width - 0.35, height - 0.1, (16, 16, 18))
    for x in np.arange(0.5, width - 0.6, 0.28):
        canvas.box(x, 2.58, x + 0.16, height - 0.16, (255, 176, 40))
    for left in (0.08, width - 0.42):
        top, lamp = (1.02, HEADLAMP) if is_front else (1.45, TAIL_LAMP)
        canvas.box(left, 0.85, left + 0.34, top, lamp)
    if not is_front:
        canvas.box(0.6, 0.9, width - 0.6, 1.4, lit(paint, 0.7))
    return canvas.finish()
