"""Opens a stream from the words a user types.

    stream = open_stream("rain_sequence", StreamOptions(size_HW=(256, 512)))
    for frame in stream: ...
    stream.close()

Words are tried as the name of a preset, as `SCHEME:REST`, as a directory of images, and as a video file, in that order.
Everything that can be wrong is found here, before the first frame. Streams know nothing of models or learning.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from streams.camera import open_camera
from streams.datasets.splits import DEFAULT_FPS, LAYOUTS, open_split
from streams.directory import list_images
from streams.images import IMAGE_SUFFIXES
from streams.protocol import Stream, StreamLost, StreamNotOpened, UnknownStream
from streams.quiet import silence_decoders
from streams.recording import FirstTold, Loader, Recording, first_readable_HW, untold
from streams.repeated import Repeated
from streams.synthetic.sequences import PRESETS
from streams.synthetic.stream import DEFAULT_FPS as SYNTHETIC_FPS
from streams.synthetic.stream import DEFAULT_SIZE_HW as SYNTHETIC_SIZE_HW
from streams.synthetic.stream import SyntheticStream
from streams.synthetic.weathered import Weathered
from streams.video import VIDEO_SUFFIXES, open_video
from streams.wording import nearest, shown

__all__ = [
    "Stream",
    "StreamLost",
    "StreamNotOpened",
    "StreamOptions",
    "UnknownStream",
    "describe_streams",
    "open_stream",
]

_EXPECTED = "expected a preset, camera:N, dataset:LAYOUT:SPLIT, a directory or a video"
_MOST_CAMERA_DIGITS = 4  # OpenCV counts in hundreds of back ends, some thirty of them, and refuses more than an int


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How a stream is to be played; None leaves a matter to the stream itself.

    `size_HW` is what frames and labels are resized to. `dataset` (LAYOUT or LAYOUT:SPLIT, lying in the folder `data`)
    gives presets real frames to render their weather on. `rounds` plays a stream that has an end so many times, one
    after the other; `frames_per_visit` makes visits of synthetic presets longer or shorter. `start` is the index of the
    first frame, for going on where a run stopped. `clock` reads monotonic seconds. `tell` hears, in the thread that
    takes the frames, of the first files that cannot be read, each in a line.
    """

    size_HW: tuple[int, int] | None = None
    seed: int = 0
    fps: float | None = None
    dataset: str | None = None
    data: Path | None = None
    rounds: int = 1
    frames_per_visit: int | None = None
    start: int = 0
    clock: Callable[[], float] = time.monotonic
    tell: Callable[[str], None] = untold


def open_stream(uri: str, options: StreamOptions | None = None) -> Stream:
    """The stream named by `uri`; UnknownStream or StreamNotOpened, one line each, where that cannot be."""
    options = options or StreamOptions()
    options = replace(options, tell=FirstTold(options.tell))  # one for all rounds and visits: each file is told once
    silence_decoders()
    if options.rounds == 1:
        return _open_once(uri, options)
    return Repeated(
        lambda start: _open_once(uri, replace(options, start=start)), rounds=options.rounds, start=options.start
    )


def describe_streams() -> list[str]:
    """All that `open_stream` takes, one line each: what to type and what it plays."""
    presets = [(name, make().description) for name, make in PRESETS.items()]
    schemes = [(scheme.usage, scheme.description) for scheme in SCHEMES.values()]
    layouts = [(f"dataset:{name}:SPLIT", layout.description) for name, layout in LAYOUTS.items()]
    paths = [
        ("DIRECTORY", f"the images in a directory ({' '.join(sorted(IMAGE_SUFFIXES))})"),
        ("VIDEO", f"a video file ({' '.join(sorted(VIDEO_SUFFIXES))})"),
    ]
    rows = presets + schemes + layouts + paths
    width = max(len(usage) for usage, _ in rows)
    return [f"{usage:<{width}}  {description}" for usage, description in rows]


def _open_once(uri: str, options: StreamOptions) -> Stream:
    if options.frames_per_visit is not None and (uri not in PRESETS or options.dataset is not None):
        raise UnknownStream(
            f"--frames-per-visit {options.frames_per_visit}: a recording is as long as it is (expected a synthetic "
            "preset); leave it out, or --dataset, or choose another stream"
        )
    if uri in PRESETS:
        return _open_preset(uri, options)
    if options.dataset is not None:
        raise UnknownStream(
            f"--dataset {shown(options.dataset)}: only presets render weather on a data set, "
            f"and --stream {shown(uri)} is none; {nearest(uri, PRESETS)}"
        )
    scheme, colon, rest = uri.partition(":")
    if colon and scheme in SCHEMES:
        return SCHEMES[scheme].open(rest, options)
    return _open_path(uri, options)


def _open_preset(name: str, options: StreamOptions) -> Stream:
    sequence = PRESETS[name]()
    if options.dataset is None:
        return SyntheticStream(
            sequence if options.frames_per_visit is None else sequence.scaled(options.frames_per_visit),
            seed=options.seed,
            size_HW=options.size_HW or SYNTHETIC_SIZE_HW,
            fps=options.fps or SYNTHETIC_FPS,
            start=options.start,
            clock=options.clock,
        )
    split = open_split(options.dataset, options.data, option="--dataset")

    def open_recording() -> Recording:
        return split.as_stream(size_HW=options.size_HW, fps=options.fps, clock=options.clock, tell=options.tell)

    return Weathered(open_recording, sequence, seed=options.seed, start=options.start)


def _open_dataset(rest: str, options: StreamOptions) -> Stream:
    split = open_split(rest, options.data, option="--stream dataset:")
    return split.as_stream(
        size_HW=options.size_HW, fps=options.fps, clock=options.clock, start=options.start, tell=options.tell
    )


def _open_camera(rest: str, options: StreamOptions) -> Stream:
    if not rest.isdecimal() or len(rest) > _MOST_CAMERA_DIGITS:
        raise UnknownStream(
            f"--stream camera:{shown(rest)}: expected a whole number there, of {_MOST_CAMERA_DIGITS} digits at most; "
            "try --stream camera:0"
        )
    return open_camera(int(rest), size_HW=options.size_HW, fps=options.fps, clock=options.clock, start=options.start)


def _open_path(uri: str, options: StreamOptions) -> Stream:
    path = Path(uri)
    if uri and os.path.isdir(path):
        return _open_directory(path, options)
    suffix = path.suffix.lower()
    if os.path.isfile(path) and suffix in VIDEO_SUFFIXES:
        return open_video(path, size_HW=options.size_HW, fps=options.fps, clock=options.clock, start=options.start)
    if os.path.isfile(path):
        raise UnknownStream(
            f"--stream {shown(uri)}: not a video by its suffix (expected {' '.join(sorted(VIDEO_SUFFIXES))}); "
            "rename or convert it, or give a directory of images"
        )
    if "://" not in uri and (os.sep in uri or suffix in VIDEO_SUFFIXES | IMAGE_SUFFIXES):
        raise StreamNotOpened(f"--stream {shown(uri)}: no such file or directory; check the path")
    if "://" in uri and not uri.startswith("file:"):
        raise UnknownStream(
            f"--stream {shown(uri)}: streams from a network are not read ({_EXPECTED}); save it to a video file, or "
            "bridge it to a local camera"
        )
    usages = [*PRESETS, *(scheme.usage for scheme in SCHEMES.values())]
    raise UnknownStream(f"--stream {shown(uri)}: no such stream ({_EXPECTED}); {nearest(uri, usages)}")


def _open_directory(path: Path, options: StreamOptions) -> Stream:
    entries = list_images(path)
    native_HW = first_readable_HW(entries)
    if native_HW is None:
        raise StreamNotOpened(
            f"--stream {path}: none of its {len(entries)} images can be read; check that they were copied completely"
        )
    return Recording(
        entries,
        Loader(native_HW, options.size_HW, tell=options.tell),
        name=path.resolve().name or "root",
        fps=options.fps or DEFAULT_FPS,
        clock=options.clock,
        start=options.start,
    )


@dataclass(frozen=True, slots=True)
class _Scheme:
    usage: str
    description: str
    open: Callable[[str, StreamOptions], Stream]


SCHEMES: dict[str, _Scheme] = {
    "camera": _Scheme("camera:N", "a camera by number, as OpenCV counts them", _open_camera),
    "dataset": _Scheme("dataset:LAYOUT:SPLIT", "a labelled data set as it is, in the folder --data", _open_dataset),
}
