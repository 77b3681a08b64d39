"""The candidate: what was learnt so far, before and while it serves.

It holds the average of the student's weights and a model that answers with the average. An average the guard accepted
serves at once as far as it is trusted (`service.py`), and is kept in the shadow while the frozen model answers as well.
What was learnt for other domains comes back from the library (`recollection.py`) and is judged like any candidate; the
trust it had earned comes with it.
"""

# H height, W width, F features

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from models.segformer import SegmentationModel
from models.trainable import load_adaptable
from runtime.adaptation.recollection import Recollection
from runtime.adaptation.service import Service
from runtime.events import Prediction, Recall, StatisticsTaken, TrustChanged, Weighed
from runtime.guard import Guard
from runtime.library import Found
from runtime.serving import SwappedReplica
from runtime.shares import agreement
from runtime.state import State, kept, restore, state_of
from runtime.trust import Trust
from streams.frame import Frame

APPEARANCE_SHARE = 0.05  # of the way to what a step looked at; 0.25, as the monitor has it, forgets a night in 3 frames


class Candidate:
    """Owned by the learner's thread. `model` is a replica of its own."""

    def __init__(
        self,
        model: SegmentationModel,
        service: Service,
        *,
        guard: Guard,
        trust: Trust,
        clock: Callable[[], float],
        recollection: Recollection | None = None,
    ) -> None:
        self._service = service
        self._guard = guard
        self._trust = trust
        self._clock = clock
        self._recollection = recollection
        self._average = {name: tensor.detach().clone() for name, tensor in service.source.items()}
        self._statistics = self._average.keys() & dict(model.named_buffers()).keys()
        load_adaptable(model, self._average)  # the same memory: the model always answers with the average
        self._model = model
        self._replica = SwappedReplica(model, next(model.parameters()).device)

    @property
    def model(self) -> SegmentationModel:
        """Answers with the average as it is at that moment. For the owner's thread."""
        return self._model

    @property
    def is_weighed(self) -> bool:
        """Whether comparisons with the frozen model decide what serves."""
        return not self._trust.is_blind

    @property
    def is_surely_trusted(self) -> bool:
        """Whether the next comparison with the frozen model can wait."""
        return self._trust.is_sure

    @property
    def source(self) -> Mapping[str, Tensor]:
        return self._service.source

    @property
    def good(self) -> Mapping[str, Tensor]:
        """The last average the guard accepted; the source weights at first."""
        return self._service.good

    @property
    def serving_version(self) -> int:
        return self._service.version

    @property
    def is_at_home(self) -> bool:
        """Whether the newest frame looks like those of the stretch being learnt; False where none is remembered."""
        return self._recollection is not None and self._recollection.is_at_home

    def follow(self, trained: Mapping[str, Tensor], *, share: float) -> None:
        """Move the average a share of the way to the student's weights. Statistics are averages of their own and are
        taken as they are (as in the published mean teachers, which average parameters alone).
        """
        with torch.no_grad():
            for name, average in self._average.items():
                average.lerp_(trained[name].detach(), 1.0 if name in self._statistics else share)

    def submit(self, frame_index: int, appearance_F: np.ndarray | None = None) -> tuple[str, str]:
        """Have the average judged: applied (published), shadowed (good, not served) or refused_guard, and why."""
        refusal = self._guard.refusal(self._average, self._model)
        if refusal:
            return "refused_guard", refusal
        self._accept(frame_index, self._moved(appearance_F))
        if self._recollection is not None:
            self._recollection.learnt(self.good, agreement=self._trust.agreement)
        return ("applied" if self._trust.is_adapted else "shadowed"), ""

    def restore(self) -> None:
        """Back to the last good average."""
        _copy(self.good, into=self._average)

    def start_over(self) -> None:
        """Back to the source weights, which serve."""
        self._guard.reset()
        self.leave()
        _copy(self.source, into=self._average)
        self._trust.reset()
        self._service.start_over()

    def leave(self) -> None:
        """The average is led elsewhere from now on: away from the domain it was learnt for."""
        if self._recollection is not None:
            self._recollection.leave()

    def recall(self, frame_index: int, features_F: np.ndarray) -> Sequence[Recall | TrustChanged]:
        """Take up what was learnt for the domain these features are of, if that is known, another one, and sound."""
        recollection = self._recollection
        found = None if recollection is None else recollection.look(features_F)
        if recollection is None or found is None:
            return ()
        _copy(found.domain.tensors, into=self._average)
        self._guard.reset()
        refusal = self._guard.refusal(self._average, self._model)
        if refusal:
            self._guard.reset()
            self.restore()
            recollection.forget(found)
            return (self._recalled(frame_index, found, refusal),)
        recollection.take_up(found)
        self._service.forget_stream()
        is_changed = self._trust.take_up(found.domain.agreement, distance=found.from_source)
        self._accept(frame_index, found.domain.appearance_F)
        recalled = self._recalled(frame_index, found, "")
        return (recalled, self._changed(frame_index, found.domain.agreement)) if is_changed else (recalled,)

    def follow_stream(self, frame: Frame, features_F: np.ndarray, *, period: int) -> StatisticsTaken | None:
        """In weather far from the source serve under the stream's own statistics; what was taken of this frame, if it
        was its turn. `period` is how many times as many frames as usual lie between two turns.
        """
        share = self._service.follow(frame, features_F, period=period)
        if share == 0.0:
            return None
        return StatisticsTaken(frame.index, share, version=self.serving_version, at_s=self._clock())

    def weigh(
        self, prediction: Prediction, frozen_HW: np.ndarray, *, distance: float
    ) -> Sequence[Weighed | TrustChanged]:
        """Compare adapted and frozen on a frame just predicted, in weather at that distance from the source (1 is its
        edge); the outcome, and the change of what serves, if it is one.

        Costs a forward pass unless all that was learnt serves; what is served is a few steps older than the average,
        and has the stream's statistics where it is far.
        """
        frame = prediction.frame
        is_served = prediction.version != 0 and self._service.share == 1.0
        learnt_HW = prediction.labels_HW if is_served else self._replica.answer(frame.image_HWC).labels_HW
        reading = agreement(learnt_HW, frozen_HW)
        is_changed = self._trust.update(reading, distance=distance)
        if self._recollection is not None:
            self._recollection.weighed(self._trust.agreement)
        weighed = Weighed(frame.index, reading, num_forwards=1 if is_served else 2, at_s=self._clock())
        if self._trust.share != self._service.share:  # the next step may be far off
            self._service.serve(self._trust.share, frame.index)
        return (weighed, self._changed(frame.index, self._trust.agreement)) if is_changed else (weighed,)

    def doubt(self) -> None:
        """The stream has changed: whether to serve is to be found out anew."""
        self._trust.doubt()

    def distrust(self, frame_index: int) -> TrustChanged | None:
        """The frozen model serves from now on: the stream is back where it learnt."""
        if not self._trust.reset():
            return None
        self._service.fall_back()
        return self._changed(frame_index, float("nan"))

    def retire(self) -> None:
        """Publish nothing any more; the source serves. Any thread."""
        self._service.retire()

    def state(self) -> State:
        """A copy of the average, how what is good of it serves, and what guard and trust remember."""
        return {
            "average": {name: kept(tensor) for name, tensor in self._average.items()},
            "guard": self._guard.state(),
            "trust": self._trust.state(),
            "service": self._service.state(),
            "recollection": state_of(self._recollection),
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`; the weights that serve are not the candidate's to set."""
        match state:
            case {
                "average": dict(average),
                "guard": dict(guard),
                "trust": dict(trust),
                "service": dict(service),
                "recollection": dict(recollection),
            }:
                _copy({name: cast(Tensor, average[name]) for name in self._average}, into=self._average)
                self._guard.load_state(guard)
                self._trust.load_state(trust)
                self._service.load_state(service)
                restore(self._recollection, recollection)
            case _:
                raise ValueError(f"not the state of a candidate: it has the keys {sorted(state)}")

    def _accept(self, frame_index: int, appearance_F: np.ndarray | None) -> None:
        """The average is good, for frames that look like this, and serves as far as it is trusted."""
        self._service.accept(
            self._average, share=self._trust.share, frame_index=frame_index, appearance_F=appearance_F
        )

    def _moved(self, appearance_F: np.ndarray | None) -> np.ndarray | None:
        """Average what the learner looks at, slowly, for weights are slow to leave one weather for another too."""
        before_F = self._service.appearance_F
        if before_F is None or appearance_F is None:
            return appearance_F
        moved_F: np.ndarray = before_F + APPEARANCE_SHARE * (appearance_F - before_F)
        return moved_F

    def _recalled(self, frame_index: int, found: Found, refusal: str) -> Recall:
        return Recall(
            frame_index=frame_index,
            domain=found.domain.number,
            distance=found.distance,
            version=self.serving_version,
            at_s=self._clock(),
            refusal=refusal,
        )

    def _changed(self, frame_index: int, share: float) -> TrustChanged:
        return TrustChanged(
            frame_index=frame_index,
            is_adapted=self._trust.is_adapted,
            agreement=share,
            version=self.serving_version,
            at_s=self._clock(),
        )


def _copy(tensors: Mapping[str, Tensor], *, into: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in tensors.items():
            into[name].copy_(tensor)
