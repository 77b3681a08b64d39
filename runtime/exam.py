"""What a version knows of the source: a version as a function from images to labels, beside the run and after it.

    predict = answering(parts.model, parts.weights.latest, parts.device)
    labels_HW = predict(image_HWC)

Off the serving path: it computes on a replica of its own, which shares the frozen weights.
"""

# H height, W width, C channels

from collections.abc import Callable

import numpy as np
import torch

from models.segformer import SegmentationModel
from models.trainable import replica
from runtime.serving import SwappedReplica
from runtime.weights import Version

Predict = Callable[[np.ndarray], np.ndarray]  # image_HWC uint8 RGB -> labels_HW uint8


def answering(model: SegmentationModel, version: Version, device: torch.device) -> Predict:
    """The answers of `version`, whatever is published meanwhile."""
    own = SwappedReplica(replica(model), device)
    own.apply(version)
    return lambda image_HWC: own.answer(image_HWC).labels_HW
