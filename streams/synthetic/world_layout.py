"""What stands where: the cross-section of a street, and chunk by chunk its lots, houses, furniture, parked vehicles.

A chunk is `CHUNK_M` metres of street and is drawn from (seed, chunk index) alone, so any place can be built first.
"""

# positions are (u, v): metres right of the centre line, metres along the street

from dataclasses import dataclass

import numpy as np

from streams.synthetic.camera import Path
from streams.synthetic.randomness import generator

CHUNK_M = 24
_BLOCK_CHUNKS = 5

CITY, YARD, GREEN, WORKS = range(4)
_ROWS = ((24,), (12, 12), (16, 8), (8, 16), (8, 8, 8))

Box = tuple[float, float, float, float, float]
Crown = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Placed:
    """One thing at (u, v); `variant` chooses its look."""

    kind: str
    u: float
    v: float
    variant: int


@dataclass(frozen=True, slots=True)
class Building:
    """House `house` with its front at `u` from `v0` on."""

    house: int
    u: float
    v0: float


@dataclass(frozen=True, slots=True)
class Lot:
    """One side of a chunk: what grows or stands behind the pavement. `boundary` is a kind of run
    or empty, and stands `boundary_m` behind the pavement."""

    side: int
    kind: int
    boundary: str
    boundary_m: float
    variant: int
    buildings: tuple[Building, ...]

    @property
    def is_green(self) -> bool:
        """Whether the ground behind the pavement is grass."""
        return self.kind != CITY


@dataclass(frozen=True, slots=True)
class Chunk:
    """Everything that stands still on `CHUNK_M` metres of street; boxes and crowns cast shadows (chunk coordinates)."""

    index: int
    is_junction: bool
    crossings_m: tuple[float, ...]
    left: Lot
    right: Lot
    things: tuple[Placed, ...]
    boxes_m: tuple[Box, ...]
    crowns_m: tuple[Crown, ...]


class Street:
    """Cross-section and character of one street, and its chunks."""

    def __init__(self, seed: int) -> None:
        rng = generator(seed, 70)
        self.seed = seed
        self.path = Path(seed)
        self.is_wide = bool(rng.random() < 0.35)
        self.has_parking = bool(rng.random() < 0.6)
        lanes_m = 7.0 if self.is_wide else 3.5
        self.parking_m = 2.2 if self.has_parking else 0.0
        self.half_road_m = lanes_m + self.parking_m + 0.3
        self.pavement_m = float(rng.uniform(2.8, 4.2))
        self.has_verge = bool(rng.random() < 0.5)
        self.lane_m = 5.25 if self.is_wide else 1.75
        self.curb_lane_m = lanes_m - 0.1
        lines: list[tuple[float, bool]] = [(0.0, bool(rng.random() < 0.6))]
        if self.is_wide:
            lines = [(-0.12, False), (0.12, False), (3.5, True), (-3.5, True)]
        if self.has_parking:
            lines += [(lanes_m + 0.2, False), (-lanes_m - 0.2, False)]
        self.lines_m = tuple(lines)
        self.lot_weights = rng.dirichlet((2.8, 2.8, 2.2, 1.1))
        self.house_shift = int(rng.integers(16))
        self.tree_share = float(rng.uniform(0.15, 0.8))
        self.parked_share = float(rng.uniform(0.2, 0.7))
        self.runs = tuple(int(v) for v in rng.integers(0, 24, 6))
        self.trees = tuple(int(v) for v in rng.integers(0, 24, 5))
        self.lamp = int(rng.integers(0, 24))

    def chunk(self, index: int) -> Chunk:
        """Build chunk `index`; index may be negative."""
        rng = generator(self.seed, 71, index)
        is_junction = self._is_junction(index)
        things: list[Placed] = []
        boxes: list[Box] = []
        left, right = (self._lot(rng, index, side, is_junction=is_junction) for side in (-1, 1))
        for lot in (left, right):
            boxes += [_shadow_box(building, lot.side, index) for building in lot.buildings]
            things += self._behind(rng, index, lot)
            things += self._pavement(rng, index, lot.side, is_junction=is_junction)
            if self.has_parking and not is_junction:
                things += self._parked(rng, index, lot.side)
        crossings: tuple[float, ...] = ()
        if is_junction:
            crossings = (3.5, 19.0)
        elif rng.random() < 0.12:
            crossings = (float(rng.uniform(6, 14)),)
            at = index * CHUNK_M + crossings[0]
            things = [t for t in things if not (t.kind in ("car", "truck") and at - 5 < t.v < at + 8)]
        crowns = tuple((t.u, t.v - index * CHUNK_M, 2.4, 7.0) for t in things if t.kind == "tree")
        return Chunk(index, is_junction, crossings, left, right, tuple(things), tuple(boxes), crowns)

    def _is_junction(self, index: int) -> bool:
        block = index // _BLOCK_CHUNKS
        rng = generator(self.seed, 72, block)
        return index - block * _BLOCK_CHUNKS == int(rng.integers(_BLOCK_CHUNKS - 1)) and rng.random() < 0.85

    def _lot(self, rng: np.random.Generator, index: int, side: int, *, is_junction: bool) -> Lot:
        district = generator(self.seed, 73, index // 3, side)
        kind = int(district.choice(4, p=0.75 * self.lot_weights + 0.0625))
        runs = {
            CITY: "",
            YARD: ("fence", "hedge", "fence", "wall")[int(district.integers(4))],
            WORKS: "wall",
            GREEN: "",
        }
        if kind == GREEN and district.random() < 0.5:
            runs[GREEN] = ("fence", "fence", "hedge")[int(district.integers(3))]
        set_back_m = float(district.choice((0.0, 1.4, 2.2)))
        boundary, variant = runs[kind], self.runs[int(district.integers(len(self.runs)))]
        if is_junction:
            return Lot(side, kind, "", 0.0, variant, ())
        back = self.half_road_m + self.pavement_m
        start = index * CHUNK_M
        buildings: list[Building] = []
        if kind == CITY:
            at = 0.0
            for width in _ROWS[int(rng.integers(len(_ROWS)))]:
                set_back = float(rng.choice((0.0, 0.0, 0.4, 1.2)))
                buildings.append(Building(self._house(rng, width, is_low=False), side * (back + set_back), start + at))
                at += width
        elif kind == YARD:
            width = int(rng.choice((8, 12, 16)))
            at = float(rng.uniform(1, CHUNK_M - width - 1))
            set_back = float(rng.uniform(5.0, 8.0))
            buildings.append(Building(self._house(rng, width, is_low=True), side * (back + set_back), start + at))
        elif kind == WORKS and rng.random() < 0.6:
            buildings.append(Building(self._house(rng, 24, is_low=False), side * (back + 9.0), float(start)))
        return Lot(side, kind, boundary, 0.0 if kind == WORKS else set_back_m, variant, tuple(buildings))

    def _house(self, rng: np.random.Generator, width: int, *, is_low: bool) -> int:
        column = {8: 0, 12: 1, 16: 2, 24: 3}[width]
        return (8 if is_low else 0) + 4 * int(rng.integers(2)) + column

    def _behind(self, rng: np.random.Generator, index: int, lot: Lot) -> list[Placed]:
        """Trees and bushes on the lot."""
        back, start = self.half_road_m + self.pavement_m, index * CHUNK_M
        num_trees = {CITY: 0, YARD: 1, GREEN: 5, WORKS: 1}[lot.kind] if lot.buildings or lot.kind != CITY else 0
        things = []
        for _ in range(num_trees):
            u = back + float(rng.uniform(3.6, 10.0 if lot.kind == GREEN else 4.4))
            things.append(Placed("tree", lot.side * u, start + float(rng.uniform(1, 23)), self._tree(rng)))
        if lot.kind in (YARD, GREEN):
            for _ in range(int(rng.integers(1, 4))):
                u = back + float(rng.uniform(3.0, 5.5))
                variant = int(rng.integers(24))
                things.append(Placed("bush", lot.side * u, start + float(rng.uniform(1, 23)), variant))
        return things

    def _tree(self, rng: np.random.Generator) -> int:
        return self.trees[int(rng.integers(len(self.trees)))]

    def _pavement(self, rng: np.random.Generator, index: int, side: int, *, is_junction: bool) -> list[Placed]:
        """Lamps, lights, signs, street trees, parked two-wheelers and people who stand."""
        edge, start = self.half_road_m + 0.55, index * CHUNK_M
        inner = self.half_road_m + self.pavement_m - 0.7
        variant = [int(v) for v in rng.integers(0, 24, 8)]
        chance = rng.random(8)
        things = []
        if is_junction:
            things.append(Placed("light", side * edge, start + (2.6 if side > 0 else 22.6), variant[0]))
            if chance[1] < 0.6:
                things.append(Placed("light", side * edge, start + (18.6 if side > 0 else 7.0), variant[0]))
            return things
        if chance[0] < 0.8:
            things.append(Placed("lamp", side * edge, start + 2.0, self.lamp))
        if chance[1] < 0.6:
            things.append(Placed("sign", side * edge, start + 7.0 + 3 * float(chance[2]), variant[1]))
        if chance[3] < self.tree_share:
            things.append(Placed("tree", side * (edge + 0.3), start + 14.0, self._tree(rng)))
        if chance[4] < 0.45:
            for step in range(int(rng.integers(1, 4))):
                things.append(Placed("bicycle", side * (edge + 0.55), start + 17.2 + 0.8 * step, variant[2] + step))
        if chance[5] < 0.32:
            for step in range(int(rng.integers(1, 3))):
                things.append(Placed("motorcycle", side * (edge + 0.6), start + 20.4 + 1.1 * step, variant[3] + step))
        if chance[6] < 0.4:
            for step in range(int(rng.integers(1, 3))):
                at = start + 4.5 + 1.1 * step
                things.append(Placed("stander", side * (inner - 0.5 * step), at, variant[4] + 7 * step))
        return things

    def _parked(self, rng: np.random.Generator, index: int, side: int) -> list[Placed]:
        """Vehicles in the parking lane, heading with their side of the road."""
        u = side * (self.half_road_m - 1.15)
        things = []
        if rng.random() < 0.06:
            things.append(Placed("truck", u - side * 0.1, index * CHUNK_M + 6.0, int(rng.integers(40))))
            spots: tuple[float, ...] = (14.5, 20.5)
        else:
            spots = (3.0, 9.0, 15.0, 21.0)
        for spot in spots:
            if rng.random() < self.parked_share:
                v = index * CHUNK_M + spot + float(rng.uniform(-0.4, 0.4))
                things.append(Placed("car", u + float(rng.uniform(-0.1, 0.1)), v, int(rng.integers(40))))
        return things


def _shadow_box(building: Building, side: int, index: int) -> Box:
    width = (8.0, 12.0, 16.0, 24.0)[building.house % 4]
    tall = 6.0 if building.house >= 8 else 13.0
    v0 = building.v0 - index * CHUNK_M
    u0, u1 = sorted((building.u, building.u + side * 10.0))
    return (u0, u1, v0, v0 + width, tall)
