"""The synthetic world as a stream, its weather by a sequence; and labelled samples of clear places.

    for frame in SyntheticStream(rain_sequence(), seed=0): ...

Streams drive through scenes with even seeds, `clear_samples` shows scenes with odd seeds, so no place that a model was
trained on is ever streamed, whatever the two seeds are.
"""

import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from streams.frame import Frame
from streams.synthetic.scene import Scene, SceneFrame
from streams.synthetic.sequences import Sequence
from streams.synthetic.weather import apply_weather

DEFAULT_SIZE_HW = (256, 512)
DEFAULT_FPS = 10.0
_LONGEST_DRIVE = 3000  # frames; samples are taken anywhere along a drive of this length
_SAMPLES_PER_SCENE = 6
_FRAMES_BETWEEN_SAMPLES = 20


class SyntheticStream:
    """Frames of one continuous drive with label, depth, flow and domain; each a function of (sequence, seed, index).

    `start` is the index of the first frame, for going on where another run stopped. `captured_at_s` is read from
    `clock` once the frame is rendered.
    """

    def __init__(
        self,
        sequence: Sequence,
        *,
        seed: int,
        size_HW: tuple[int, int] = DEFAULT_SIZE_HW,
        fps: float = DEFAULT_FPS,
        start: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sequence = sequence
        self._seed = seed
        self._scene = Scene(seed=2 * seed, size_HW=size_HW, fps=fps)
        self._fps = fps
        self._cursor = self._start = start
        self._clock = clock
        self._is_closed = False

    @property
    def name(self) -> str:
        return self._sequence.name

    @property
    def fps(self) -> float:
        return self._fps

    @property
    def is_live(self) -> bool:
        return False

    @property
    def num_frames(self) -> int | None:
        return max(self._sequence.num_frames - self._start, 0)

    @property
    def cursor(self) -> int:
        return self._cursor

    @property
    def faults(self) -> Mapping[str, int]:
        return {}

    def __iter__(self) -> Iterator[Frame]:
        while self._cursor < self._sequence.num_frames and not self._is_closed:
            index = self._cursor
            self._cursor = index + 1
            yield self._frame(index)

    def close(self) -> None:
        self._is_closed = True

    def _frame(self, index: int) -> Frame:
        number, weather = self._sequence.at(index)
        shot = self._scene.render(index)
        image_HWC = apply_weather(shot.image_HWC, shot.depth_HW, weather, seed=self._seed, index=index)
        return Frame(
            index=index,
            captured_at_s=self._clock(),
            image_HWC=image_HWC,
            label_HW=shot.label_HW,
            domain=self._sequence.visits[number].name,
            depth_HW=shot.depth_HW,
            flow_HW2=shot.flow_HW2,
        )


def clear_samples(num: int, *, seed: int, size_HW: tuple[int, int] = DEFAULT_SIZE_HW) -> Iterator[Frame]:
    """`num` labelled frames in clear weather, six of each scene and 20 frames apart; index 0 to num - 1.

    To build a scene costs as much as ten frames, and 20 frames on the street has other houses and other traffic.
    The first n samples of a seed are the same for every `num`. No scene of theirs ever appears in a `SyntheticStream`.
    `captured_at_s` is 0: samples were never captured.
    """
    for first in range(0, num, _SAMPLES_PER_SCENE):
        drawn = np.random.default_rng((seed, first, 23))
        scene = Scene(seed=2 * int(drawn.integers(0, 2**30)) + 1, size_HW=size_HW, fps=DEFAULT_FPS)
        start = int(drawn.integers(0, _LONGEST_DRIVE))
        for index in range(first, min(first + _SAMPLES_PER_SCENE, num)):
            shot = scene.render(start + _FRAMES_BETWEEN_SAMPLES * (index - first))
            yield _clear_frame(index, shot)


def _clear_frame(index: int, shot: SceneFrame) -> Frame:
    return Frame(
        index=index,
        captured_at_s=0.0,
        image_HWC=shot.image_HWC,
        label_HW=shot.label_HW,
        domain="clear",
        depth_HW=shot.depth_HW,
        flow_HW2=shot.flow_HW2,
    )
