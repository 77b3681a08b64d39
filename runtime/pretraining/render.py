"""Clear synthetic samples rendered by several processes; free of torch, so that a process starts in a blink.

The samples depend on seed, size and number alone: they are made in blocks of fixed length, each with a seed of its own.
"""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np

from streams.synthetic.stream import clear_samples

BLOCK = 48  # eight scenes of six samples
Sample = tuple[np.ndarray, np.ndarray]


def rendered_samples(num: int, *, seed: int, size_HW: tuple[int, int], processes: int) -> Iterator[Sample]:
    """`num` images (H, W, 3) and labels (H, W), uint8, of places that no other seed shows."""
    lengths = [min(BLOCK, num - first) for first in range(0, num, BLOCK)]
    blocks = [(length, block_seed(seed, index)) for index, length in enumerate(lengths)]
    if processes < 2 or len(blocks) < 2:
        for block in blocks:
            yield from _render(block, size_HW=size_HW)
        return
    # "spawn", not "fork": this process has threads (torch, the progress bar), which a forked child would lose.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(blocks)), mp_context=context) as pool:
        for samples in pool.map(partial(_render, size_HW=size_HW), blocks):
            yield from samples


def block_seed(seed: int, index: int) -> int:
    """Seeds of blocks never meet, not even under neighbouring seeds."""
    return int(np.random.SeedSequence((seed, index)).generate_state(1)[0])


def _render(block: tuple[int, int], *, size_HW: tuple[int, int]) -> list[Sample]:
    length, seed = block
    samples: list[Sample] = []
    for frame in clear_samples(length, seed=seed, size_HW=size_HW):
        assert frame.label_HW is not None
        samples.append((frame.image_HWC, frame.label_HW))
    return samples
