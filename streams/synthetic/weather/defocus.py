"""Defocus: every point becomes a disc, the image of the aperture (thin-lens circle of confusion)."""

# H height, W width, C channels (RGB)

import math
from functools import lru_cache

import cv2
import numpy as np

_SAMPLES = 8  # per pixel and axis, so that a radius can grow smoothly


def defocus(image_HWC: np.ndarray, radius_px: float) -> np.ndarray:
    """The image convolved with a disc of this radius; radii are told apart to 1/16 pixel."""
    result_HWC: np.ndarray = cv2.filter2D(
        image_HWC, -1, _disc_kernel(round(radius_px * 16)), borderType=cv2.BORDER_REFLECT
    )
    return result_HWC


@lru_cache(maxsize=32)
def _disc_kernel(radius_sixteenths: int) -> np.ndarray:
    radius = max(radius_sixteenths / 16.0, 1.0 / _SAMPLES)
    reach = math.ceil(radius - 0.5) if radius > 0.5 else 0
    side = 2 * reach + 1
    at = (np.arange(side * _SAMPLES) + 0.5) / _SAMPLES - side / 2.0
    inside = (at[:, None] ** 2 + at[None, :] ** 2 <= radius**2).astype(np.float32)
    kernel = inside.reshape(side, _SAMPLES, side, _SAMPLES).mean(axis=(1, 3))
    normalised: np.ndarray = (kernel / kernel.sum()).astype(np.float32)
    return normalised
