"""Dusk and night: less light, other light, our own headlights, and the noise of a sensor at high gain.

Day to night as relighting in linear light, then noise, as in Punnappurath et al., "Day-to-night image synthesis for
training nighttime neural ISPs", CVPR 2022. A factor g in linear light is a factor g^(1/2.2) on gamma-coded values, so
all of it is one multiplication.
"""

# H height, W width, C channels (RGB)

import math

import cv2
import numpy as np

from streams.synthetic.weather.geometry import View
from streams.synthetic.weather.grain import sensor_grain
from streams.synthetic.weather.medium import spread

GAMMA = 2.2
STOPS_AT_NIGHT = 3.8  # exposure that the camera cannot make up for, of some twenty stops between noon and a lit street
DUSK_TINT_RGB = (0.88, 1.00, 1.06)  # skylight without sun, about 9000 K
NIGHT_TINT_RGB = (1.06, 0.95, 0.80)  # street lamps, about 3500 K
SKY_STOPS_AT_DUSK, SKY_STOPS_AT_NIGHT = 1.3, -1.7  # against the street: at dusk the sky is what still shines
HEADLIGHT_STOPS = 0.2  # linear gain of low beam on the road at close range, against daylight
HEADLIGHT_REACH_M = 12.0
SKY_FROM_M, SKY_TO_M = 150.0, 400.0


def ambient_gain(night: float) -> float:
    """Factor on gamma-coded values of what only the sky and lamps light: 1 by day, 0.46 at dusk, 0.30 at night."""
    return math.pow(_ambient(night), 1.0 / GAMMA)


def darken(image_HWC: np.ndarray, depth_HW: np.ndarray, view: View, night: float) -> np.ndarray:
    """Relights the float32 image: ambient light by `night`, headlights from dusk on, a sky darker than the street."""
    ambient = _ambient(night)
    light_HW = np.full(depth_HW.shape, ambient, np.float32)
    switched_on = min(max((night - 0.3) / 0.4, 0.0), 1.0)
    if switched_on > 0.0:
        beam = (2.0**HEADLIGHT_STOPS - ambient) * switched_on * _beam(depth_HW.shape, view)
        light_HW += beam * (1.0 / (1.0 + (depth_HW * (1.0 / HEADLIGHT_REACH_M)) ** 2))
    sky_HW = cv2.min(cv2.max((depth_HW - SKY_FROM_M) * (1.0 / (SKY_TO_M - SKY_FROM_M)), 0.0), 1.0)
    light_HW *= 1.0 + (2.0 ** _sky_stops(night) - 1.0) * sky_HW
    gain_HW = cv2.pow(light_HW, 1.0 / GAMMA)
    grey = 0.35 * night
    luma = np.array([0.299, 0.587, 0.114])
    mixing = np.diag(_tint(night)) @ ((1.0 - grey) * np.eye(3) + grey * luma[None, :])
    result_HWC: np.ndarray = cv2.transform(image_HWC, mixing)
    cv2.multiply(result_HWC, spread(gain_HW), dst=result_HWC)
    return result_HWC


def sensor_noise(image_HWC: np.ndarray, night: float, *, generator: np.random.Generator) -> np.ndarray:
    """Adds noise of a sensor at high gain: shot noise (deviation with the root of the signal) and read noise.

    Poisson-Gaussian model of Foi et al., "Practical Poissonian-Gaussian noise modeling", IEEE TIP 2008; up to 9 grey
    levels.
    """
    height, width = image_HWC.shape[:2]
    variance_HWC = cv2.add(cv2.multiply(image_HWC, 0.45 * night**2), (30.0 * night**2,) * 4)
    deviation_HWC = cv2.sqrt(cv2.max(variance_HWC, 0.0))
    cv2.multiply(deviation_HWC, sensor_grain(height, width, generator), dst=deviation_HWC)
    result_HWC: np.ndarray = cv2.add(image_HWC, deviation_HWC)
    return result_HWC


def _ambient(night: float) -> float:
    """Linear light on the street; most of it is lost by dusk, as in real recordings at a camera's longest exposure."""
    return math.pow(2.0, -STOPS_AT_NIGHT * (1.0 - math.pow(1.0 - night, 1.5)))


def _sky_stops(night: float) -> float:
    if night <= 0.5:
        return 2.0 * night * SKY_STOPS_AT_DUSK
    return SKY_STOPS_AT_DUSK + (2.0 * night - 1.0) * (SKY_STOPS_AT_NIGHT - SKY_STOPS_AT_DUSK)


def _tint(night: float) -> np.ndarray:
    day, dusk, dark = np.ones(3), np.array(DUSK_TINT_RGB), np.array(NIGHT_TINT_RGB)
    return day + 2.0 * night * (dusk - day) if night <= 0.5 else dusk + (2.0 * night - 1.0) * (dark - dusk)


def _beam(shape_HW: tuple[int, ...], view: View) -> np.ndarray:
    """Low beam (H, W): wide to the sides, cut off just above the horizon."""
    height, width = shape_HW
    below_H = (np.arange(height, dtype=np.float32) - view.horizon_row) / height
    aside_W = (np.arange(width, dtype=np.float32) / width - 0.5) / 0.30
    cut_H = np.clip(0.15 + below_H * 9.0 + 0.5, 0.10, 1.0)
    return (cut_H[:, None] * np.exp(-(aside_W**2))[None, :]).astype(np.float32)
