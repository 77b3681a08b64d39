"""Versioned weights: how learning reaches prediction.

A version is a numbered, immutable set of adaptable tensors. The learner publishes fresh tensors it will never write
again; the predictor picks up the newest version between two frames. Handing over one reference is atomic, so a
prediction can never see half a version. The writer waits for its copies before it hands over, so no reader ever has to.
Version 0 holds the source weights.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

import numpy as np
import torch
from torch import Tensor

from models.tensorfile import tensors_digest
from runtime.lanes import HOST, Lane
from runtime.state import State, array_again, kept, kept_array


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """Published weights; `tensors` are owned by nobody and never written again.

    `appearance_F` is what the frames they were learnt for look like (`runtime.shift.appearance`), None where unknown.
    """

    number: int
    tensors: Mapping[str, Tensor]
    parent: int | None
    frame_index: int
    appearance_F: np.ndarray | None = None


class WriterRetired(RuntimeError):
    """A writer that was given up published after all; nothing was changed."""


class VersionedWeights:
    """One writer (the learner) publishes, any number of readers take `latest`. `lane` is one on the tensors' device."""

    def __init__(self, source: Mapping[str, Tensor], *, lane: Lane = HOST) -> None:
        self._lane = lane
        self._turn = threading.Lock()  # between writer and `retire_writer`; readers never take it
        self._is_retired = False
        self._latest = Version(number=0, tensors=self._copied(source), parent=None, frame_index=-1)
        self._source = self._latest
        self._num_published = 0
        self._source_digest = tensors_digest(source)

    @property
    def source(self) -> Version:
        """Version 0: what the model was before it learnt anything."""
        return self._source

    @property
    def source_digest(self) -> str:
        """sha256 over version 0's tensors."""
        return self._source_digest

    @property
    def latest(self) -> Version:
        return self._latest

    def publish(
        self, tensors: Mapping[str, Tensor], *, frame_index: int, appearance_F: np.ndarray | None = None
    ) -> Version:
        """Copy `tensors` into the next version; returns it.

        Raises ValueError when the set of names changed, WriterRetired after `retire_writer`.
        """
        if tensors.keys() != self._source.tensors.keys():
            odd = sorted(tensors.keys() ^ self._source.tensors.keys())[0]
            raise ValueError(f"weights.publish: tensor {odd!r} is not in both sets; publish the whole adaptable set")
        copies = self._copied(tensors)
        with self._turn:
            if self._is_retired:
                raise WriterRetired(f"weights.publish: the writer was retired at version {self._latest.number}")
            parent = self._latest.number
            self._num_published += 1
            self._latest = Version(self._num_published, copies, parent, frame_index, appearance_F)
            return self._latest

    def fall_back(self) -> Version:
        """Let version 0 serve again; the next one published takes up the count. WriterRetired as in `publish`."""
        with self._turn:
            if self._is_retired:
                raise WriterRetired(f"weights.fall_back: the writer was retired at version {self._latest.number}")
            self._latest = self._source
            return self._latest

    @property
    def is_retired(self) -> bool:
        """Whether the writer was given up."""
        return self._is_retired

    def retire_writer(self) -> Version:
        """Refuse whatever a writer still publishes, also one in the midst of it; version 0 serves, and is returned.

        For a writer that is hung (it cannot be stopped, only ignored, and may wake at any time) or failed too often.
        Nobody is left to watch whether what it learnt still fits the stream.
        """
        with self._turn:
            self._is_retired = True
            self._latest = self._source
            return self._latest

    def _copied(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Copies made where the calling thread computes, complete when this returns."""
        with torch.no_grad():
            copies = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        self._lane.record().wait()
        return MappingProxyType(copies)

    def state(self) -> State:
        """The newest version, and by which source weights it was learnt."""
        newest = self._latest
        return {
            "number": newest.number,
            "num_published": self._num_published,
            "parent": newest.parent,
            "frame_index": newest.frame_index,
            "appearance": kept_array(newest.appearance_F),
            "source_sha256": self._source_digest,
            "tensors": {name: kept(tensor) for name, tensor in newest.tensors.items()},
        }

    def load_state(self, state: State) -> None:
        """Serve the version of `state`; ValueError, and no change, where it was learnt from other source weights."""
        match state:
            case {
                "number": int(number),
                "num_published": int(num_published),
                "parent": int() | None as parent,
                "frame_index": int(frame_index),
                "appearance": Tensor() | None as appearance_F,
                "source_sha256": str(digest),
                "tensors": dict(tensors),
            }:
                source = self._source.tensors
                if digest != self._source_digest or tensors.keys() != source.keys():
                    raise ValueError("the weights were learnt from another source model than the one at hand")
                moved = {name: cast(Tensor, tensors[name]).to(tensor.device) for name, tensor in source.items()}
                self._lane.record().wait()
            case _:
                raise ValueError(f"not the state of versioned weights: it has the keys {sorted(state)}")
        with self._turn:
            self._num_published = num_published
            if number != self._source.number:
                self._latest = Version(number, MappingProxyType(moved), parent, frame_index, array_again(appearance_F))
