"""Rain on a picture: dull light, wet road, veil and spray, unresolved drops, streaks, drops on the lens; in this order.

The extinction of rain alone is mild at street distances (200 mm/h leave 80 % over 20 m). What blinds a camera in a
cloudburst is the sum: spray over the road, streaks, a wet lens, reflections, and no direct light.
"""

# H height, W width, C channels (RGB)

import math

import cv2
import numpy as np

from streams.synthetic.weather.geometry import View
from streams.synthetic.weather.grain import streak_grain
from streams.synthetic.weather.medium import blend, spread
from streams.synthetic.weather.raindrops import rain_extinction_per_m
from streams.synthetic.weather.streaks import streak_opacity

RAIN_AIRLIGHT_RGB = (168.0, 173.0, 179.0)
DROP_RGB = (222.0, 226.0, 230.0)
SPRAY_PER_M = 0.032  # at the road surface at 100 mm/h; no published fit, chosen like fog of 90 m visibility in traffic
SPRAY_SCALE_HEIGHT_M = 3.0
WET_DARKENING = 0.42  # albedo lost by a fully wet surface: Twomey, Bohren, Mergenthaler, Applied Optics 1986
REFRACTION_INDEX_F0 = 0.02  # Schlick 1994 for water


def wetness(rate_mm_h: float) -> float:
    """Share of the road under water film: 0 dry, saturating within a light shower."""
    return 1.0 - math.exp(-rate_mm_h / 30.0)


def lens_wetness(rate_mm_h: float) -> float:
    """Share of the lens's places that hold a drop."""
    return 1.0 - math.exp(-rate_mm_h / 120.0)


def overcast(image_HWC: np.ndarray, rate_mm_h: float) -> np.ndarray:
    """Direct light gone: the float32 image loses up to 35 % brightness and 45 % saturation."""
    strength = 1.0 - math.exp(-rate_mm_h / 90.0)
    gain, grey = 1.0 - 0.35 * strength, 0.45 * strength
    luma = np.array([0.299, 0.587, 0.114])
    mixing = gain * ((1.0 - grey) * np.eye(3) + grey * luma[None, :])
    result_HWC: np.ndarray = cv2.transform(image_HWC, mixing)
    return result_HWC


def wet_road(image_HWC: np.ndarray, ground_HW: np.ndarray, view: View, rate_mm_h: float) -> np.ndarray:
    """Darkens the ground by its water film and lays the mirrored scene over it, more at grazing angles (Schlick)."""
    height, width = ground_HW.shape
    wet = wetness(rate_mm_h)
    rows_H = np.arange(height, dtype=np.float32)
    cosine_H = np.clip((rows_H - view.horizon_row) / view.focal_px, 0.0, 1.0)
    fresnel_H1 = (REFRACTION_INDEX_F0 + (1.0 - REFRACTION_INDEX_F0) * (1.0 - cosine_H) ** 5)[:, None]
    mirror_HW = ground_HW * (0.6 * wet * fresnel_H1)
    keep_HW = (1.0 - mirror_HW) * (1.0 - WET_DARKENING * wet * ground_HW)

    small_HWC = cv2.resize(image_HWC, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    horizon = view.horizon_row / 4.0
    above = np.clip(np.rint(2.0 * horizon - np.arange(height // 4)), 0, height // 4 - 1).astype(int)
    smeared_HWC = cv2.blur(small_HWC[above], (3, 9))  # ripples smear reflections along the line of sight
    scene_HWC = cv2.resize(smeared_HWC, (width, height), interpolation=cv2.INTER_LINEAR)
    result_HWC: np.ndarray = cv2.multiply(image_HWC, spread(keep_HW))
    cv2.accumulateProduct(scene_HWC, spread(mirror_HW), result_HWC)
    return result_HWC


def rain_path(depth_HW: np.ndarray, height_HW: np.ndarray, rate_mm_h: float) -> np.ndarray:
    """Optical path (H, W) of rain and of the spray over the road, which thins out upward with a scale height of 3 m."""
    spray = SPRAY_PER_M * (rate_mm_h / 100.0)
    upward_HW = cv2.exp(cv2.max(height_HW, 0.0) * (-1.0 / SPRAY_SCALE_HEIGHT_M))
    path_HW: np.ndarray = depth_HW * (rain_extinction_per_m(rate_mm_h) + spray * upward_HW)
    return path_HW


def unresolved_drops(
    image_HWC: np.ndarray, depth_HW: np.ndarray, rate_mm_h: float, *, light: float, generator: np.random.Generator
) -> np.ndarray:
    """Adds the flicker of drops too far to be seen singly, lit by `light` (1 by day).

    Their number within a pixel is Poisson, so the deviation grows with the root of the optical path (Garg and Nayar
    2007, section 5); it is seen against what is at least some metres away.
    """
    height, width = depth_HW.shape
    grain_HW = streak_grain(height, width, max(3, height // 40), generator)
    deviation_HW = cv2.sqrt(cv2.min(depth_HW, 30.0) * (rain_extinction_per_m(rate_mm_h) * 450.0 * light**2))
    cv2.multiply(deviation_HW, grain_HW, dst=deviation_HW)
    result_HWC: np.ndarray = cv2.add(image_HWC, spread(deviation_HW))
    return result_HWC


def streaks(
    image_HWC: np.ndarray,
    view: View,
    rate_mm_h: float,
    *,
    light: float,
    exposure_s: float,
    generator: np.random.Generator,
) -> np.ndarray:
    """Lays the streaks of one frame over the picture; `light` scales their brightness (1 by day)."""
    height, width = image_HWC.shape[:2]
    opacity_HW = streak_opacity(height, width, view, rate_mm_h, exposure_s=exposure_s, generator=generator)
    keep_HW = cv2.convertScaleAbs(opacity_HW, alpha=-1.0, beta=255.0).astype(np.float32) * np.float32(1.0 / 255.0)
    return blend(image_HWC, keep_HW, tuple(light * value for value in DROP_RGB))
