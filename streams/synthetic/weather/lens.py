"""Drops that sit on the lens: small out-of-focus discs that show the scene upside down.

A drop on glass is a wide-angle lens: it shows the whole scene inverted, bright sky below and dark road above, and
being centimetres away it is far out of focus (Halimeh and Roser, "Raindrop detection on car windshields using
geometric- photometric environment construction", IV 2009). Drops stay for a second or so and are renewed one by one;
which drop sits where is a function of (seed, index), so any frame can be rendered first.
"""

# H height, W width, C channels (RGB)

import math
from functools import lru_cache

import cv2
import numpy as np

MOST_DROPS = 48
_PATCH = 16  # side of the inverted picture that every drop shows a part of


def lens_drops(image_HWC: np.ndarray, wetness: float, *, seed: int, index: int) -> np.ndarray:
    """Draws drops into the float32 image in place and returns it; `wetness` 0 (dry) to 1 (all 48 places taken)."""
    height, width = image_HWC.shape[:2]
    num_drops = wetness * MOST_DROPS
    inverted_HWC = cv2.flip(cv2.resize(image_HWC, (_PATCH, _PATCH), interpolation=cv2.INTER_AREA), -1)
    for place in range(math.ceil(num_drops)):
        share = min(num_drops - place, 1.0)  # the last one grows in, so that a ramp has no step
        _draw_drop(image_HWC, inverted_HWC, *_drop_at(height, width, place, seed=seed, index=index), opacity=share)
    return image_HWC


def _drop_at(height: int, width: int, place: int, *, seed: int, index: int) -> tuple[int, int, int]:
    """Row, column and radius of the drop at a place; a drop lives 8 to 23 frames."""
    life = 8 + (place * 7) % 16
    generation = (index + 5 * place) // life
    drawn = np.random.default_rng((seed, generation, place, 3)).random(3)
    radius = max(2, round(width * (0.008 + 0.026 * float(drawn[2]) ** 2)))
    return int(drawn[0] * height), int(drawn[1] * width), radius


def _draw_drop(
    image_HWC: np.ndarray, inverted_HWC: np.ndarray, row: int, column: int, radius: int, *, opacity: float
) -> None:
    height, width = image_HWC.shape[:2]
    top, left = max(row - radius, 0), max(column - radius, 0)
    bottom, right = min(row + radius + 1, height), min(column + radius + 1, width)
    inside = (slice(top - row + radius, bottom - row + radius), slice(left - column + radius, right - column + radius))
    patch_HWC = cv2.resize(inverted_HWC, (2 * radius + 1, 2 * radius + 1), interpolation=cv2.INTER_LINEAR)[inside]
    cover_HW1 = _disc(radius)[inside] * np.float32(opacity)
    region_HWC = image_HWC[top:bottom, left:right]
    region_HWC += (patch_HWC - region_HWC) * cover_HW1


@lru_cache(maxsize=64)
def _disc(radius: int) -> np.ndarray:
    """Soft cover (2r+1, 2r+1, 1) of a drop, 0.85 at its centre."""
    offset = np.arange(-radius, radius + 1, dtype=np.float32)
    distance = np.hypot(offset[:, None], offset[None, :]) / radius
    return (0.85 * np.clip((1.0 - distance) * 2.5, 0.0, 1.0))[..., None].astype(np.float32)
