"""Materials: tileable noise and the surfaces made of it (asphalt, paving, grass, brick, plaster, leaves).

Every function returns fresh uint8 RGB; noise tiles are shared and must not be written to. Lengths are in texels of full
detail. `detail` is the share of them that is kept (down, across): a coarser surface is the same one, shrunk.
"""

# H height, W width, C channels (RGB)

from functools import lru_cache

import cv2
import numpy as np

from streams.synthetic.randomness import generator

Colour = tuple[float, float, float]
Detail = tuple[float, float]
FULL: Detail = (1.0, 1.0)
_TILE = 512
_NUM_TILES = 6


@lru_cache(maxsize=64)
def noise_tile(variant: int, cell_px: int, octaves: int) -> np.ndarray:
    """Tileable float32 noise of `_TILE` squared, zero mean, unit deviation; features of `cell_px` and finer."""
    rng = generator(2, variant, cell_px, octaves)
    total = np.zeros((_TILE, _TILE), np.float32)
    for octave in range(octaves):
        cells = min(_TILE, max(2, (_TILE << octave) // cell_px))
        grid = np.pad(rng.standard_normal((cells, cells)).astype(np.float32), 2, mode="wrap")
        scale = _TILE / cells
        side = round((cells + 4) * scale)
        margin = round(2 * scale)
        wide = cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
        total += wide[margin : margin + _TILE, margin : margin + _TILE] * np.float32(0.6**octave)
    total -= total.mean()
    total /= total.std()
    total.setflags(write=False)
    return total


@lru_cache(maxsize=128)
def _shrunk_tile(variant: int, cell_px: int, octaves: int, detail: Detail) -> np.ndarray:
    height, width = (max(1, round(_TILE * share)) for share in detail)
    tile = np.asarray(cv2.resize(noise_tile(variant, cell_px, octaves), (width, height), interpolation=cv2.INTER_AREA))
    tile.setflags(write=False)
    return tile


def noise(
    rng: np.random.Generator, size_HW: tuple[int, int], *, cell_px: int, octaves: int = 3, detail: Detail = FULL
) -> np.ndarray:
    """Noise of any size, cut from a tile at a random place; float32, about zero mean, unit deviation at full detail.

    `size_HW` is the size of what is returned.
    """
    variant = int(rng.integers(_NUM_TILES))
    full = detail == FULL
    tile = noise_tile(variant, cell_px, octaves) if full else _shrunk_tile(variant, cell_px, octaves, detail)
    top, left = (int(v * share) for v, share in zip(rng.integers(0, _TILE, 2), detail, strict=True))
    rows, columns = (np.arange(at, at + n) % side for at, n, side in zip((top, left), size_HW, tile.shape, strict=True))
    return tile[np.ix_(rows, columns)]


def paint(value_HW: np.ndarray, colour: Colour) -> np.ndarray:
    """Colour scaled by a brightness map (1 is the colour itself), as uint8."""
    lit_HWC: np.ndarray = np.clip(value_HW[..., None] * np.array(colour, np.float32), 0, 255)
    return lit_HWC.astype(np.uint8)


def asphalt(rng: np.random.Generator, size_HW: tuple[int, int], colour: Colour, *, detail: Detail = FULL) -> np.ndarray:
    """Grainy dark surface with slow stains."""
    grain = noise(rng, size_HW, cell_px=2, octaves=1, detail=detail)
    stains = noise(rng, size_HW, cell_px=128, octaves=3, detail=detail)
    return paint(1 + 0.055 * grain + 0.05 * stains, colour)


def paving(
    rng: np.random.Generator,
    size_HW: tuple[int, int],
    colour: Colour,
    slab_px: tuple[int, int],
    *,
    detail: Detail = FULL,
) -> np.ndarray:
    """Slabs of `slab_px` (rows, columns) with dark joints and a tone of their own, laid in half bond."""
    step_h, step_w = (round(1 / share) for share in detail)
    height, width = size_HW
    slab_h, slab_w = slab_px
    row, column = np.ogrid[0 : height * step_h : step_h, 0 : width * step_w : step_w]
    line = row // slab_h
    shifted = column + (line % 2) * (slab_w // 2)
    tones = (0.07 * rng.standard_normal((97, 89))).astype(np.float32)
    value = 1 + tones[line % 97, (shifted // slab_w) % 89]
    value += 0.04 * noise(rng, size_HW, cell_px=4, octaves=2, detail=detail)
    is_joint = np.broadcast_to(-row % slab_h < step_h, size_HW)
    value[is_joint] *= 1 - 0.26 / step_h
    value[~is_joint & (-shifted % slab_w < step_w)] *= 1 - 0.26 / step_w
    return paint(value, colour)


def grass(rng: np.random.Generator, size_HW: tuple[int, int], colour: Colour, *, detail: Detail = FULL) -> np.ndarray:
    """Short grass: fine blades, dry and lush patches."""
    blades = noise(rng, size_HW, cell_px=4, octaves=2, detail=detail)
    patches = noise(rng, size_HW, cell_px=64, octaves=3, detail=detail)
    picture = paint(1 + 0.13 * blades, colour).astype(np.float32)
    picture += patches[..., None] * np.array([11, 5, 2], np.float32)
    return np.clip(picture, 0, 255).astype(np.uint8)


def bricks(rng: np.random.Generator, size_HW: tuple[int, int], colour: Colour, course_px: int) -> np.ndarray:
    """Bricks in half bond with light mortar."""
    height, width = size_HW
    row, column = np.ogrid[0:height, 0:width]
    line = row // course_px
    brick_w = course_px * 5 // 2
    shifted = column + (line % 2) * (brick_w // 2)
    tones = (0.10 * rng.standard_normal((97, 89))).astype(np.float32)
    value = 1 + tones[line % 97, (shifted // brick_w) % 89] + 0.05 * noise(rng, size_HW, cell_px=32, octaves=3)
    picture = paint(value, colour)
    mortar = (row % course_px == 0) | (shifted % brick_w == 0)
    picture[mortar] = (0.6 * picture[mortar] + 0.4 * np.array([190, 184, 172])).astype(np.uint8)
    return picture


def plaster(rng: np.random.Generator, size_HW: tuple[int, int], colour: Colour) -> np.ndarray:
    """Rendered wall with soft streaks and a dirtier foot."""
    value = 1 + 0.03 * noise(rng, size_HW, cell_px=6, octaves=2) + 0.035 * noise(rng, size_HW, cell_px=128, octaves=3)
    value *= np.linspace(1.03, 0.90, size_HW[0], dtype=np.float32)[:, None]
    return paint(value, colour)


def leaves(rng: np.random.Generator, size_HW: tuple[int, int], colour: Colour) -> np.ndarray:
    """Foliage: clumps lit from above with dark holes between, warmer where it is bright."""
    clumps = noise(rng, size_HW, cell_px=24, octaves=3)
    fine = noise(rng, size_HW, cell_px=5, octaves=2)
    value = np.clip(0.86 + 0.22 * clumps + 0.20 * fine, 0.28, 1.7)
    picture = paint(value, colour).astype(np.float32)
    picture[..., 0] += np.clip(value - 0.9, 0, None) * 34
    return np.clip(picture, 0, 255).astype(np.uint8)


def lit(colour: Colour, gain: float) -> Colour:
    """The colour under more or less light."""
    return (min(255.0, colour[0] * gain), min(255.0, colour[1] * gain), min(255.0, colour[2] * gain))


def vary(rng: np.random.Generator, colour: Colour, *, hue: float = 0.0) -> Colour:
    """The colour a bit lighter or darker, and its channels apart by up to `hue`."""
    gain, shift = float(rng.uniform(0.8, 1.15)), rng.uniform(-1, 1, 3) * hue
    red, green, blue = (float(np.clip(gain * c + s, 0, 255)) for c, s in zip(colour, shift, strict=True))
    return (red, green, blue)
