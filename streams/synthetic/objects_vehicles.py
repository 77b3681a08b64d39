"""Vehicles by class: `vehicle(kind, variant)` gives the quads of one, around the middle of its footprint, facing +z.

The quads are shared between all places where the vehicle stands; they must not be written to.
"""

from functools import lru_cache

from streams.synthetic.classes import BUS, CAR, TRUCK
from streams.synthetic.objects_cars import build_car
from streams.synthetic.objects_heavy import build_bus, build_truck
from streams.synthetic.quads import Quads
from streams.synthetic.randomness import generator

NUM_VARIANTS = 40
_BUILDERS = {CAR: build_car, TRUCK: build_truck, BUS: build_bus}


@lru_cache(maxsize=256)
def vehicle(kind: int, variant: int) -> Quads:
    """Quads of a CAR, TRUCK or BUS; `variant` chooses shape, colour and detail."""
    return _BUILDERS[kind](generator(10, kind, variant))
