"""Where the camera is, what it sees where, and how the picture moves.

World axes: x right, y down, z forward along the street, metres, ground at y = 0. The camera is a pinhole that turns
about the vertical only. The street is the curve x = centre(z), a sum of two sines, so that every position is a
closed form of time and no frame depends on an earlier one.
"""

# H height, W width, N points

from dataclasses import dataclass

import numpy as np

from streams.synthetic.randomness import generator

CAMERA_HEIGHT_M = 1.5
FAR_M = 1000.0
_FOCAL_PER_WIDTH = 0.75
_FULL_FOCAL = 384.0
_HORIZON_SHARE = 0.45


@dataclass(frozen=True, slots=True)
class Lens:
    """Pinhole intrinsics in pixels; pixel centres lie at integer coordinates."""

    height: int
    width: int
    focal: float
    centre_x: float
    centre_y: float

    @staticmethod
    def for_size(size_HW: tuple[int, int]) -> "Lens":
        """The lens of this world for a picture of `size_HW`: about 67 degrees wide, horizon a bit above the middle."""
        height, width = size_HW
        return Lens(height, width, _FOCAL_PER_WIDTH * width, (width - 1) / 2, _HORIZON_SHARE * height)

    @property
    def magnification(self) -> float:
        """How large things are, as a share of what they measure in a picture 512 pixels wide."""
        return self.focal / _FULL_FOCAL

    @property
    def detail(self) -> float:
        """How finely and how far off the world must be built for this lens: 1 from 512 pixels of width on, else less.

        It follows the width of a picture only, because the focal length does.
        """
        return min(1.0, self.magnification)


@dataclass(frozen=True, slots=True)
class Pose:
    """Camera position in metres and heading; `yaw` is radians to the right of the z axis."""

    x: float
    z: float
    yaw: float

    def to_camera(self, points_N3: np.ndarray) -> np.ndarray:
        """World points (..., 3) in camera axes: right, down, forward."""
        moved = points_N3 - np.array([self.x, -CAMERA_HEIGHT_M, self.z])
        return self.turn(moved)

    def turn(self, vectors_N3: np.ndarray) -> np.ndarray:
        """World directions (..., 3) in camera axes."""
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        return np.asarray(vectors_N3 @ np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]]))


class Path:
    """The curve of the street and the drive along it, drawn from a seed."""

    def __init__(self, seed: int) -> None:
        rng = generator(seed, 1)
        lengths_m = np.array([rng.uniform(230, 330), rng.uniform(90, 140)])
        self._waves = 2 * np.pi / lengths_m
        slopes = np.array([rng.uniform(0.16, 0.34), rng.uniform(0.03, 0.10)])
        self._amplitudes = slopes / self._waves
        self._phases = rng.uniform(0, 2 * np.pi, 2)
        self._start_m = float(rng.uniform(0, 2000))
        self.speed_mps = float(rng.uniform(6.5, 10.5))
        self._surge_m = float(rng.uniform(2, 5))
        self._surge_wave = 2 * np.pi / float(rng.uniform(14, 22))

    def centre(self, z: np.ndarray) -> np.ndarray:
        """Lateral position of the centre line at `z`, metres; keeps the dtype of `z`."""
        total = np.zeros_like(z)
        for amplitude, wave, phase in zip(self._amplitudes, self._waves, self._phases, strict=True):
            total += z.dtype.type(amplitude) * np.sin(z * z.dtype.type(wave) + z.dtype.type(phase))
        return total

    def centre_at(self, z: float) -> float:
        """Lateral position of the centre line at one `z`, metres."""
        return float(np.sum(self._amplitudes * np.sin(self._waves * z + self._phases)))

    def yaw_at(self, z: float) -> float:
        """Heading of the street at `z`, radians."""
        return float(np.arctan(np.sum(self._amplitudes * self._waves * np.cos(self._waves * z + self._phases))))

    def travelled(self, time_s: float) -> float:
        """z of the camera at `time_s`: steady speed with a gentle surge."""
        return self._start_m + self.speed_mps * time_s + self._surge_m * float(np.sin(self._surge_wave * time_s))

    def pose(self, time_s: float, lateral_m: float) -> Pose:
        """Camera pose at `time_s`, `lateral_m` right of the centre line, looking a little ahead into the bend."""
        z = self.travelled(time_s)
        return Pose(self.centre_at(z) + lateral_m, z, self.yaw_at(z + 5.0))


def static_flow(lens: Lens, inverse_depth_HW: np.ndarray, pose: Pose, after: Pose) -> np.ndarray:
    """Flow (H, W, 2) in pixels of everything that stands still, by reprojection into the next camera.

    A pixel with inverse depth 0 lies infinitely far and moves by the turn of the camera only.
    """
    x_W = (np.arange(lens.width, dtype=np.float32) - np.float32(lens.centre_x)) / np.float32(lens.focal)
    y_H1 = ((np.arange(lens.height, dtype=np.float32) - np.float32(lens.centre_y)) / np.float32(lens.focal))[:, None]
    turn = after.yaw - pose.yaw
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    shift = after.turn(np.array([pose.x - after.x, 0.0, pose.z - after.z])).astype(np.float32)
    scale_HW = np.float32(lens.focal) / (inverse_depth_HW * shift[2] + (sin * x_W + cos))
    flow_HW2 = np.empty((lens.height, lens.width, 2), np.float32)
    flow_HW2[..., 0] = (inverse_depth_HW * shift[0] + (cos * x_W - sin)) * scale_HW - np.float32(lens.focal) * x_W
    flow_HW2[..., 1] = y_H1 * scale_HW - np.float32(lens.focal) * y_H1
    return flow_HW2
