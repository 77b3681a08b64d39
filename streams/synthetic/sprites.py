"""Sprites: pictures with transparency and labels, drawn once and shown at any size and shade.

A `Canvas` is drawn on in metres; `Canvas.finish` turns it into a `Sprite`. A sprite keeps its reduced and shaded
copies, so that showing it in a frame is one warp of a texture of about the right size.
"""

# H height, W width, 4 channels (RGB premultiplied by alpha, alpha)

from collections.abc import Sequence

import cv2
import numpy as np

from streams.synthetic.classes import NONE
from streams.synthetic.textures import Colour

NUM_SHADES = 16
_OVERSAMPLING = 2
Point = tuple[float, float]


def shade_index(gain: float) -> int:
    """Nearest step of brightness for a gain in 0.4 .. 1.3."""
    return int(np.clip(round((gain - 0.40) / 0.06), 0, NUM_SHADES - 1))


class Sprite:
    """A flat picture of `width_m` by `height_m` metres: RGBA premultiplied, a train id per texel (NONE: no label)."""

    def __init__(self, rgba_HW4: np.ndarray, label_HW: np.ndarray, *, width_m: float, height_m: float) -> None:
        self.width_m = width_m
        self.height_m = height_m
        self.size_HW = (rgba_HW4.shape[0], rgba_HW4.shape[1])
        self._rgba_HW4 = rgba_HW4
        self._label_HW = label_HW
        self._levels: dict[tuple[int, int, int], tuple[np.ndarray, np.ndarray]] = {}

    def level(self, reduce_x: int, reduce_y: int, shade: int) -> tuple[np.ndarray, np.ndarray]:
        """(rgba, label) with width and height halved `reduce_x` and `reduce_y` times, brightness step `shade`."""
        key = (reduce_x, reduce_y, shade)
        found = self._levels.get(key)
        if found is None:
            found = self._make_level(reduce_x, reduce_y, 0.40 + 0.06 * shade)
            self._levels[key] = found
        return found

    def _make_level(self, reduce_x: int, reduce_y: int, gain: float) -> tuple[np.ndarray, np.ndarray]:
        height, width = self.size_HW
        size = (max(2, width >> reduce_x), max(2, height >> reduce_y))
        rgba = cv2.resize(self._rgba_HW4, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        rgba[..., :3] *= gain
        rgba[..., :3] = np.minimum(rgba[..., :3], rgba[..., 3:])
        label = cv2.resize(self._label_HW, size, interpolation=cv2.INTER_NEAREST)
        return np.round(rgba).astype(np.uint8), label


def solid_sprite(picture_HWC: np.ndarray, label: int, *, width_m: float, height_m: float) -> Sprite:
    """An opaque sprite of one class."""
    alpha = np.full((*picture_HWC.shape[:2], 1), 255, np.uint8)
    labels = np.full(picture_HWC.shape[:2], label, np.uint8)
    return Sprite(np.concatenate([picture_HWC, alpha], axis=2), labels, width_m=width_m, height_m=height_m)


class Canvas:
    """A transparent sheet in metres: x to the right from 0, y up from the ground at 0; later strokes cover earlier."""

    def __init__(self, width_m: float, height_m: float, *, px_per_m: float, label: int) -> None:
        self.width_m = width_m
        self.height_m = height_m
        self.scale = px_per_m * _OVERSAMPLING
        size = (max(4, round(height_m * self.scale)), max(4, round(width_m * self.scale)))
        self.rgb_HWC = np.zeros((*size, 3), np.uint8)
        self.label_HW = np.full(size, NONE, np.uint8)
        self.current_label = label

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """Fill a polygon."""
        corners = self._pixels(points)
        cv2.fillPoly(self.rgb_HWC, [corners], colour)
        cv2.fillPoly(self.label_HW, [corners], self.current_label)

    def box(self, left: float, bottom: float, right: float, top: float, colour: Colour) -> None:
        """Fill an upright rectangle."""
        self.polygon([(left, bottom), (right, bottom), (right, top), (left, top)], colour)

    def ellipse(self, centre: Point, radii: Point, colour: Colour) -> None:
        """Fill an ellipse."""
        at = tuple(int(v) for v in self._pixels([centre])[0])
        axes = (max(1, round(radii[0] * self.scale)), max(1, round(radii[1] * self.scale)))
        cv2.ellipse(self.rgb_HWC, at, axes, 0, 0, 360, colour, -1)
        cv2.ellipse(self.label_HW, at, axes, 0, 0, 360, self.current_label, -1)

    def ring(self, centre: Point, radii: Point, thickness_m: float, colour: Colour) -> None:
        """Draw an ellipse's outline."""
        at = tuple(int(v) for v in self._pixels([centre])[0])
        axes = (max(1, round(radii[0] * self.scale)), max(1, round(radii[1] * self.scale)))
        thickness = max(1, round(thickness_m * self.scale))
        cv2.ellipse(self.rgb_HWC, at, axes, 0, 0, 360, colour, thickness)
        cv2.ellipse(self.label_HW, at, axes, 0, 0, 360, self.current_label, thickness)

    def line(self, points: Sequence[Point], thickness_m: float, colour: Colour) -> None:
        """Draw a thick line through points, with round ends."""
        corners = self._pixels(points)
        thickness = max(1, round(thickness_m * self.scale))
        cv2.polylines(self.rgb_HWC, [corners], False, colour, thickness)
        cv2.polylines(self.label_HW, [corners], False, self.current_label, thickness)

    def wash(self, value_HW: np.ndarray) -> None:
        """Multiply the brightness of everything drawn so far by a map of any size."""
        height, width = self.label_HW.shape
        value = cv2.resize(value_HW.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        self.rgb_HWC = np.clip(self.rgb_HWC * value[..., None], 0, 255).astype(np.uint8)

    def finish(self, *, gaps: int = NONE) -> Sprite:
        """The sprite; undrawn texels stay transparent and get the label `gaps`."""
        height, width = self.label_HW.shape
        drawn = (self.label_HW != NONE).astype(np.uint8) * 255
        rgba = np.dstack([self.rgb_HWC * (drawn > 0)[..., None], drawn])
        size = (max(2, width // _OVERSAMPLING), max(2, height // _OVERSAMPLING))
        label = cv2.resize(self.label_HW, size, interpolation=cv2.INTER_NEAREST)
        label[label == NONE] = gaps
        small = cv2.resize(rgba, size, interpolation=cv2.INTER_AREA)
        return Sprite(small, label, width_m=self.width_m, height_m=self.height_m)

    def _pixels(self, points: Sequence[Point]) -> np.ndarray:
        pixels = np.array(points, np.float64) * self.scale
        pixels[:, 1] = self.label_HW.shape[0] - pixels[:, 1]
        return np.round(pixels).astype(np.int32)
