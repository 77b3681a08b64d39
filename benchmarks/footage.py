"""What timing benchmarks are fed: rain on disk that costs next to nothing to read, and weights where none are shipped.

Rendering a street takes a core while a run is measured, and decoding PNG takes a tenth of one. So a few seconds of rain
are rendered beforehand, kept as plain bitmaps and played in a loop, through links.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from models.checkpoint import load_checkpoint, save_checkpoint, shipped_checkpoints
from models.zoo import build_model
from streams.images import encode_bitmap
from streams.synthetic.sequences import Sequence, Visit
from streams.synthetic.stream import SyntheticStream
from streams.synthetic.weather import Weather

RAIN_MM_H = 100.0
NUM_RENDERED = 40  # frames before the street starts again
MANIFEST_OF = "segformer_b0_synthetic"  # the shipped checkpoint whose classes and source random weights claim


def rain_recording(folder: Path, size_HW: tuple[int, int], *, num_frames: int) -> Path:
    """A directory with at least `num_frames` images of that size, rain from the first one on; renders what is missing.

    No two neighbours are alike, which the input gate would turn away.
    """
    recording = folder / f"rain-{size_HW[0]}x{size_HW[1]}"
    recording.mkdir(parents=True, exist_ok=True)
    if not (recording / f"{NUM_RENDERED - 1}.bmp").exists():
        for index, image_HWC in enumerate(_rain(size_HW)):
            (recording / f"{index}.bmp").write_bytes(encode_bitmap(image_HWC))
    for index in range(NUM_RENDERED, num_frames):
        link = recording / f"{index}.bmp"
        if not link.is_symlink():
            link.symlink_to(f"{index % NUM_RENDERED}.bmp")
    return recording


def timing_checkpoint(folder: Path, model: str) -> str:
    """The checkpoint shipped for the model, else random weights written to `folder`: as fast, and good for nothing."""
    shipped = f"{model}_synthetic"
    if shipped in shipped_checkpoints():
        return shipped
    path = folder / f"{model}_random.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        manifest = load_checkpoint(MANIFEST_OF)[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            state = build_model(model, num_classes=manifest.num_classes).state_dict()
        save_checkpoint(path, state, dataclasses.replace(manifest, model=model, recipe={}, metrics={}))
    return str(path)


def _rain(size_HW: tuple[int, int]) -> Iterator[np.ndarray]:
    weather = Weather(rain_mm_h=RAIN_MM_H)
    sequence = Sequence("rain", (Visit("rain", weather, weather, NUM_RENDERED),), "rain that does not change")
    stream = SyntheticStream(sequence, seed=0, size_HW=size_HW)
    try:
        for frame in stream:
            yield frame.image_HWC
    finally:
        stream.close()
