"""What stands along a street: trees, bushes, hedges, walls, fences, poles, lamps, traffic lights and signs."""

from functools import lru_cache

import cv2
import numpy as np

from streams.synthetic.classes import FENCE, NONE, POLE, TRAFFIC_LIGHT, TRAFFIC_SIGN, VEGETATION, WALL
from streams.synthetic.randomness import generator
from streams.synthetic.sprites import Canvas, Sprite, solid_sprite
from streams.synthetic.textures import Colour, bricks, leaves, lit, noise, paint, plaster, vary

NUM_VARIANTS = 24
RUN_M = 12.0
_LEAVES: tuple[Colour, ...] = ((74, 112, 44), (58, 98, 48), (92, 120, 46), (50, 84, 44), (112, 122, 48), (70, 104, 62))


@lru_cache(maxsize=64)
def tree(variant: int) -> Sprite:
    """A tree with trunk, limbs and a ragged crown."""
    rng = generator(30, variant)
    tall, wide = float(rng.uniform(6.0, 10.0)), float(rng.uniform(4.0, 6.5))
    scale = 22.0
    height, width = round(tall * scale), round(wide * scale)
    crown = _blob_mask(
        rng, (height, width), low_share=float(rng.uniform(0.26, 0.40)), conical=bool(rng.random() < 0.25)
    )
    picture = leaves(rng, (height, width), _LEAVES[int(rng.integers(len(_LEAVES)))])
    light = np.linspace(1.22, 0.72, height, dtype=np.float32)[:, None] * np.linspace(1.1, 0.9, width, dtype=np.float32)
    picture = np.clip(picture * light[..., None], 0, 255).astype(np.uint8)
    trunk = np.zeros((height, width), np.uint8)
    foot, bole = width // 2, max(6, round(0.34 * scale))
    cv2.line(trunk, (foot, height), (foot, height // 3), 255, bole)
    for sign in (-1, 1):
        start, stop = (foot, round(0.62 * height)), (foot + sign * width // 5, round(0.42 * height))
        cv2.line(trunk, start, stop, 255, max(3, bole // 2))
    bark = paint(1 + 0.16 * noise(rng, (height, width), cell_px=6, octaves=2), (84, 66, 50))
    rgb = np.where((crown > 0)[..., None], picture, bark)
    shown = cv2.GaussianBlur(np.maximum(crown, trunk), (3, 3), 0)
    label = np.where(shown > 127, VEGETATION, NONE).astype(np.uint8)
    rgba = np.dstack([np.round(rgb * (shown[..., None] / 255.0)).astype(np.uint8), shown])
    return Sprite.painted(rgba, label, width_m=wide, height_m=tall)


@lru_cache(maxsize=64)
def bush(variant: int) -> Sprite:
    """A rounded shrub."""
    rng = generator(31, variant)
    height, width = 60, 96
    mask = _blob_mask(rng, (height, width), low_share=0.0, conical=False)
    mask[height // 2 :] = np.maximum(mask[height // 2 :], mask[height // 2])
    light = np.linspace(1.2, 0.65, height, dtype=np.float32)[:, None, None]
    picture = np.clip(leaves(rng, (height, width), _LEAVES[int(rng.integers(len(_LEAVES)))]) * light, 0, 255)
    label = np.where(mask > 127, VEGETATION, NONE).astype(np.uint8)
    rgba = np.dstack([(picture * (mask[..., None] > 0)).astype(np.uint8), mask])
    return Sprite.painted(rgba, label, width_m=2.6, height_m=1.5)


@lru_cache(maxsize=64)
def hedge(variant: int) -> Sprite:
    """A run of clipped hedge, `RUN_M` long."""
    rng = generator(32, variant)
    tall = float(rng.uniform(1.2, 2.0))
    size = (round(tall * 28), round(RUN_M * 28))
    light = np.linspace(1.25, 0.62, size[0], dtype=np.float32)[:, None, None]
    picture = np.clip(leaves(rng, size, _LEAVES[int(rng.integers(len(_LEAVES)))]) * light, 0, 255).astype(np.uint8)
    return solid_sprite(picture, VEGETATION, width_m=RUN_M, height_m=tall)


@lru_cache(maxsize=64)
def wall(variant: int) -> Sprite:
    """A run of free-standing wall, `RUN_M` long: brick, concrete panels or rough stone, always with a cap."""
    rng = generator(33, variant)
    tall = float(rng.uniform(1.7, 2.6))
    size = (round(tall * 28), round(RUN_M * 28))
    style = variant % 3
    if style == 0:
        picture = bricks(rng, size, vary(rng, (150, 78, 60), hue=8), 5)
    elif style == 1:
        picture = plaster(rng, size, vary(rng, (158, 156, 150), hue=8))
        for x in range(0, size[1], 56):
            picture[:, x : x + 3] = (picture[:, x : x + 3] * 0.6).astype(np.uint8)
            picture[:, x + 3 : x + 5] = np.minimum(picture[:, x + 3 : x + 5] * 1.15, 255).astype(np.uint8)
    else:
        picture = _rubble(rng, size, vary(rng, (142, 130, 110), hue=8))
    if rng.random() < 0.35:
        _graffiti(picture, rng)
    cap = max(3, round(0.14 * 28))
    picture[:cap] = np.clip(picture[:cap] * 0.4 + 120, 0, 255).astype(np.uint8)
    picture[cap : cap + 2] = (picture[cap : cap + 2] * 0.5).astype(np.uint8)
    picture[-6:] = (picture[-6:] * 0.7).astype(np.uint8)
    return solid_sprite(picture, WALL, width_m=RUN_M, height_m=tall)


@lru_cache(maxsize=64)
def fence(variant: int) -> Sprite:
    """A run of fence, `RUN_M` long: pickets, iron bars or boards; the gaps between belong to the fence."""
    rng = generator(34, variant)
    tall = float(rng.uniform(1.15, 1.6))
    canvas = Canvas(RUN_M, tall, px_per_m=26, label=FENCE)
    style = variant % 3
    if style == 0:
        colour = vary(rng, (232, 230, 222), hue=8)
        for y in (0.3 * tall, 0.78 * tall):
            canvas.box(0, y - 0.05, RUN_M, y + 0.05, lit(colour, 0.85))
        for x in np.arange(0.02, RUN_M, 0.24):
            canvas.polygon(
                [(x, 0.05), (x + 0.16, 0.05), (x + 0.16, tall - 0.12), (x + 0.08, tall), (x, tall - 0.12)], colour
            )
    elif style == 1:
        colour = vary(rng, (40, 52, 48), hue=8)
        for y in (0.12, tall - 0.15):
            canvas.box(0, y - 0.05, RUN_M, y + 0.05, colour)
        for x in np.arange(0.04, RUN_M, 0.20):
            canvas.box(x, 0.0, x + 0.09, tall, colour)
        for x in np.arange(0.0, RUN_M + 0.1, 2.0):
            canvas.box(x - 0.1, 0.0, x + 0.1, tall, lit(colour, 0.8))
    else:
        colour = vary(rng, (140, 100, 62), hue=8)
        for index, x in enumerate(np.arange(0.0, RUN_M, 0.3)):
            shade = 0.85 + 0.25 * float(rng.random())
            top = tall - (0.06 if index % 2 else 0.0)
            canvas.box(x, 0.0, x + 0.25, top, lit(colour, shade))
        canvas.box(0, 0.7 * tall, RUN_M, 0.7 * tall + 0.12, lit(colour, 0.6))
    return canvas.finish(gaps=FENCE)


@lru_cache(maxsize=32)
def lamp_post(variant: int) -> Sprite:
    """A street lamp or a plain utility pole."""
    rng = generator(35, variant)
    tall = float(rng.uniform(5.5, 7.5))
    metal = vary(rng, ((120, 124, 126), (62, 70, 70), (110, 84, 60))[variant % 3], hue=8)
    canvas = Canvas(2.2, tall, px_per_m=26, label=POLE)
    _post(canvas, 1.1, tall - 0.05, 0.24, metal)
    if variant % 3 != 2:
        canvas.line([(1.1, tall - 0.2), (1.9, tall - 0.1)], 0.14, metal)
        canvas.box(1.5, tall - 0.28, 2.15, tall - 0.08, (226, 224, 206))
    else:
        canvas.box(0.3, tall - 0.7, 1.9, tall - 0.52, metal)
    return canvas.finish()


@lru_cache(maxsize=32)
def traffic_light(variant: int, phase: int) -> Sprite:
    """A signal on its pole; `phase` 0 red, 1 amber, 2 green."""
    rng = generator(36, variant)
    canvas = Canvas(0.9, 3.9, px_per_m=40, label=POLE)
    _post(canvas, 0.45, 3.0, 0.20, vary(rng, (96, 100, 98), hue=8))
    canvas.current_label = TRAFFIC_LIGHT
    canvas.box(0.08, 2.35, 0.82, 3.88, (214, 190, 60) if variant % 2 else (226, 226, 222))
    canvas.box(0.14, 2.42, 0.76, 3.82, (22, 24, 24))
    lamps: tuple[tuple[float, Colour], ...] = ((3.55, (252, 52, 40)), (3.11, (255, 184, 40)), (2.67, (60, 240, 130)))
    for index, (y, colour) in enumerate(lamps):
        canvas.ellipse((0.45, y), (0.19, 0.19), colour if index == phase else lit(colour, 0.22))
    return canvas.finish()


@lru_cache(maxsize=64)
def traffic_sign(variant: int) -> Sprite:
    """A sign on its pole: prohibition, warning, priority, direction, parking or stop."""
    rng = generator(37, variant)
    canvas = Canvas(1.2, 2.9, px_per_m=44, label=POLE)
    _post(canvas, 0.6, 2.5, 0.15, vary(rng, (134, 138, 140), hue=8))
    canvas.current_label = TRAFFIC_SIGN
    style, middle = variant % 6, (0.6, 2.35)
    red, white, blue = (212.0, 26.0, 34.0), (244.0, 244.0, 240.0), (28.0, 84.0, 190.0)
    if style == 0:
        canvas.ellipse(middle, (0.46, 0.46), red)
        canvas.ellipse(middle, (0.33, 0.33), white)
        canvas.box(0.48, 2.20, 0.56, 2.50, (20, 20, 20))
        canvas.ring((0.70, 2.35), (0.09, 0.14), 0.06, (20, 20, 20))
    elif style == 1:
        canvas.polygon([(0.06, 1.96), (1.14, 1.96), (0.6, 2.88)], red)
        canvas.polygon([(0.26, 2.07), (0.94, 2.07), (0.6, 2.66)], white)
        canvas.box(0.56, 2.14, 0.64, 2.46, (20, 20, 20))
    elif style == 2:
        canvas.polygon([(0.6, 1.86), (1.1, 2.36), (0.6, 2.86), (0.1, 2.36)], white)
        canvas.polygon([(0.6, 2.0), (0.96, 2.36), (0.6, 2.72), (0.24, 2.36)], (250, 204, 40))
    elif style == 3:
        canvas.box(0.02, 1.96, 1.18, 2.78, blue)
        canvas.line([(0.2, 2.24), (0.9, 2.24)], 0.07, white)
        canvas.line([(0.2, 2.5), (0.7, 2.5)], 0.07, white)
    elif style == 4:
        canvas.box(0.2, 1.95, 1.0, 2.85, blue)
        canvas.line([(0.45, 2.1), (0.45, 2.7), (0.72, 2.66), (0.72, 2.42), (0.45, 2.38)], 0.1, white)
    else:
        corners = np.arange(8) * np.pi / 4 + np.pi / 8
        canvas.polygon([(0.6 + 0.48 * np.cos(a), 2.35 + 0.48 * np.sin(a)) for a in corners], red)
        canvas.box(0.26, 2.28, 0.94, 2.42, white)
    return canvas.finish()


def _post(canvas: Canvas, x: float, top: float, width: float, colour: Colour) -> None:
    canvas.box(x - width / 2, 0, x + width / 2, top, colour)
    canvas.box(x - width / 2, 0, x - width / 6, top, lit(colour, 1.25))
    canvas.box(x + width / 4, 0, x + width / 2, top, lit(colour, 0.7))
    canvas.box(x - 0.8 * width, 0, x + 0.8 * width, 0.35, lit(colour, 0.8))


def _blob_mask(rng: np.random.Generator, size_HW: tuple[int, int], *, low_share: float, conical: bool) -> np.ndarray:
    """Union of round tufts above `low_share` of the height, with a leafy edge; 0 or 255."""
    height, width = size_HW
    mask = np.zeros((height, width), np.uint8)
    crown = height * (1 - low_share)
    for _ in range(26):
        share = float(rng.random())
        room = (1 - share) * 0.42 if not conical else share * 0.34
        x = width * (0.5 + float(rng.uniform(-1, 1)) * (room if conical else 0.30))
        y = crown * (0.16 + 0.68 * share)
        radius = width * float(rng.uniform(0.13, 0.21))
        cv2.circle(mask, (round(x), round(y)), round(min(radius, y, width - x, x)), 255, -1)
    wide = cv2.GaussianBlur(mask, (0, 0), 4).astype(np.float32)
    ragged = wide + 34 * noise(rng, size_HW, cell_px=12, octaves=2)
    mask = cv2.morphologyEx((ragged > 118).astype(np.uint8) * 255, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)))


def _rubble(rng: np.random.Generator, size_HW: tuple[int, int], colour: Colour) -> np.ndarray:
    cells = noise(rng, size_HW, cell_px=16, octaves=1)
    joints = np.abs(cells % 0.9 - 0.45) > 0.38
    picture = paint(1 + 0.12 * np.floor(cells / 0.9) + 0.06 * noise(rng, size_HW, cell_px=5, octaves=2), colour)
    picture[joints] = (picture[joints] * 0.55).astype(np.uint8)
    return picture


def _graffiti(picture: np.ndarray, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    for _ in range(int(rng.integers(2, 5))):
        colour = tuple(int(c) for c in rng.integers(30, 230, 3))
        start = rng.uniform((0, 0.3 * height), (0.9 * width, 0.8 * height))
        points = start + np.cumsum(rng.uniform((-6, -12), (12, 12), (7, 2)), axis=0)
        cv2.polylines(picture, [points.astype(np.int32)], False, colour, 3)
