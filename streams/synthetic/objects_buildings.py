"""Buildings: street fronts by storeys and bays, end walls and roofs.

A `House` holds the three faces of one building; which houses a street has is drawn from its seed.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from streams.synthetic.classes import BUILDING, NONE
from streams.synthetic.randomness import generator
from streams.synthetic.sprites import Sprite, solid_sprite
from streams.synthetic.textures import Colour, bricks, lit, noise, paint, plaster, vary

WIDTHS_M = (8.0, 12.0, 16.0, 24.0)
DEPTH_M = 10.0
NUM_HOUSES = 16
_SCALE = 24.0
_STOREY_M = 3.1
_WALLS: tuple[Colour, ...] = (
    (206, 190, 160), (190, 150, 120), (172, 96, 72), (150, 80, 64), (196, 192, 184), (214, 204, 140), (160, 172, 180),
    (188, 170, 176), (140, 136, 130), (216, 170, 110), (128, 96, 84), (178, 190, 168),
)  # fmt: skip
_FRAMES: tuple[Colour, ...] = ((236, 234, 228), (70, 60, 54), (110, 112, 116), (58, 84, 70))
_SHOPS: tuple[Colour, ...] = ((150, 40, 40), (36, 80, 60), (40, 60, 110), (60, 50, 46), (200, 160, 60))
_ROOFS: tuple[Colour, ...] = ((140, 70, 52), (96, 62, 54), (86, 88, 94), (120, 84, 60))


@dataclass(frozen=True, slots=True, eq=False)
class House:
    """Faces of a building; `roof` is None when it is flat, else it rises `roof_m` above the eaves."""

    front: Sprite
    end: Sprite
    roof: Sprite | None
    roof_m: float

    @property
    def eaves_m(self) -> float:
        return self.front.height_m


def house(seed: int, index: int) -> House:
    """House `index` of the street `seed`, `WIDTHS_M[index % 4]` wide; those of the second half are low and tiled."""
    rng = generator(seed, 40, index)
    width = WIDTHS_M[index % len(WIDTHS_M)]
    is_low = index >= NUM_HOUSES // 2
    storeys = int(rng.integers(1, 3)) if is_low else int(rng.integers(3, 7))
    colour = vary(rng, _WALLS[int(rng.integers(len(_WALLS)))], hue=14)
    is_brick = bool(rng.random() < 0.35)
    has_shop = not is_low and bool(rng.random() < 0.6)
    height = storeys * _STOREY_M + 0.7
    front = _front(rng, width, height, storeys, (colour, is_brick, has_shop))
    roof_m = float(rng.uniform(2.2, 3.4)) if is_low else 0.0
    end = _end_wall(rng, height, roof_m, (colour, is_brick))
    roof = _tiles(rng, width, roof_m) if is_low else None
    return House(front, end, roof, roof_m)


def _wall(rng: np.random.Generator, size_HW: tuple[int, int], finish: tuple[Colour, bool]) -> np.ndarray:
    colour, is_brick = finish
    return bricks(rng, size_HW, colour, 4) if is_brick else plaster(rng, size_HW, colour)


def _front(
    rng: np.random.Generator, width: float, height: float, storeys: int, finish: tuple[Colour, bool, bool]
) -> Sprite:
    colour, is_brick, has_shop = finish
    size = (round(height * _SCALE), round(width * _SCALE))
    picture = _wall(rng, size, (colour, is_brick))
    num_bays = max(2, round(width / float(rng.uniform(2.2, 3.2))))
    bay = size[1] / num_bays
    frame = _FRAMES[int(rng.integers(len(_FRAMES)))]
    window_w, window_h = bay * float(rng.uniform(0.42, 0.68)), _SCALE * float(rng.uniform(1.35, 1.8))
    panes = [_window(rng, (round(window_h), round(window_w)), frame) for _ in range(5)]
    has_bands = bool(rng.random() < 0.5)
    for storey in range(storeys):
        base = size[0] - storey * _STOREY_M * _SCALE
        if has_bands and storey > 0:
            _band(picture, round(base - 4), round(base), 1.16)
        if storey == 0 and has_shop:
            _shop(picture, rng, round(base - _STOREY_M * _SCALE))
            continue
        door = int(rng.integers(num_bays)) if storey == 0 else -1
        for index in range(num_bays):
            left = round(index * bay + (bay - window_w) / 2)
            if index == door:
                _door(picture, rng, left, round(window_w))
                continue
            pane = panes[int(rng.integers(len(panes)))]
            top = round(base - 0.85 * _SCALE - window_h)
            picture[top : top + pane.shape[0], left : left + pane.shape[1]] = pane
            sill = slice(top + pane.shape[0], top + pane.shape[0] + 3)
            picture[sill, max(0, left - 2) : left + pane.shape[1] + 2] = (205, 202, 194)
            picture[sill.stop : sill.stop + 3, left : left + pane.shape[1]] = (
                picture[sill.stop : sill.stop + 3, left : left + pane.shape[1]] * 0.75
            ).astype(np.uint8)
    _band(picture, 0, round(0.28 * _SCALE), 1.18)
    _band(picture, round(0.28 * _SCALE), round(0.40 * _SCALE), 0.62)
    _band(picture, size[0] - round(0.3 * _SCALE), size[0], 0.72)
    picture[:, :2] = (picture[:, :2] * 0.7).astype(np.uint8)
    picture[:, -2:] = (picture[:, -2:] * 0.7).astype(np.uint8)
    return solid_sprite(picture, BUILDING, width_m=width, height_m=height)


def _window(rng: np.random.Generator, size_HW: tuple[int, int], frame: Colour) -> np.ndarray:
    """One window: frame, mullion, glass that mirrors sky above and street below, perhaps a curtain."""
    height, width = size_HW
    sky = np.linspace(1.0, 0.35, height, dtype=np.float32)[:, None]
    tone = np.array((104, 124, 144), np.float32) * float(rng.uniform(0.55, 1.1))
    pane = np.broadcast_to((sky[..., None] * tone + 14), (height, width, 3)).copy()
    if rng.random() < 0.5:
        edge = round(width * float(rng.uniform(0.2, 0.45)))
        pane[:, :edge] = pane[:, :edge] * 0.45 + 96
    if rng.random() < 0.25:
        pane[: round(height * float(rng.uniform(0.3, 0.7)))] = (178, 172, 158)
    picture: np.ndarray = np.clip(pane, 0, 255).astype(np.uint8)
    cv2.rectangle(picture, (0, 0), (width - 1, height - 1), frame, 3)
    cv2.line(picture, (width // 2, 0), (width // 2, height), frame, 2)
    cv2.line(picture, (0, height // 3), (width, height // 3), frame, 1)
    return picture


def _shop(picture: np.ndarray, rng: np.random.Generator, top: int) -> None:
    height, width = picture.shape[:2]
    colour = _SHOPS[int(rng.integers(len(_SHOPS)))]
    cv2.rectangle(picture, (4, top + 8), (width - 5, height), (58, 56, 54), -1)
    edge = 8
    while edge < width - 40:
        span = int(rng.integers(50, 90))
        right = min(width - 8, edge + span)
        light = float(rng.uniform(0.5, 1.1))
        is_door = rng.random() < 0.3
        glass = lit((92, 80, 62) if rng.random() < 0.4 else (70, 84, 96), light)
        cv2.rectangle(picture, (edge, top + 28), (right - 6, height if is_door else height - 12), glass, -1)
        cv2.line(picture, (edge + 6, height - 16), (right - 14, top + 32), lit(glass, 1.35), 3)
        if is_door:
            cv2.rectangle(picture, (edge, top + 28), (right - 6, height), (34, 32, 30), 3)
        edge = right
    cv2.rectangle(picture, (2, top + 4), (width - 3, top + 24), colour, -1)
    for x in range(16, width - 20, 14):
        if rng.random() < 0.7:
            cv2.rectangle(picture, (x, top + 9), (x + 8, top + 18), (236, 226, 200), -1)


def _door(picture: np.ndarray, rng: np.random.Generator, left: int, width: int) -> None:
    height = picture.shape[0]
    top = height - round(2.25 * _SCALE)
    colour = _SHOPS[int(rng.integers(len(_SHOPS)))]
    cv2.rectangle(picture, (left - 3, top - 3), (left + width + 3, height), (214, 210, 200), -1)
    cv2.rectangle(picture, (left, top), (left + width, height), colour, -1)
    cv2.rectangle(picture, (left + 4, top + 5), (left + width - 4, top + 18), (60, 72, 84), -1)


def _band(picture: np.ndarray, top: int, bottom: int, gain: float) -> None:
    picture[top:bottom] = np.clip(picture[top:bottom] * np.float32(gain), 0, 255).astype(np.uint8)


def _end_wall(rng: np.random.Generator, height: float, roof_m: float, finish: tuple[Colour, bool]) -> Sprite:
    """Side of the building with few windows; under a tiled roof it ends in a gable."""
    total = height + roof_m
    size = (round(total * _SCALE), round(DEPTH_M * _SCALE))
    picture = _wall(rng, size, finish)
    frame = _FRAMES[int(rng.integers(len(_FRAMES)))]
    pane = _window(rng, (34, 22), frame)
    for storey in range(int(height / _STOREY_M)):
        top = size[0] - round((storey * _STOREY_M + 0.9) * _SCALE) - 34
        for left in (52, 166):
            if rng.random() < 0.7:
                picture[top : top + 34, left : left + 22] = pane
    _band(picture, 0, 7, 0.7)
    if roof_m == 0.0:
        return solid_sprite(picture, BUILDING, width_m=DEPTH_M, height_m=total)
    mask = np.zeros(size, np.uint8)
    eaves = round(roof_m * _SCALE)
    outline = np.array([(0, size[0]), (0, eaves), (size[1] // 2, 0), (size[1], eaves), (size[1], size[0])], np.int32)
    cv2.fillPoly(mask, [outline], 255)
    cv2.polylines(picture, [outline[1:4]], False, (90, 66, 52), 9)
    rgba = np.dstack([picture * (mask > 0)[..., None], mask])
    label = np.where(mask > 0, BUILDING, NONE).astype(np.uint8)
    return Sprite.painted(rgba, label, width_m=DEPTH_M, height_m=total)


def _tiles(rng: np.random.Generator, width: float, roof_m: float) -> Sprite:
    length = float(np.hypot(roof_m, DEPTH_M / 2))
    size = (round(length * _SCALE), round(width * _SCALE))
    value = 1 + 0.09 * noise(rng, size, cell_px=5, octaves=2) + 0.06 * noise(rng, size, cell_px=64, octaves=2)
    value[np.arange(size[0]) % 8 < 2] *= 0.72
    picture = paint(value, _ROOFS[int(rng.integers(len(_ROOFS)))])
    return solid_sprite(picture, BUILDING, width_m=width, height_m=length)
