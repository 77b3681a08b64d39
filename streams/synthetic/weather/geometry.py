"""Where the ground and the horizon are: all that weather needs to know of the camera.

    view = view_from_depth(depth_HW)
    wet_HW = ground_share(depth_HW, view)

The focal length is assumed (nobody tells us); horizon and camera height are read from the depth map. Real frames
without depth get `depth_prior`, a street canyon. Knows no weather.
"""

# H height, W width

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

FOCAL_SHARE = 0.9  # of the image width: 58 degrees of horizontal field, between CamVid and Cityscapes cameras
HORIZON_SHARE = 0.45  # of the image height, counted from the top
CAMERA_HEIGHT_M = 1.4
CANYON_HALF_WIDTH_M = 9.0
PRIOR_STREET_M = 120.0
PRIOR_SKY_M = 400.0
SKY_FROM, SKY_TO = 170.0, 230.0  # darkest channel: below the first never sky, above the second always
FARTHEST_M = 2000.0  # beyond, every medium that we render is opaque or absent; keeps exponentials finite at the sky


@dataclass(frozen=True, slots=True)
class View:
    """A level pinhole over flat ground; the road at depth z is focal_px * height_m / z rows below the horizon."""

    horizon_row: float
    focal_px: float
    height_m: float


def depth_prior(height: int, width: int) -> np.ndarray:
    """Depth (H, W) in float32 metres of a typical street for frames that have none; read-only.

    A flat road between two endless facades, nothing farther than 120 m. Over a real frame this is right on the road and
    in the order of magnitude elsewhere.
    """
    return _cached_prior(height, width)


def depth_guess(image_HWC: np.ndarray) -> np.ndarray:
    """The prior with the sky of this uint8 image moved far away: what is bright, colourless and above the horizon.

    It follows the outlines of roofs and trees, where a prior alone would draw edges of its own into fog and night.
    """
    height, width = image_HWC.shape[:2]
    darkest_HW = cv2.min(cv2.min(*cv2.split(image_HWC)[:2]), cv2.extractChannel(image_HWC, 2))
    bright_HW = np.clip((darkest_HW.astype(np.float32) - SKY_FROM) * (1.0 / (SKY_TO - SKY_FROM)), 0.0, 1.0)
    above_H = np.clip((HORIZON_SHARE * height - np.arange(height, dtype=np.float32)) / (0.1 * height), 0.0, 1.0)
    share_HW = bright_HW * above_H[:, None]
    prior_HW = depth_prior(height, width)
    guess_HW: np.ndarray = prior_HW + share_HW**2 * (PRIOR_SKY_M - prior_HW)
    return guess_HW


@lru_cache(maxsize=4)
def _cached_prior(height: int, width: int) -> np.ndarray:
    focal_px = FOCAL_SHARE * width
    below_H = np.arange(height, dtype=np.float32) - HORIZON_SHARE * height
    aside_W = np.abs(np.arange(width, dtype=np.float32) - 0.5 * (width - 1))
    road_H = focal_px * CAMERA_HEIGHT_M / np.maximum(below_H, 1e-3)
    facade_W = focal_px * CANYON_HALF_WIDTH_M / np.maximum(aside_W, 1e-3)
    street_HW = np.minimum(np.minimum(road_H[:, None], facade_W[None, :]), PRIOR_STREET_M)
    depth_HW: np.ndarray = street_HW.astype(np.float32)
    depth_HW.setflags(write=False)
    return depth_HW


def view_from_depth(depth_HW: np.ndarray) -> View:
    """The camera that saw this depth map.

    The farthest point of a row below the horizon is ground, and over flat ground 1/z is linear in the row; two rows
    near the bottom give the line. A map that shows no ground there (a wall, a vehicle across the picture) gets the
    usual camera.
    """
    height, width = depth_HW.shape
    focal_px = FOCAL_SHARE * width
    upper, lower = int(0.80 * height), int(0.96 * height)
    near, far = float(depth_HW[lower].max()), float(depth_HW[upper].max())
    if 0.0 < near < far < FARTHEST_M and lower > upper:
        per_row = (1.0 / near - 1.0 / far) / (lower - upper)
        horizon_row = lower - 1.0 / (near * per_row)
        if 0.2 * height < horizon_row < 0.7 * height:
            return View(horizon_row, focal_px, min(max(1.0 / (per_row * focal_px), 0.5), 4.0))
    return View(HORIZON_SHARE * height, focal_px, CAMERA_HEIGHT_M)


def height_over_ground(depth_HW: np.ndarray, view: View) -> np.ndarray:
    """Height (H, W) in metres over the road of the point that each pixel shows."""
    below_H1 = (np.arange(depth_HW.shape[0], dtype=np.float32) - view.horizon_row)[:, None] / view.focal_px
    height_HW: np.ndarray = view.height_m - below_H1 * depth_HW
    return height_HW


def ground_share(height_HW: np.ndarray) -> np.ndarray:
    """How surely (0 to 1) each pixel of a `height_over_ground` map is ground: all up to 0.15 m, nothing from 0.4 m."""
    share_HW: np.ndarray = cv2.min(cv2.max((0.4 - height_HW) * 4.0, 0.0), 1.0)
    return share_HW
