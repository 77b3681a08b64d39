"""Renders a weather on an image, in the order of light: surfaces, air, particles, lens, sensor.

    image_HWC = apply_weather(image_HWC, depth_HW, Weather(rain_mm_h=100), seed=0, index=frame.index)

A pure function: the same arguments give the same bytes, in any order of frames. It never sees a label, and where
things are it knows only from depth.
"""

# H height, W width, C channels (RGB)

import cv2
import numpy as np

from streams.synthetic.weather import medium, night, rain, snow, sun
from streams.synthetic.weather.defocus import defocus
from streams.synthetic.weather.geometry import (
    FARTHEST_M,
    View,
    depth_guess,
    ground_share,
    height_over_ground,
    view_from_depth,
)
from streams.synthetic.weather.lens import lens_drops
from streams.synthetic.weather.state import Weather


def apply_weather(
    image_HWC: np.ndarray,
    depth_HW: np.ndarray | None,
    weather: Weather,
    *,
    seed: int,
    index: int,
    exposure_s: float = 1.0 / 60.0,
) -> np.ndarray:
    """The uint8 RGB image as the camera would have taken it in this weather; the input itself when it is clear.

    `depth_HW` holds float metres (inf for the sky is fine); None takes `depth_prior` with the sky where the image is
    bright. `seed` and `index` (both at least 0) choose streaks, drops and noise. Raises ValueError for another image
    type or a depth of another size.
    """
    if image_HWC.dtype != np.uint8 or image_HWC.ndim != 3 or image_HWC.shape[2] != 3:
        raise ValueError(f"weather needs a uint8 image of shape (H, W, 3), got {image_HWC.dtype} {image_HWC.shape}")
    if depth_HW is not None and depth_HW.shape != image_HWC.shape[:2]:
        raise ValueError(f"weather needs depth of the image's size {image_HWC.shape[:2]}, got {depth_HW.shape}")
    if weather.is_clear:
        return image_HWC
    given_HW = depth_guess(image_HWC) if depth_HW is None else depth_HW
    near_HW: np.ndarray = cv2.min(np.ascontiguousarray(given_HW, dtype=np.float32), FARTHEST_M)
    view = view_from_depth(near_HW)
    generator = np.random.default_rng((seed, index, 11))

    picture_HWC = _surfaces(image_HWC.astype(np.float32), near_HW, view, weather)
    picture_HWC = _air(picture_HWC, near_HW, view, weather)
    picture_HWC = _particles(picture_HWC, near_HW, view, weather, exposure_s=exposure_s, generator=generator)
    picture_HWC = _optics(picture_HWC, view, weather, seed=seed, index=index)
    if weather.night > 0.0:
        picture_HWC = night.sensor_noise(picture_HWC, weather.night, generator=generator)
    result_HWC: np.ndarray = cv2.add(picture_HWC, (0.0, 0.0, 0.0, 0.0), dtype=cv2.CV_8U)  # rounds and saturates
    return result_HWC


def _surfaces(picture_HWC: np.ndarray, depth_HW: np.ndarray, view: View, weather: Weather) -> np.ndarray:
    if weather.low_sun > 0.0:
        picture_HWC = sun.backlight(picture_HWC, weather.low_sun)
    if weather.rain_mm_h > 0.0 or weather.snow_mm_h > 0.0:
        ground_HW = ground_share(height_over_ground(depth_HW, view))
        if weather.rain_mm_h > 0.0:
            picture_HWC = rain.overcast(picture_HWC, weather.rain_mm_h)
            picture_HWC = rain.wet_road(picture_HWC, ground_HW, view, weather.rain_mm_h)
        if weather.snow_mm_h > 0.0:
            picture_HWC = snow.snow_cover(picture_HWC, ground_HW, weather.snow_mm_h)
    if weather.night > 0.0:
        picture_HWC = night.darken(picture_HWC, depth_HW, view, weather.night)
    return picture_HWC


def _air(picture_HWC: np.ndarray, depth_HW: np.ndarray, view: View, weather: Weather) -> np.ndarray:
    light = night.ambient_gain(weather.night)
    if weather.rain_mm_h > 0.0:
        path_HW = rain.rain_path(depth_HW, height_over_ground(depth_HW, view), weather.rain_mm_h)
        picture_HWC = _veil(picture_HWC, path_HW, rain.RAIN_AIRLIGHT_RGB, light)
    if weather.snow_mm_h > 0.0:
        path_HW = depth_HW * np.float32(snow.snow_extinction_per_m(weather.snow_mm_h))
        picture_HWC = _veil(picture_HWC, path_HW, snow.SNOW_AIRLIGHT_RGB, light)
    if weather.fog_visibility_m < np.inf:
        path_HW = depth_HW * np.float32(medium.fog_extinction_per_m(weather.fog_visibility_m))
        picture_HWC = _veil(picture_HWC, path_HW, medium.FOG_AIRLIGHT_RGB, light)
    return picture_HWC


def _veil(picture_HWC: np.ndarray, path_HW: np.ndarray, airlight_RGB: tuple[float, ...], light: float) -> np.ndarray:
    return medium.blend(picture_HWC, medium.transmission(path_HW), tuple(light * value for value in airlight_RGB))


def _particles(
    picture_HWC: np.ndarray,
    depth_HW: np.ndarray,
    view: View,
    weather: Weather,
    *,
    exposure_s: float,
    generator: np.random.Generator,
) -> np.ndarray:
    light = night.ambient_gain(weather.night)
    if weather.rain_mm_h > 0.0:
        picture_HWC = rain.unresolved_drops(picture_HWC, depth_HW, weather.rain_mm_h, light=light, generator=generator)
        picture_HWC = rain.streaks(
            picture_HWC, view, weather.rain_mm_h, light=light, exposure_s=exposure_s, generator=generator
        )
    if weather.snow_mm_h > 0.0:
        picture_HWC = snow.flakes(
            picture_HWC, view, weather.snow_mm_h, light=light, exposure_s=exposure_s, generator=generator
        )
    return picture_HWC


def _optics(picture_HWC: np.ndarray, view: View, weather: Weather, *, seed: int, index: int) -> np.ndarray:
    if weather.rain_mm_h > 0.0:
        picture_HWC = lens_drops(picture_HWC, rain.lens_wetness(weather.rain_mm_h), seed=seed, index=index)
    if weather.low_sun > 0.0:
        picture_HWC = sun.glare(picture_HWC, view, weather.low_sun, seed=seed)
    if weather.defocus_px > 0.0:
        picture_HWC = defocus(picture_HWC, weather.defocus_px)
    return picture_HWC
