"""The predictor: frame in, prediction out, from exactly one published version.

It takes the newest version between two frames, never within one, by swapping references: nothing is copied and
nothing waits. The shadow is the same thing pinned to the source weights; it answers what the frozen model would have
said.
"""

# H height, W width, K classes

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from models.preprocess import certainty, labels_of, normalise, to_tensor
from models.segformer import SegmentationModel
from models.trainable import load_adaptable
from runtime.events import Prediction, ShadowPrediction
from runtime.weights import VersionedWeights
from streams.frame import Frame


class Predictor:
    """One owner thread calls `predict`; the model is its own replica."""

    def __init__(
        self, model: SegmentationModel, weights: VersionedWeights, *, device: torch.device, clock: Callable[[], float]
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
        confidence, entropy_nats, confident_share = result.certainty_3.tolist()
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
        self, model: SegmentationModel, weights: VersionedWeights, *, device: torch.device, clock: Callable[[], float]
    ) -> None:
        load_adaptable(model, weights.source.tensors)
        self._model = model
        self._device = device
        self._clock = clock

    def predict(self, prediction: Prediction) -> ShadowPrediction:
        """Costs nothing while version 0 serves: the answer and its time are known."""
        frame = prediction.frame
        if prediction.version == 0:
            return ShadowPrediction(frame, prediction.labels_HW, prediction.labels_HW, prediction.inference_s)
        started_at_s = self._clock()
        labels_HW = forward(self._model, frame.image_HWC, self._device).labels_HW.cpu().numpy()
        return ShadowPrediction(frame, labels_HW, prediction.labels_HW, self._clock() - started_at_s)


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Labels at full size (uint8), and confidence, entropy in nats and confident share as one tensor of three."""

    labels_HW: Tensor
    certainty_3: Tensor


def forward(model: nn.Module, image_HWC: np.ndarray, device: torch.device) -> Answer:
    """One forward pass on one uint8 image; nothing waits for the device in here."""
    size_HW = (image_HWC.shape[0], image_HWC.shape[1])
    with torch.no_grad():
        logits_BKHW: Tensor = model(normalise(to_tensor(image_HWC).to(device)[None]))
        labels_HW = labels_of(logits_BKHW, size_HW)[0]
        return Answer(labels_HW, certainty(logits_BKHW)[0])
