"""Sprites: pictures with transparency and labels, drawn once and shown at any size and shade.

A `Canvas` is drawn on in metres; `Canvas.finish` turns it into a `Sprite`. A sprite is not painted before it is seen:
most things stand too far off or turn away. It keeps its reduced and shaded copies, so that showing it in a frame is one
warp of a texture of about the right size.
"""

# H height, W width, 4 channels (RGB premultiplied by alpha, alpha)

from collections.abc import Callable, Sequence
from functools import cache

import cv2
import numpy as np

from streams.synthetic.classes import NONE
from streams.synthetic.textures import Colour

NUM_SHADES = 16
_OVERSAMPLING = 2
Point = tuple[float, float]
Picture = tuple[np.ndarray, np.ndarray]
Stroke = Callable[[np.ndarray, Colour | int], object]


def shade_index(gain: float) -> int:
    """Nearest step of brightness for a gain in 0.4 .. 1.3."""
    return min(max(round((gain - 0.40) / 0.06), 0), NUM_SHADES - 1)


class Sprite:
    """A flat picture of `width_m` by `height_m` metres: RGBA premultiplied, a train id per texel (NONE: no label).

    `paint` returns the two in `size_HW` texels; it is called when the sprite is first seen, and must be pure.
    """

    def __init__(
        self, paint: Callable[[], Picture], size_HW: tuple[int, int], *, width_m: float, height_m: float
    ) -> None:
        self.width_m = width_m
        self.height_m = height_m
        self.size_HW = size_HW
        self._picture = cache(paint)
        self._levels: dict[tuple[int, int, int], Picture] = {}

    @staticmethod
    def painted(rgba_HW4: np.ndarray, label_HW: np.ndarray, *, width_m: float, height_m: float) -> "Sprite":
        """A sprite whose picture is at hand."""
        size_HW = (rgba_HW4.shape[0], rgba_HW4.shape[1])
        return Sprite(lambda: (rgba_HW4, label_HW), size_HW, width_m=width_m, height_m=height_m)

    def level(self, reduce_x: int, reduce_y: int, shade: int) -> Picture:
        """(rgba, label) with width and height halved `reduce_x` and `reduce_y` times, brightness step `shade`."""
        key = (reduce_x, reduce_y, shade)
        found = self._levels.get(key)
        if found is None:
            found = self._make_level(reduce_x, reduce_y, 0.40 + 0.06 * shade)
            self._levels[key] = found
        return found

    def _make_level(self, reduce_x: int, reduce_y: int, gain: float) -> Picture:
        height, width = self.size_HW
        size = (max(2, width >> reduce_x), max(2, height >> reduce_y))
        rgba_HW4, label_HW = self._picture()
        rgba = cv2.resize(rgba_HW4, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        rgba[..., :3] *= gain
        rgba[..., :3] = np.minimum(rgba[..., :3], rgba[..., 3:])
        label = cv2.resize(label_HW, size, interpolation=cv2.INTER_NEAREST)
        return np.round(rgba).astype(np.uint8), label


def solid_sprite(picture_HWC: np.ndarray, label: int, *, width_m: float, height_m: float) -> Sprite:
    """An opaque sprite of one class."""
    alpha = np.full((*picture_HWC.shape[:2], 1), 255, np.uint8)
    labels = np.full(picture_HWC.shape[:2], label, np.uint8)
    return Sprite.painted(np.concatenate([picture_HWC, alpha], axis=2), labels, width_m=width_m, height_m=height_m)


class Canvas:
    """A transparent sheet in metres: x to the right from 0, y up from the ground at 0; later strokes cover earlier."""

    def __init__(self, width_m: float, height_m: float, *, px_per_m: float, label: int) -> None:
        self.width_m = width_m
        self.height_m = height_m
        self.scale = px_per_m * _OVERSAMPLING
        self.current_label = label
        self._size_HW = (max(4, round(height_m * self.scale)), max(4, round(width_m * self.scale)))
        self._strokes: list[tuple[Stroke, Colour, int]] = []

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """Fill a polygon."""
        self._add(colour, lambda sheet, value: cv2.fillPoly(sheet, [self._pixels(points)], value))

    def box(self, left: float, bottom: float, right: float, top: float, colour: Colour) -> None:
        """Fill an upright rectangle."""
        self.polygon([(left, bottom), (right, bottom), (right, top), (left, top)], colour)

    def ellipse(self, centre: Point, radii: Point, colour: Colour) -> None:
        """Fill an ellipse."""
        self._add(colour, lambda sheet, value: self._oval(sheet, centre, radii, value, -1))

    def ring(self, centre: Point, radii: Point, thickness_m: float, colour: Colour) -> None:
        """Draw an ellipse's outline."""
        thickness = self._thickness(thickness_m)
        self._add(colour, lambda sheet, value: self._oval(sheet, centre, radii, value, thickness))

    def line(self, points: Sequence[Point], thickness_m: float, colour: Colour) -> None:
        """Draw a thick line through points, with round ends."""
        thickness = self._thickness(thickness_m)
        self._add(colour, lambda sheet, value: cv2.polylines(sheet, [self._pixels(points)], False, value, thickness))

    def finish(self, *, gaps: int = NONE) -> Sprite:
        """The sprite, drawn once it is seen; undrawn texels stay transparent and get the label `gaps`."""
        height, width = self._size_HW
        size_HW = (max(2, height // _OVERSAMPLING), max(2, width // _OVERSAMPLING))
        return Sprite(lambda: self._drawn(size_HW, gaps), size_HW, width_m=self.width_m, height_m=self.height_m)

    def _drawn(self, size_HW: tuple[int, int], gaps: int) -> Picture:
        rgb_HWC = np.zeros((*self._size_HW, 3), np.uint8)
        label_HW = np.full(self._size_HW, NONE, np.uint8)
        for stroke, colour, label in self._strokes:
            stroke(rgb_HWC, colour)
            stroke(label_HW, label)
        drawn = (label_HW != NONE).astype(np.uint8) * 255
        rgba = np.dstack([rgb_HWC * (drawn > 0)[..., None], drawn])
        small = cv2.resize(label_HW, size_HW[::-1], interpolation=cv2.INTER_NEAREST)
        small[small == NONE] = gaps
        return cv2.resize(rgba, size_HW[::-1], interpolation=cv2.INTER_AREA), small

    def _add(self, colour: Colour, stroke: Stroke) -> None:
        self._strokes.append((stroke, colour, self.current_label))

    def _oval(self, sheet: np.ndarray, centre: Point, radii: Point, value: Colour | int, thickness: int) -> None:
        at = tuple(int(v) for v in self._pixels([centre])[0])
        axes = (max(1, round(radii[0] * self.scale)), max(1, round(radii[1] * self.scale)))
        cv2.ellipse(sheet, at, axes, 0, 0, 360, value, thickness)

    def _thickness(self, thickness_m: float) -> int:
        return max(1, round(thickness_m * self.scale))

    def _pixels(self, points: Sequence[Point]) -> np.ndarray:
        pixels = np.array(points, np.float64) * self.scale
        pixels[:, 1] = self._size_HW[0] - pixels[:, 1]
        return np.round(pixels).astype(np.int32)
