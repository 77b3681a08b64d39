"""OnDA: pseudo-labels from class prototypes, whose prior is the source network near home and a later one far from it.

Panagiotakopoulos et al., ECCV 2022, arXiv 2207.10667, in its final form (hybrid switch), with the settings of the
released configuration and, as features, the fused embedding of SegFormer's head, as in the authors' own port to it. A
step learns from one labelled source sample and the whole frame, nothing augmented:

    CE(source) + 0.1 CE(frame, labels) + 1.0 RCE(frame, labels) + 0.1 MRKLD(frame)

where labels come from `onda_prototypes.py` and the switch (`onda_switch.py`). SGD, momentum 0.9, decay 1e-4, 8e-4 for
the encoder and 1e-4 for the head; everything learns and the student is served. The mean teacher (0.999, begun as the
source) gives features and follows after each step. The frame alone moves running statistics, the source sample does not
(policy "freeze"); student and teacher run on batch statistics.

Published steps take four frames and four samples, here one of each. The published dynamic network is the student as it
was when the domain changed, which is told to it; here nobody tells, so the rule of the released code for that case
holds: after 500 steps, as soon as the trend of confidence is steep. Until then it is the source network.
"""

# B batch, E features, K classes, H height, W width (of images; a quarter of it for features and logits)

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from models.losses import cross_entropy, mean_negative_log_probability, reverse_cross_entropy, shrink_labels
from models.preprocess import normalise, to_tensor
from models.segformer import SegmentationModel
from models.trainable import adaptable_tensors, copy_adaptable, replica
from runtime.adaptation.mean_teacher import MeanTeacher
from runtime.adaptation.method import Materials, Method, Target
from runtime.adaptation.onda_prototypes import Prototypes
from runtime.adaptation.onda_switch import HybridSwitch
from runtime.adaptation.training_mode import in_training_mode
from runtime.state import State, kept

FORWARD_WEIGHT, REVERSE_WEIGHT = 0.1, 1.0  # of the two halves of the symmetric cross-entropy
REGULARISER_WEIGHT = 0.1
REFRESH_STEPS = 500  # between two dynamic networks, at least
START_SAMPLES = 200  # source samples the prototypes begin with; all 1000 replayed ones in the paper


class Onda(Method):
    """Owns prototypes, switch, teacher and the dynamic network; the static one is the frozen model."""

    def __init__(self, given: Materials) -> None:
        self._replay = given.replay
        self._static = given.frozen
        self._device = given.device
        self._generator = given.generator
        self._teacher = MeanTeacher(given.frozen, is_ramped=False, uses_batch_statistics=True)
        self._dynamic = replica(given.frozen).eval().requires_grad_(False)
        self._switch = HybridSwitch()
        self._num_since_refresh = 0
        self._prototypes = self._begun()

    def loss(self, student: SegmentationModel, target: Target) -> Tensor:
        """Of one frame; the prototypes follow it once they have labelled it."""
        index = torch.randint(len(self._replay), (1,), generator=self._generator)  # uniform, as published
        images_BHWC, source_BHW = self._replay.gather(index)
        x_B3HW = self._input(target.image_HWC)
        with in_training_mode(student, self._generator):
            with _statistics_untouched(student):
                on_source_BKHW = student(normalise(images_BHWC.to(self._device)))
            logits_BKHW = student(x_B3HW)
        labels_BHW = self._pseudo_labels(x_B3HW)
        source_BHW = shrink_labels(source_BHW, on_source_BKHW.shape[-2:]).to(self._device)
        return (
            cross_entropy(on_source_BKHW, source_BHW)
            + FORWARD_WEIGHT * cross_entropy(logits_BKHW, labels_BHW)
            + REVERSE_WEIGHT * reverse_cross_entropy(logits_BKHW, labels_BHW)
            + REGULARISER_WEIGHT * mean_negative_log_probability(logits_BKHW)
        )

    def settle(self, student: SegmentationModel) -> None:
        """After the descent: perhaps a new dynamic network; the teacher follows."""
        self._num_since_refresh += 1
        if self._num_since_refresh > REFRESH_STEPS and self._switch.is_steep:
            copy_adaptable(self._dynamic, adaptable_tensors(student))
            self._num_since_refresh = 0
        self._teacher.follow(student)

    def _pseudo_labels(self, x_B3HW: Tensor) -> Tensor:
        """Labels of the frame (uint8, features' size), by the prototypes as they were before it."""
        with torch.no_grad():
            features_BEHW = self._features(x_B3HW)
            taken_for_BHW = self._teacher.model.head.classify(features_BEHW).argmax(dim=1)
            prior_BKHW = self._static(x_B3HW).softmax(dim=1)
            if not self._switch.update(float(prior_BKHW.amax(dim=1).mean())):
                prior_BKHW = self._dynamic(x_B3HW).softmax(dim=1)
            labels_BHW = self._prototypes.labels(features_BEHW, prior_BKHW)
            self._prototypes.follow(features_BEHW, taken_for_BHW)
        return labels_BHW

    def _begun(self) -> Prototypes:
        """Prototypes of the source samples held, with the teacher's features, which are the source network's yet."""
        head = self._static.head
        prototypes = Prototypes(head.num_classes, head.embed_channels, device=self._device)
        for index in range(min(len(self._replay), START_SAMPLES)):
            images_BHWC, labels_BHW = self._replay.gather(torch.tensor([index]))
            with torch.no_grad():
                features_BEHW = self._features(normalise(images_BHWC.to(self._device)))
                labels_BHW = shrink_labels(labels_BHW, features_BEHW.shape[-2:]).to(self._device)
                prototypes.add(features_BEHW, labels_BHW)
        return prototypes

    def _features(self, x_B3HW: Tensor) -> Tensor:
        model = self._teacher.model
        features_BEHW: Tensor = model.head.embed(model.encoder(x_B3HW))
        return features_BEHW

    def _input(self, image_HWC: np.ndarray) -> Tensor:
        return normalise(to_tensor(image_HWC)[None].to(self._device))

    def state(self) -> State:
        """Of all it owns."""
        dynamic: State = {name: kept(tensor) for name, tensor in adaptable_tensors(self._dynamic).items()}
        return {
            "teacher": self._teacher.state(),
            "dynamic": dynamic,
            "prototypes": self._prototypes.state(),
            "switch": self._switch.state(),
            "num_since_refresh": self._num_since_refresh,
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {
                "teacher": dict(teacher),
                "dynamic": dict(dynamic),
                "prototypes": dict(prototypes),
                "switch": dict(switch),
                "num_since_refresh": int(num_since_refresh),
            }:
                self._teacher.load_state(teacher)
                device_tensors = {name: cast(Tensor, tensor).to(self._device) for name, tensor in dynamic.items()}
                copy_adaptable(self._dynamic, device_tensors)
                self._prototypes.load_state(prototypes)
                self._switch.load_state(switch)
                self._num_since_refresh = num_since_refresh
            case _:
                raise ValueError(f"not the state of OnDA: it has the keys {sorted(state)}")


@contextmanager
def _statistics_untouched(model: SegmentationModel) -> Iterator[None]:
    """Within, batch norms in training mode normalise by the batch and leave their running statistics as they are."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
