"""Snowfall: a bright veil, flakes, and a cover on the ground.

Extinction of dry snow after Recommendation ITU-R P.1814 (optical links), gamma = a S^1.38 dB/km with a = 5.42e-5
lambda_nm + 5.4958776, at 550 nm. Flakes: sizes after Gunn and Marshall, "The distribution with size of aggregate
snowflakes", J. Meteorology 1958, N0 = 3800 R^-0.87 per m^3 and mm, L = 2.55 R^-0.48 per mm (melted diameter); an
aggregate is drawn four times as wide.
"""

# H height, W width, C channels (RGB), N flakes

import math

import cv2
import numpy as np

from streams.synthetic.weather.geometry import View
from streams.synthetic.weather.grain import streak_grain
from streams.synthetic.weather.medium import blend

SNOW_AIRLIGHT_RGB = (214.0, 217.0, 222.0)
SNOW_RGB = (232.0, 236.0, 242.0)
FALL_M_S, DRIVING_M_S = 1.2, 8.0
SMALLEST_MM, PUFFINESS = 1.0, 4.0
NEAREST_M, FARTHEST_M = 1.0, 6.0
VISIBILITY_GAIN = 1.8  # flakes are lit by the whole sky, and are brighter than their share of the exposure
_NUM_SHADES = 6
_MOST_FLAKES = 2500
_SUBPIXEL_BITS = 4


def snow_extinction_per_m(rate_mm_h: float) -> float:
    """Dry snow at 550 nm, turned from dB/km to 1/m."""
    decibel_per_km = (5.42e-5 * 550.0 + 5.4958776) * math.pow(rate_mm_h, 1.38)
    return decibel_per_km * math.log(10.0) / 10.0 * 1e-3


def flakes_per_m3(rate_mm_h: float) -> float:
    """Number of flakes above 1 mm of melted diameter."""
    if rate_mm_h <= 0.0:
        return 0.0
    slope = 2.55 * math.pow(rate_mm_h, -0.48)
    return 3800.0 * math.pow(rate_mm_h, -0.87) / slope * math.exp(-slope * SMALLEST_MM)


def snow_cover(image_HWC: np.ndarray, ground_HW: np.ndarray, rate_mm_h: float) -> np.ndarray:
    """Whitens the ground in patches: up to 85 % in heavy snowfall."""
    height, width = ground_HW.shape
    share = 0.85 * (1.0 - math.exp(-rate_mm_h / 2.5))
    patches_HW = cv2.GaussianBlur(streak_grain(height, width, 3, np.random.default_rng(7)), (0, 0), height / 90.0)
    patches_HW = cv2.min(cv2.max(1.0 + 0.5 * patches_HW, 0.85), 1.0)
    return blend(image_HWC, 1.0 - share * ground_HW * patches_HW, SNOW_RGB)


def flakes(
    image_HWC: np.ndarray,
    view: View,
    rate_mm_h: float,
    *,
    light: float,
    exposure_s: float,
    generator: np.random.Generator,
) -> np.ndarray:
    """Lays the flakes of one frame over the picture, drawn out by fall and driving during the exposure."""
    height, width = image_HWC.shape[:2]
    frustum_m3 = width * height / view.focal_px**2 * (FARTHEST_M**3 - NEAREST_M**3) / 3.0
    num_flakes = min(int(generator.poisson(frustum_m3 * flakes_per_m3(rate_mm_h))), _MOST_FLAKES)
    depth_N = np.cbrt(generator.uniform(NEAREST_M**3, FARTHEST_M**3, num_flakes))
    melted_mm_N = SMALLEST_MM + generator.exponential(rate_mm_h**0.48 / 2.55, num_flakes)
    start_x_N = generator.uniform(-0.5 * width, 0.5 * width, num_flakes)
    start_y_N = generator.uniform(0.0, height, num_flakes) - view.horizon_row
    grow_N = depth_N / (depth_N - DRIVING_M_S * exposure_s).clip(0.5 * depth_N)
    fall_N = FALL_M_S * exposure_s * view.focal_px / depth_N
    start_N2 = np.stack((start_x_N, start_y_N), axis=1)
    end_N2 = np.stack((start_x_N * grow_N, (start_y_N + fall_N) * grow_N), axis=1)
    points_N22 = np.stack((start_N2, end_N2), axis=1) + np.array([0.5 * width, view.horizon_row])
    points_N22 = np.rint(points_N22 * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    width_px_N = 1e-3 * PUFFINESS * melted_mm_N * view.focal_px / depth_N
    thickness_N = np.clip(np.rint(width_px_N), 1.0, 12.0).astype(int)
    path_px_N = np.hypot(*(end_N2 - start_N2).T)
    # the part of the exposure for which a flake is before a pixel
    share_N = VISIBILITY_GAIN * width_px_N / (thickness_N + path_px_N)
    shade_N = np.ceil(np.minimum(share_N, 1.0) * _NUM_SHADES).astype(int)
    opacity_HW = np.zeros((height, width), np.uint8)
    for shade, thickness in sorted(set(zip(shade_N.tolist(), thickness_N.tolist(), strict=True))):
        chosen_N22 = points_N22[(shade_N == shade) & (thickness_N == thickness)]
        value = 230.0 * shade / _NUM_SHADES
        cv2.polylines(opacity_HW, chosen_N22, False, value, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)
    opacity_HW = cv2.GaussianBlur(opacity_HW, (3, 3), 0.0)
    keep_HW = cv2.convertScaleAbs(opacity_HW, alpha=-1.0, beta=255.0).astype(np.float32) * np.float32(1.0 / 255.0)
    return blend(image_HWC, keep_HW, tuple(light * value for value in SNOW_RGB))
