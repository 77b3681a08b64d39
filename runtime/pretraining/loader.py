"""Batches of augmented crops, prepared in other processes, from any position on.

torchdata's stateful loader keeps the position of what was delivered, not of what was prefetched.
"""

import signal
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchdata.stateful_dataloader import StatefulDataLoader


def open_loader(
    crops: Dataset[tuple[Tensor, ...]],
    *,
    batch: int,
    workers: int,
    pins_memory: bool,
    state: Mapping[str, Any] | None,
) -> StatefulDataLoader[tuple[Tensor, ...]]:
    """Batches in the order of positions, the last incomplete one dropped; goes on from `state` where one is given."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'set_vital' is deprecated")  # torchdata 0.11 on torch >= 2.12
        loader = StatefulDataLoader(
            crops,
            batch_size=batch,
            num_workers=workers,
            drop_last=True,
            pin_memory=pins_memory,
            worker_init_fn=_leave_interrupts_to_the_parent,
            # A generator of its own: the loader's seed must not be drawn from the one that dropout uses.
            generator=torch.Generator(),
        )
    if state is not None:
        loader.load_state_dict(dict(state))
    return loader


def _leave_interrupts_to_the_parent(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
