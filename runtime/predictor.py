"""The predictor: frame in, prediction out, from exactly one published version.

It takes the newest version between two frames, never within one; how a version reaches the model, and where the model
computes, is the replica's business (`runtime/serving.py`). The shadow is the same thing pinned to the source weights;
it answers what the frozen model would have said.
"""

from collections.abc import Callable
from typing import Protocol

import torch

from models.segformer import SegmentationModel
from runtime.events import Prediction, ShadowPrediction
from runtime.serving import Replica, SwappedReplica
from runtime.shift.appearance import appearance
from runtime.shift.routing import Router
from runtime.weights import Version, VersionedWeights
from streams.frame import Frame


class Published(Protocol):
    """Versions as a reader sees them: the one that serves now, and version 0."""

    @property
    def latest(self) -> Version: ...

    @property
    def source(self) -> Version: ...


class Predictor:
    """One owner thread calls `predict`; the replica is its own."""

    def __init__(
        self,
        replica: Replica,
        weights: Published,
        *,
        clock: Callable[[], float],
        router: Router | None = None,
    ) -> None:
        self._replica = replica
        self._weights = weights
        self._router = router
        self._clock = clock
        self._version = weights.latest
        replica.apply(self._version)

    def predict(self, frame: Frame) -> Prediction:
        """Labels at the frame's own size, with the version that made them."""
        started_at_s = self._clock()
        wanted, appearance_F = self._weights.latest, None
        if self._router is not None and wanted.appearance_F is not None:
            appearance_F = appearance(frame.image_HWC)
            if self._router.is_of_source(appearance_F, wanted.appearance_F):
                wanted = self._weights.source
        if wanted is not self._version:
            self._replica.apply(wanted)
            self._version = wanted
        answer = self._replica.answer(frame.image_HWC)
        return Prediction(
            frame=frame,
            version=self._version.number,
            labels_HW=answer.labels_HW,
            confidence=answer.confidence,
            entropy_nats=answer.entropy_nats,
            started_at_s=started_at_s,
            finished_at_s=self._clock(),
            confident_share=answer.confident_share,
            appearance_F=appearance_F,
            confidence_hw=answer.confidence_hw,
        )


class Shadow:
    """The frozen model beside the served one, off the serving path: it computes in its caller's lane."""

    def __init__(
        self, model: SegmentationModel, weights: VersionedWeights, *, device: torch.device, clock: Callable[[], float]
    ) -> None:
        self._replica = SwappedReplica(model, device)
        self._replica.apply(weights.source)
        self._clock = clock

    def predict(self, prediction: Prediction) -> ShadowPrediction:
        """Costs nothing while version 0 serves: the answer and its time are known."""
        frame, served_HW, confidence_hw = prediction.frame, prediction.labels_HW, prediction.confidence_hw
        if prediction.version == 0:
            return ShadowPrediction(frame, served_HW, served_HW, prediction.inference_s, confidence_hw, confidence_hw)
        started_at_s = self._clock()
        answer = self._replica.answer(frame.image_HWC)
        duration_s = self._clock() - started_at_s
        return ShadowPrediction(
            frame, answer.labels_HW, served_HW, duration_s, answer.confidence_hw, prediction.confidence_hw
        )
