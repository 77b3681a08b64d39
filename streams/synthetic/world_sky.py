"""The sky and what closes the view: a panorama with gradient, sun, clouds and a far line of trees and roofs.

All of it is infinitely far: it turns with the camera and does not move otherwise.
"""

# H height, W width, C channels (RGB)

import cv2
import numpy as np

from streams.synthetic.camera import Lens
from streams.synthetic.classes import BUILDING, SKY, VEGETATION
from streams.synthetic.randomness import generator
from streams.synthetic.textures import Colour, noise

_PX_PER_DEGREE = 7.0
_SPAN_DEGREES = (180.0, 52.0)
_BELOW_DEGREES = 2.0
_ZENITHS: tuple[Colour, ...] = ((70, 124, 196), (96, 146, 204), (120, 150, 186), (150, 160, 172), (84, 120, 170))
_HAZES: tuple[Colour, ...] = ((206, 218, 228), (214, 214, 208), (196, 204, 212), (226, 214, 196))


class Backdrop:
    """Sky panorama of one street and its lookup for one lens, which sees it no finer than its `detail`."""

    def __init__(self, seed: int, lens: Lens, *, sun_azimuth: float) -> None:
        rng = generator(seed, 50)
        self.haze = np.array(_HAZES[int(rng.integers(len(_HAZES)))], np.float32)
        self._px_per_degree = _PX_PER_DEGREE * lens.detail
        self._picture, self._label = _panorama(rng, self.haze, sun_azimuth, detail=lens.detail)
        x = ((np.arange(lens.width, dtype=np.float32) - lens.centre_x) / lens.focal).astype(np.float32)
        self.num_rows = min(lens.height, int(np.ceil(lens.centre_y)) + 1 + round(0.012 * lens.focal))
        y = ((np.arange(self.num_rows, dtype=np.float32) - lens.centre_y) / lens.focal).astype(np.float32)[:, None]
        azimuth = np.degrees(np.arctan(x))
        elevation = np.degrees(np.arctan(-y * np.cos(np.arctan(x))))
        self._columns = np.broadcast_to((azimuth + _SPAN_DEGREES[0] / 2) * self._px_per_degree, elevation.shape)
        self._rows = ((_SPAN_DEGREES[1] - _BELOW_DEGREES - elevation) * self._px_per_degree).astype(np.float32)

    def draw(self, image_HW4: np.ndarray, label_HW: np.ndarray, yaw: float) -> None:
        """Fill the upper rows of picture and label as seen at this heading (radians)."""
        columns = (self._columns + np.float32(np.degrees(yaw) * self._px_per_degree)).astype(np.float32)
        border = cv2.BORDER_REPLICATE
        image_HW4[: self.num_rows] = cv2.remap(self._picture, columns, self._rows, cv2.INTER_LINEAR, borderMode=border)
        label_HW[: self.num_rows] = cv2.remap(self._label, columns, self._rows, cv2.INTER_NEAREST, borderMode=border)


def _panorama(
    rng: np.random.Generator, haze: np.ndarray, sun_azimuth: float, *, detail: float
) -> tuple[np.ndarray, np.ndarray]:
    px_per_degree = _PX_PER_DEGREE * detail
    width, height = (round(span * px_per_degree) for span in _SPAN_DEGREES)
    elevation = (_SPAN_DEGREES[1] - _BELOW_DEGREES - np.arange(height, dtype=np.float32) / px_per_degree)[:, None]
    zenith = np.array(_ZENITHS[int(rng.integers(len(_ZENITHS)))], np.float32)
    share = np.clip(elevation / 34, 0, 1)[..., None] ** 0.7
    picture = np.broadcast_to(haze * (1 - share) + zenith * share, (height, width, 3)).astype(np.float32)
    cover, sharpness = float(rng.uniform(-0.9, 0.7)), float(rng.uniform(0.5, 1.4))
    both = (detail, detail)
    clouds = noise(rng, (height * 2, width // 2), cell_px=128, octaves=5, detail=both)
    clouds = cv2.resize(clouds, (width, height))
    density = np.clip((clouds + cover) * sharpness, 0, 1)[..., None] * np.clip((elevation + 3) / 10, 0, 1)[..., None]
    relief = noise(rng, (height, width // 2), cell_px=64, octaves=3, detail=both)
    relief = cv2.resize(relief, (width, height))[..., None]
    white = np.array((238, 238, 236), np.float32) * (0.93 + 0.05 * relief) * float(rng.uniform(0.78, 1.02))
    picture = picture * (1 - 0.9 * density) + white * 0.9 * density
    azimuth = np.arange(width, dtype=np.float32) / px_per_degree - _SPAN_DEGREES[0] / 2
    glow = np.exp(-(((azimuth - np.degrees(sun_azimuth)) / 28) ** 2) - ((elevation - 26) / 22) ** 2)[..., None]
    picture += glow * np.array((46, 36, 16), np.float32)
    label = np.full((height, width), SKY, np.uint8)
    _skyline(picture, label, rng, haze, detail=detail)
    rgba = np.dstack([np.clip(picture, 0, 255).astype(np.uint8), np.full((height, width), 255, np.uint8)])
    return rgba, label


def _skyline(
    picture: np.ndarray, label: np.ndarray, rng: np.random.Generator, haze: np.ndarray, *, detail: float
) -> None:
    """Far roofs and, before them, a line of trees, both pale with distance."""
    height, width = label.shape
    px_per_degree = _PX_PER_DEGREE * detail
    horizon = round((_SPAN_DEGREES[1] - _BELOW_DEGREES) * px_per_degree)
    x = 0  # texels of full detail, so that every detail draws as many roofs
    has_roofs = rng.random() < 0.7
    while x < _SPAN_DEGREES[0] * _PX_PER_DEGREE:
        span = int(rng.integers(18, 60))
        left, right = round(x * detail), round((x + span) * detail)
        if has_roofs and rng.random() < 0.6:
            top = horizon - round(float(rng.uniform(2.0, 6.5)) * px_per_degree)
            tone = np.array((150, 136, 126), np.float32) * float(rng.uniform(0.75, 1.05)) * 0.6 + haze * 0.4
            picture[top:, left:right] = tone
            picture[top + 5 : horizon : 7, left + 3 : right - 3 : 5] *= 0.8
            picture[top + 6 : horizon : 7, left + 3 : right - 3 : 5] *= 0.8
            label[top:, left:right] = BUILDING
        x += span
    across = noise(rng, (1, width // 3), cell_px=32, octaves=4, detail=(detail, detail))
    ridge = 2.2 + 0.7 * cv2.resize(across, (width, 1))[0]
    rows = np.arange(height)[:, None]
    trees = rows > horizon - np.clip(ridge, 0.9, 5.0) * px_per_degree
    green = np.array((76, 100, 66), np.float32) * float(rng.uniform(0.8, 1.15))
    value = 1 + 0.16 * noise(rng, (height, width), cell_px=8, octaves=2, detail=(detail, detail))
    tone = (value[..., None] * green) * 0.72 + haze * 0.28
    picture[trees] = tone[trees]
    label[trees] = VEGETATION
