"""The streaks of single drops that fall through the space before the camera while the shutter is open.

Each drop is placed in the view frustum, moved by its fall, the wind and our own driving for the exposure, and
projected: length therefore grows with exposure and falls with depth, and streaks spread outward from the direction of
driving. Opacity after Garg and Nayar, "Vision and rain", IJCV 2007, section 4: a drop darkens or brightens a pixel
for tau = D / v of the exposure T, so alpha = tau / T, times the part of the pixel it covers, and a drop out of focus
spreads over the circle of confusion. Its brightness hardly depends on what lies behind, for it gathers light from 165
degrees (Garg and Nayar, "Photometric model of a raindrop", 2003). Drops too small or too far to be seen singly are
left to extinction and grain (`rain.py`).
"""

# H height, W width, N drops

import cv2
import numpy as np

from streams.synthetic.weather.geometry import View
from streams.synthetic.weather.raindrops import drop_slope_per_mm, drops_per_m3, fall_speed_m_s

SMALLEST_MM, LARGEST_MM = 2.0, 6.0  # larger drops break up
NEAREST_M, FARTHEST_M = 0.5, 3.0
DRIVING_M_S = 8.0
WIND_M_S = 1.5  # standard deviation of the side wind within a frame
APERTURE_MM = 2.0  # focused at infinity, the circle of confusion at an object is as wide as the aperture
# Sky is 7 to 10 times as bright as asphalt under it, so in the camera's gamma-coded values a drop counts for several
# times its share of the exposure; the rest brings 1/60 s to the streak contrast of the short exposures of car cameras.
BRIGHTNESS_GAIN = 14.0
MOST_OPAQUE = 0.6
_NUM_SHADES = 8
_MOST_DROPS = 4000
_SUBPIXEL_BITS = 4


def streak_opacity(
    height: int, width: int, view: View, rate_mm_h: float, *, exposure_s: float, generator: np.random.Generator
) -> np.ndarray:
    """Opacity (H, W) in uint8 (255 opaque) of the streaks of one frame; all zero without rain."""
    opacity_HW = np.zeros((height, width), np.uint8)
    frustum_m3 = width * height / view.focal_px**2 * (FARTHEST_M**3 - NEAREST_M**3) / 3.0
    expected = frustum_m3 * drops_per_m3(rate_mm_h, SMALLEST_MM)
    num_drops = min(int(generator.poisson(expected)), _MOST_DROPS)
    if num_drops == 0:
        return opacity_HW
    diameter_mm_N = SMALLEST_MM + generator.exponential(1.0 / drop_slope_per_mm(rate_mm_h), num_drops)
    diameter_mm_N = np.minimum(diameter_mm_N, LARGEST_MM)
    depth_N = np.cbrt(generator.uniform(NEAREST_M**3, FARTHEST_M**3, num_drops))
    speed_N = fall_speed_m_s(diameter_mm_N)
    ends_N22 = _project_paths(height, width, view, depth_N, speed_N, exposure_s=exposure_s, generator=generator)

    drop_px_N = 1e-3 * diameter_mm_N * view.focal_px / depth_N
    width_px_N = drop_px_N + 1e-3 * APERTURE_MM * view.focal_px / depth_N
    dwell_N = 1e-3 * diameter_mm_N / speed_N / exposure_s
    thickness_N = np.maximum(np.rint(width_px_N), 1.0)
    alpha_N = np.minimum(BRIGHTNESS_GAIN * dwell_N * drop_px_N / thickness_N, MOST_OPAQUE)

    shade_N = np.ceil(alpha_N * _NUM_SHADES).astype(int)
    points_N22 = np.rint(ends_N22 * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    thickness_N = np.minimum(thickness_N, 9.0).astype(int)
    for shade, thickness in sorted(set(zip(shade_N.tolist(), thickness_N.tolist(), strict=True))):
        chosen_N = (shade_N == shade) & (thickness_N == thickness)
        value = 255.0 * float(alpha_N[chosen_N].mean())
        cv2.polylines(opacity_HW, points_N22[chosen_N], False, value, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)
    return opacity_HW


def _project_paths(
    height: int,
    width: int,
    view: View,
    depth_N: np.ndarray,
    speed_N: np.ndarray,
    *,
    exposure_s: float,
    generator: np.random.Generator,
) -> np.ndarray:
    """Image points (N, 2, 2) where the shutter opened and closed on each drop, uniform over the frustum."""
    num_drops = depth_N.size
    start_x_N = generator.uniform(-0.1 * width, 1.1 * width, num_drops) - 0.5 * width
    start_y_N = generator.uniform(-0.3 * height, height, num_drops) - view.horizon_row
    wind_N = generator.normal(0.0, WIND_M_S, num_drops) * 0.5 + generator.normal(0.0, 0.5 * WIND_M_S)
    grow_N = depth_N / np.maximum(depth_N - DRIVING_M_S * exposure_s, 0.5 * depth_N)
    scale_N = view.focal_px / depth_N * exposure_s
    end_x_N = (start_x_N + wind_N * scale_N) * grow_N
    end_y_N = (start_y_N + speed_N * scale_N) * grow_N
    centre = (0.5 * width, view.horizon_row)
    start_N2 = np.stack((start_x_N + centre[0], start_y_N + centre[1]), axis=1)
    end_N2 = np.stack((end_x_N + centre[0], end_y_N + centre[1]), axis=1)
    return np.stack((start_N2, end_N2), axis=1)
