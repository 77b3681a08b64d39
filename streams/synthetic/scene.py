"""A labelled drive through a street drawn from a seed: picture, label, depth and exact motion of any frame.

`Scene(seed=7).render(t)` depends on (seed, size, frame rate, t) alone, so frames may be asked for in any order. Weather
is not known here: a scene is always clear, by day.

    scene = Scene(seed=7, size_HW=(256, 512), fps=10.0)
    frame = scene.render(0)
"""

# H height, W width, C channels (RGB)

from dataclasses import dataclass

import cv2
import numpy as np

from streams.synthetic.camera import FAR_M, Lens, static_flow
from streams.synthetic.classes import NONE
from streams.synthetic.quads import Quads, join
from streams.synthetic.randomness import Recent, generator
from streams.synthetic.raster import Layers, draw, mover_flow, plane_matrices, project
from streams.synthetic.world_ground import NUM_CHUNKS, Ground, Strip
from streams.synthetic.world_layout import CHUNK_M, Chunk, Street
from streams.synthetic.world_sky import Backdrop
from streams.synthetic.world_static import StaticWorld, num_chunks_seen
from streams.synthetic.world_traffic import Traffic

_HAZE_M = 260.0
_NUM_NOISES = 8


@dataclass(frozen=True, slots=True, eq=False)
class SceneFrame:
    """One frame of the drive.

    `image_HWC` uint8 RGB; `label_HW` uint8 Cityscapes train ids; `depth_HW` float32 metres along the optical axis, 1000
    for the sky and the far line; `flow_HW2` float32 pixels (dx, dy) to where the surface seen here is one frame later.
    """

    image_HWC: np.ndarray
    label_HW: np.ndarray
    depth_HW: np.ndarray
    flow_HW2: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """What stands still around the camera: quads and ground."""

    quads: Quads
    strip: Strip


class Scene:
    """One street, one sun, one camera; keeps the chunks seen last, which changes speed and nothing else."""

    def __init__(self, *, seed: int, size_HW: tuple[int, int] = (256, 512), fps: float = 10.0) -> None:
        if seed < 0:
            raise ValueError(f"seed={seed}: expected a number from 0 on")
        if min(size_HW) < 32:
            raise ValueError(f"size_HW={size_HW}: a scene needs at least 32 rows and columns")
        if not fps > 0:
            raise ValueError(f"fps={fps}: expected a positive frame rate")
        self._lens = Lens.for_size(size_HW)
        self._fps = fps
        self._seed = seed
        rng = generator(seed, 90)
        azimuth, height = float(rng.uniform(-np.pi, np.pi)), float(np.radians(rng.uniform(22, 62)))
        flat = np.cos(height)
        sun_3 = np.array([flat * np.sin(azimuth), -np.sin(height), flat * np.cos(azimuth)])
        self._street = Street(seed)
        self._backdrop = Backdrop(seed, self._lens, sun_azimuth=azimuth)
        self._ground = Ground(self._street, self._lens, sun_3=sun_3)
        self._static = StaticWorld(self._street, sun_3=sun_3)
        self._traffic = Traffic(self._street, gain=self._static.gain((0, 0, -1)) + 0.12, detail=self._lens.detail)
        self._tone = _tone_tables(rng)
        self._noises = _sensor_noise(rng, size_HW)
        self._chunks: Recent[Chunk] = Recent(capacity=32)
        self._chunk_quads: Recent[Quads] = Recent(capacity=16)
        self._chunk_ground: Recent[tuple[np.ndarray, np.ndarray]] = Recent(capacity=16)
        self._windows: Recent[_Window] = Recent(capacity=2)

    def render(self, t: int) -> SceneFrame:
        """Render frame `t`, which may be any integer."""
        lens, time_s, step_s = self._lens, t / self._fps, 1 / self._fps
        pose = self._street.path.pose(time_s, self._street.lane_m)
        after = self._street.path.pose(time_s + step_s, self._street.lane_m)
        window = self._windows.get(int(pose.z // CHUNK_M) - 1, self._make_window)
        layers = self._background(pose.yaw)
        self._ground.draw(layers.image_HW4, layers.label_HW, window.strip, pose)
        movers, moved = self._traffic.movers(time_s, step_s)
        moving = self._traffic.quads(movers, movers)
        quads = window.quads if moving is None else join([window.quads, moving])
        projection = project(lens, pose, quads)
        draw(layers, quads, projection)
        flow_HW2 = static_flow(lens, layers.inverse_depth_HW, pose, after)
        moving_after = self._traffic.quads(moved, movers)
        if moving_after is not None:
            after_N33 = plane_matrices(lens, after, moving_after)
            mover_flow(flow_HW2, layers, projection, first=len(window.quads), after_N33=after_N33)
        with np.errstate(divide="ignore"):
            depth_HW = np.minimum(1 / layers.inverse_depth_HW, np.float32(FAR_M))
        return SceneFrame(self._develop(layers, t), layers.label_HW, depth_HW, flow_HW2)

    def _background(self, yaw: float) -> Layers:
        shape = (self._lens.height, self._lens.width)
        layers = Layers(
            np.empty((*shape, 4), np.uint8),
            np.full(shape, NONE, np.uint8),
            np.zeros(shape, np.float32),
            np.zeros(shape, np.int32),
        )
        self._backdrop.draw(layers.image_HW4, layers.label_HW, yaw)
        layers.inverse_depth_HW[self._ground.first_row :] = self._ground.inverse_depth()
        return layers

    def _develop(self, layers: Layers, t: int) -> np.ndarray:
        """Haze with distance, exposure and tint, sensor noise."""
        image_HWC = cv2.cvtColor(layers.image_HW4, cv2.COLOR_BGRA2BGR)
        near = layers.inverse_depth_HW > 0
        thin = np.float32(_HAZE_M) * np.maximum(layers.inverse_depth_HW, np.float32(1e-4))
        veil = np.where(near, np.exp(np.float32(-1) / thin), np.float32(1)) * np.float32(255)
        clear = cv2.merge([veil.astype(np.uint8)] * 3)
        hazy = cv2.multiply(image_HWC, clear, scale=1 / 255)
        glow = cv2.LUT(cv2.bitwise_not(clear), self._haze_table())
        image_HWC = cv2.LUT(cv2.add(hazy, glow), self._tone)
        return np.asarray(cv2.add(image_HWC, self._noises[t % _NUM_NOISES], dtype=cv2.CV_8U))

    def _haze_table(self) -> np.ndarray:
        share = np.arange(256, dtype=np.float32)[:, None] / 255
        table: np.ndarray = np.round(share * self._backdrop.haze).astype(np.uint8)[None]
        return table

    def _chunk(self, index: int) -> Chunk:
        return self._chunks.get(index, self._street.chunk)

    def _make_quads(self, index: int) -> Quads:
        return self._static.quads(self._chunk(index))

    def _make_ground(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        neighbours = (self._chunk(index - 1), self._chunk(index + 1))
        return self._ground.chunk_pictures(self._chunk(index), neighbours)

    def _make_window(self, start: int) -> _Window:
        indices = range(start, start + NUM_CHUNKS)
        standing = indices[1 : 1 + num_chunks_seen(self._lens.detail)]  # the first is behind, where no lens turns
        quads = join([self._chunk_quads.get(index, self._make_quads) for index in standing])
        grounds = [self._chunk_ground.get(index, self._make_ground) for index in indices]
        return _Window(quads, self._ground.strip(start, grounds))


def _tone_tables(rng: np.random.Generator) -> np.ndarray:
    """(1, 256, 3) lookup: exposure, contrast curve and white balance of this camera."""
    value = np.arange(256, dtype=np.float32)[:, None] / 255
    gain = rng.uniform(0.86, 1.16) * (1 + rng.uniform(-0.04, 0.04, 3) * np.array([1.0, 0.3, 1.2]))
    curved = np.clip(value * gain.astype(np.float32), 0, 1) ** np.float32(rng.uniform(0.88, 1.12))
    table: np.ndarray = np.round(255 * curved).astype(np.uint8)[None]
    return table


def _sensor_noise(rng: np.random.Generator, size_HW: tuple[int, int]) -> list[np.ndarray]:
    """A few pictures of int8 noise, used in turn."""
    strength = float(rng.uniform(1.6, 3.4))
    base = (rng.standard_normal((*size_HW, 3), dtype=np.float32) * strength).round().astype(np.int8)
    return [np.roll(base, (37 * k, 91 * k), axis=(0, 1)) for k in range(_NUM_NOISES)]
