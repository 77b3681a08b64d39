"""Everything that moves: traffic in lanes, a vehicle ahead, riders, people on the pavement and on crossings.

A lane is an endless train of slots that moves at one speed; slot j holds the same thing for ever, drawn from (seed,
lane, j). So who is where at any time is a closed form, and the motion from one frame to the next is exact.
"""

# positions are (u, v): metres right of the centre line, metres along the street

from dataclasses import dataclass, replace

import numpy as np

from streams.synthetic.classes import BUS, CAR, TRUCK
from streams.synthetic.objects_faces import ground_shadow
from streams.synthetic.objects_people import NUM_PHASES, cyclist, motorcyclist, person
from streams.synthetic.objects_vehicles import vehicle
from streams.synthetic.quads import QuadList, Quads, join
from streams.synthetic.randomness import generator
from streams.synthetic.world_layout import CHUNK_M, Street
from streams.synthetic.world_static import add_upright

_BEHIND_M, _AHEAD_M = 8.0, 100.0
_LEAD_PERIOD_S, _LEAD_NEAR_M, _LEAD_FAR_M = 26.0, 13.0, 120.0
_WALK_AHEAD_M = 46.0
_CROSSING_AHEAD_M = 42.0
_LONGEST_M = 12.0


@dataclass(frozen=True, slots=True)
class Lane:
    """A train of slots: side distance, signed speed along the street, slot length, share filled, kinds by weight."""

    number: int
    u: float
    speed_mps: float
    spacing_m: float
    filled: float
    kinds: tuple[tuple[str, float], ...]
    reach_m: float


@dataclass(frozen=True, slots=True)
class Mover:
    """One moving thing with its exact place at one time; `forward` is its heading along the street, 0 to cross it."""

    kind: str
    variant: int
    u: float
    v: float
    forward: int
    phase: int
    mirrored: bool


_TRAFFIC = (("car", 0.65), ("truck", 0.11), ("bus", 0.15), ("motorcyclist", 0.09))


class Traffic:
    """The movers of one street, as far ahead as a lens of this `detail` may show them."""

    def __init__(self, street: Street, *, gain: float, detail: float) -> None:
        self._street = street
        self._gain = gain
        self._detail = detail
        rng = generator(street.seed, 80)
        speed, own = float(rng.uniform(7, 11)), street.path.speed_mps
        density = float(rng.uniform(0.45, 0.9))
        lanes = [Lane(0, -1.75, -speed, 22.0, density, _TRAFFIC, _AHEAD_M)]
        if street.is_wide:
            lanes.append(Lane(1, -5.25, -0.8 * speed, 24.0, density, _TRAFFIC, _AHEAD_M))
            lanes.append(Lane(2, 1.75, own + 3.0, 26.0, density, _TRAFFIC, _AHEAD_M))
        riders = (("cyclist", 0.72), ("motorcyclist", 0.28))
        lanes.append(Lane(3, street.curb_lane_m, 4.2, 26.0, 0.62, riders, 48.0))
        lanes.append(Lane(4, -street.curb_lane_m, -4.6, 30.0, 0.55, riders, 48.0))
        walkers = (("walker", 1.0),)
        people = float(rng.uniform(0.25, 0.75))
        for number, (side, share, pace) in enumerate(((-1, 0.4, 1.2), (-1, 0.7, -1.3), (1, 0.4, -1.2), (1, 0.7, 1.3))):
            u = side * (street.half_road_m + 0.4 + share * (street.pavement_m - 0.6))
            lanes.append(Lane(5 + number, u, pace, 9.0, people, walkers, _WALK_AHEAD_M))
        self._lanes = tuple(lanes)

    def movers(self, time_s: float, step_s: float) -> tuple[list[Mover], list[Mover]]:
        """Who is about at `time_s`, and the same in the same order `step_s` later."""
        here = self._street.path.travelled(time_s)
        now: list[Mover] = []
        after: list[Mover] = []
        for lane in self._lanes:
            shift = lane.speed_mps * time_s
            first = int(np.floor((here - _BEHIND_M - shift) / lane.spacing_m)) - 1
            reach_m = self._reach_m(lane.reach_m)
            last = int(np.ceil((here + reach_m - shift) / lane.spacing_m))
            for slot in range(first, last + 1):
                mover = self._slot(lane, slot, time_s)
                if mover is not None and here - _BEHIND_M < mover.v < here + reach_m:
                    now.append(mover)
                    after.append(replace(mover, v=mover.v + lane.speed_mps * step_s))
        self._lead(now, after, time_s, step_s)
        self._crossing(now, after, time_s, step_s)
        return now, after

    def quads(self, movers: list[Mover], looks: list[Mover]) -> Quads | None:
        """Quads of all movers at their places, drawn as in `looks` (the same movers at the time of the picture)."""
        parts = [self._quads(mover, look) for mover, look in zip(movers, looks, strict=True)]
        return join(parts) if parts else None

    def _reach_m(self, full_m: float) -> float:
        """How far ahead to look for what the full lens shows up to `full_m`; some things are `_LONGEST_M` long."""
        return min(full_m, full_m * self._detail + _LONGEST_M)

    def _slot(self, lane: Lane, slot: int, time_s: float) -> Mover | None:
        rng = generator(self._street.seed, 81, lane.number, slot)
        chance, jitter, choice, sway = rng.random(4)
        if chance > lane.filled:
            return None
        total = np.cumsum([weight for _, weight in lane.kinds])
        kind = lane.kinds[min(int(np.searchsorted(total, choice * total[-1])), len(lane.kinds) - 1)][0]
        free = lane.spacing_m - (14.0 if lane.spacing_m > 20 else 3.0)
        v = slot * lane.spacing_m + float(jitter) * free + lane.speed_mps * time_s
        u = lane.u + (float(sway) - 0.5) * (0.8 if kind == "walker" else 0.3)
        phase = int(time_s * 6 + slot) % NUM_PHASES
        forward = 1 if lane.speed_mps > 0 else -1
        return Mover(kind, int(rng.integers(40)), u, v, forward, phase, mirrored=forward < 0)

    def _lead(self, now: list[Mover], after: list[Mover], time_s: float, step_s: float) -> None:
        """The vehicle ahead in our lane: the camera catches up with it, follows, and falls back; then another comes."""
        epoch = int(np.floor(time_s / _LEAD_PERIOD_S))
        rng = generator(self._street.seed, 82, epoch)
        if rng.random() > 0.8:
            return
        kind = ("car", "car", "truck", "bus", "bus")[int(rng.integers(5))]
        variant = int(rng.integers(40))
        for movers, at_s in ((now, time_s), (after, time_s + step_s)):
            share = 0.5 + 0.5 * np.cos(2 * np.pi * (at_s / _LEAD_PERIOD_S - epoch))
            gap = _LEAD_NEAR_M + (_LEAD_FAR_M - _LEAD_NEAR_M) * float(share) ** 2
            v = self._street.path.travelled(at_s) + gap
            movers.append(Mover(kind, variant, self._street.lane_m, v, 1, 0, mirrored=False))

    def _crossing(self, now: list[Mover], after: list[Mover], time_s: float, step_s: float) -> None:
        """People and cyclists who go back and forth across the street."""
        here = self._street.path.travelled(time_s)
        reach = self._street.half_road_m + self._street.pavement_m - 0.5
        ahead_m = self._reach_m(_CROSSING_AHEAD_M)
        for index in range(int(here // CHUNK_M), int((here + ahead_m) // CHUNK_M) + 1):
            rng = generator(self._street.seed, 83, index)
            for number in range(int(rng.integers(0, 3))):
                v = index * CHUNK_M + float(rng.uniform(4.0, 7.0))
                is_cyclist = number == 1
                pace, offset, variant = float(rng.uniform(1.1, 1.5)), float(rng.uniform(0, 60)), int(rng.integers(40))
                pace *= 2.0 if is_cyclist else 1.0
                if not here + 6 < v < here + ahead_m:
                    continue
                for movers, at_s in ((now, time_s), (after, time_s + step_s)):
                    turn = (at_s * pace + offset) % (4 * reach)
                    u = turn - reach if turn < 2 * reach else 3 * reach - turn
                    mirrored = turn >= 2 * reach
                    phase = int(time_s * 6 + variant) % NUM_PHASES
                    kind = "cyclist" if is_cyclist else "crosser"
                    movers.append(Mover(kind, variant, u, v, 0, phase, mirrored))

    def _quads(self, mover: Mover, look: Mover) -> Quads:
        path = self._street.path
        at = np.array([path.centre_at(mover.v) + mover.u, 0.0, mover.v])
        yaw = path.yaw_at(mover.v)
        kinds = {"car": CAR, "truck": TRUCK, "bus": BUS}
        if mover.kind in kinds:
            return vehicle(kinds[mover.kind], look.variant).placed(
                at_3=at, yaw=yaw + (np.pi if mover.forward < 0 else 0.0)
            )
        quads = QuadList()
        width = 0.9 if mover.kind in ("walker", "crosser") else 1.3
        quads.add(
            ground_shadow(),
            origin=at + np.array([-width / 2, 0.0, 0.35]),
            across=(width, 0, 0),
            down=(0, 0, -0.7),
            look=(25.0, 1.0),
        )
        if mover.kind == "cyclist":
            sprite, reach = cyclist(look.variant, look.phase), 42.0
        elif mover.kind == "motorcyclist":
            sprite, reach = motorcyclist(look.variant), 48.0
        else:
            sprite, reach = person(look.variant, look.phase, turned=mover.kind == "walker"), 46.0
        add_upright(quads, sprite, at, yaw=yaw, look=(reach, self._gain), mirrored=look.mirrored)
        return quads.pack()
