"""The predictor: frame in, prediction out, from exactly one published version.

It takes the newest version between two frames, never within one, by swapping references: nothing is copied and
nothing waits. The shadow is the same thing pinned to the source weights; it answers what the frozen model would have
said.
"""

# H height, W width, K classes

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from models.trainable import load_adaptable
from models.preprocess import Answer, answer, prepare
from runtime.events import Prediction, ShadowPrediction
from runtime.weights import VersionedWeights
from streams.frame import Frame


class Predictor:
    """One owner thread calls `predict`; the model is its own replica."""

    def __init__(
        self, model: nn.Module, weights: VersionedWeights, *, device: torch.device, clock: Callable[[], float]
    ) -> None:
        self._model = model
        self._weights = weights
        self._device = device
        self._clock = clock
        self._version = weights.latest
        load_adaptable(model, self._version.tensors)

    def predict(self, frame: Frame) -> Prediction:
        """Labels at the frame's own size, with the version that made them."""
        started_at_s = self._clock()
        newest = self._weights.latest
        if newest is not self._version:
            load_adaptable(self._model, newest.tensors)
            self._version = newest
        result = forward(self._model, frame.image_HWC, self._device)
        confidence, entropy_nats, confident_share = result.statistics.tolist()
        return Prediction(
            frame=frame,
            version=self._version.number,
            labels_HW=result.labels_HW.cpu().numpy(),
            confidence=confidence,
            entropy_nats=entropy_nats,
            started_at_s=started_at_s,
            finished_at_s=self._clock(),
            confident_share=confident_share,
        )


class Shadow:
    """The frozen model beside the served one, off the serving path."""

    def __init__(
        self, model: nn.Module, weights: VersionedWeights, *, device: torch.device, clock: Callable[[], float]
    ) -> None:
        load_adaptable(model, weights.source.tensors)
        self._model = model
        self._device = device
        self._clock = clock

    def predict(self, prediction: Prediction) -> ShadowPrediction:
        started_at_s = self._clock()
        if prediction.version == 0:  # the served weights were the source's: the answer is known
            labels_HW = prediction.labels_HW
        else:
            labels_HW = forward(self._model, prediction.frame.image_HWC, self._device).labels_HW.cpu().numpy()
        return ShadowPrediction(
            frame=prediction.frame,
            labels_HW=labels_HW,
            served_labels_HW=prediction.labels_HW,
            duration_s=self._clock() - started_at_s,
        )


def forward(model: nn.Module, image_HWC: np.ndarray, device: torch.device) -> Answer:
    """One forward pass on one uint8 image."""
    with torch.no_grad():
        x_B3HW = prepare(image_HWC, device=device)
        logits_BKHW: Tensor = model(x_B3HW)
        return answer(logits_BKHW, size_HW=(image_HWC.shape[0], image_HWC.shape[1]))
