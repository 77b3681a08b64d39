"""Turns a chunk of street into quads: the only place that knows how tall, wide and shaded each kind of thing is."""

import numpy as np

from streams.synthetic.camera import Path
from streams.synthetic.classes import CAR, TRUCK
from streams.synthetic.objects_buildings import DEPTH_M, WIDTHS_M, House, house
from streams.synthetic.objects_faces import ground_shadow
from streams.synthetic.objects_people import parked_bicycle, parked_motorcycle, person
from streams.synthetic.objects_street import (
    RUN_M,
    bush,
    fence,
    hedge,
    lamp_post,
    traffic_light,
    traffic_sign,
    tree,
    wall,
)
from streams.synthetic.objects_vehicles import vehicle
from streams.synthetic.quads import QuadList, Quads, join
from streams.synthetic.randomness import Recent
from streams.synthetic.sprites import Sprite
from streams.synthetic.world_layout import CHUNK_M, YARD, Building, Chunk, Lot, Placed, Street

_VIEW_M = 150.0
_BEND_M = 5.0
_RUNS = {"wall": wall, "fence": fence, "hedge": hedge}


def num_chunks_seen(detail: float) -> int:
    """How many chunks, from the one the camera is in on, hold anything near enough to be drawn.

    Reach is measured along the optical axis, and in a bend that may be a little less than along the street.
    """
    return 1 + int(np.ceil((_VIEW_M * detail + _BEND_M) / CHUNK_M))


class StaticWorld:
    """Quads of the chunks of one street under one sun."""

    def __init__(self, street: Street, *, sun_3: np.ndarray) -> None:
        self._street = street
        self._sun_3 = sun_3
        self._houses: Recent[House] = Recent(capacity=32)

    def quads(self, chunk: Chunk) -> Quads:
        """All quads of one chunk, in the world."""
        quads = QuadList()
        for lot in (chunk.left, chunk.right):
            for building in lot.buildings:
                self._building(quads, building, lot.side)
            self._boundary(quads, lot, chunk)
        vehicles = []
        for thing in chunk.things:
            if thing.kind in ("car", "truck"):
                vehicles.append(self._parked(thing))
            else:
                self._stand(quads, thing, chunk.index)
        return join([quads.pack(), *vehicles])

    def gain(self, normal_3: tuple[float, float, float]) -> float:
        """Brightness of a face by the sun: sky light plus what the sun adds."""
        return 0.70 + 0.42 * max(0.0, float(np.dot(normal_3, self._sun_3)))

    def _parked(self, thing: Placed) -> Quads:
        path = self._street.path
        yaw = path.yaw_at(thing.v) + (np.pi if thing.u < 0 else 0.0)
        kind = CAR if thing.kind == "car" else TRUCK
        return vehicle(kind, thing.variant).placed(at_3=_place(path, thing.u, thing.v), yaw=yaw)

    def _house(self, index: int) -> House:
        return house(self._street.seed, index)

    def _building(self, quads: QuadList, building: Building, side: int) -> None:
        faces = self._houses.get(building.house, self._house)
        path, tall = self._street.path, faces.eaves_m
        v1 = building.v0 + WIDTHS_M[building.house % len(WIDTHS_M)]
        near, far = _place(path, building.u, building.v0), _place(path, building.u, v1)
        start, along = (near, far - near) if side < 0 else (far, near - far)
        inward = (-side * 1.0, 0.0, 0.0)
        up = np.array([0.0, -tall, 0.0])
        gain = self.gain(inward)
        quads.add(faces.front, origin=start + up, across=along, down=-up, look=(_VIEW_M, gain), normal=inward)
        outward = np.array([side * DEPTH_M, 0.0, 0.0])
        end_up = np.array([0.0, -faces.end.height_m, 0.0])
        corner, sweep = (near, outward) if side > 0 else (near + outward, -outward)
        quads.add(
            faces.end,
            origin=corner + end_up,
            across=sweep,
            down=-end_up,
            look=(_VIEW_M, self.gain((0, 0, -1))),
            normal=(0, 0, -1),
        )
        if faces.roof is not None:
            rise = outward / 2 + np.array([0.0, -faces.roof_m, 0.0])
            look = (_VIEW_M, self.gain((-side * 0.5, -0.85, 0.0)))
            quads.add(faces.roof, origin=start + up + rise, across=along, down=-rise, look=look)

    def _boundary(self, quads: QuadList, lot: Lot, chunk: Chunk) -> None:
        if not lot.boundary:
            return
        sprite = _RUNS[lot.boundary](lot.variant)
        path = self._street.path
        u = lot.side * (self._street.half_road_m + self._street.pavement_m + lot.boundary_m)
        normal = (-lot.side * 1.0, 0.0, 0.0)
        start = float(chunk.index * CHUNK_M)
        gap = 2.0 if lot.kind == YARD and lot.variant % 2 else 0.0
        for v0, v1 in ((start, start + RUN_M - gap), (start + RUN_M, start + CHUNK_M)):
            near, far = _place(path, u, v0), _place(path, u, v1)
            up = np.array([0.0, -sprite.height_m, 0.0])
            corner, along = (near, far - near) if lot.side < 0 else (far, near - far)
            quads.add(sprite, origin=corner + up, across=along, down=-up, look=(80.0, self.gain(normal)))
        if lot.boundary == "hedge":
            width = np.array([lot.side * 0.9, 0.0, 0.0])
            near = _place(path, u, start)
            up = np.array([0.0, -sprite.height_m, 0.0])
            quads.add(sprite, origin=near + up, across=width, down=-up, look=(60.0, self.gain((0, 0, -1))))

    def _stand(self, quads: QuadList, thing: Placed, chunk_index: int) -> None:
        sprite, reach, shadow_m = _standing(thing, chunk_index)
        path = self._street.path
        foot = _place(path, thing.u, thing.v)
        if shadow_m > 0:
            quads.add(
                ground_shadow(),
                origin=foot + np.array([-shadow_m / 2, 0.0, 0.35]),
                across=(shadow_m, 0, 0),
                down=(0, 0, -0.7),
                look=(25.0, 1.0),
            )
        add_upright(quads, sprite, foot, yaw=path.yaw_at(thing.v), look=(reach, self.gain((0, 0, -1)) + 0.12))


def add_upright(
    quads: QuadList,
    sprite: Sprite,
    foot_3: np.ndarray,
    *,
    yaw: float,
    look: tuple[float, float],
    mirrored: bool = False,
) -> None:
    """Stand a flat figure on `foot_3`, facing along the street."""
    half = np.array([np.cos(yaw), 0.0, -np.sin(yaw)]) * sprite.width_m * (-0.5 if mirrored else 0.5)
    up = np.array([0.0, -sprite.height_m, 0.0])
    quads.add(sprite, origin=foot_3 - half + up, across=2 * half, down=-up, look=look)


def _standing(thing: Placed, chunk_index: int) -> tuple[Sprite, float, float]:
    """(sprite, reach in metres, width of the contact shadow) of a thing that stands upright across the street."""
    if thing.kind == "tree":
        return tree(thing.variant), 110.0, 1.6
    if thing.kind == "bush":
        return bush(thing.variant), 60.0, 2.4
    if thing.kind == "lamp":
        return lamp_post(thing.variant), 42.0, 0.8
    if thing.kind == "light":
        return traffic_light(thing.variant, (chunk_index + thing.variant) % 3), 48.0, 0.8
    if thing.kind == "sign":
        return traffic_sign(thing.variant), 42.0, 0.7
    if thing.kind == "bicycle":
        return parked_bicycle(thing.variant), 34.0, 1.7
    if thing.kind == "motorcycle":
        return parked_motorcycle(thing.variant), 36.0, 1.9
    return person(thing.variant, 0, turned=bool(thing.variant % 2)), 42.0, 0.8


def _place(path: Path, u: float, v: float) -> np.ndarray:
    return np.array([path.centre_at(v) + u, 0.0, v])
