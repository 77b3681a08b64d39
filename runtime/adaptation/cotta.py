"""CoTTA: the student learns the labels of its own average, and single weights go back to the source by chance.

Wang et al., CVPR 2022 (arXiv 2203.13591), in the settings of the authors' segmentation code for Cityscapes to ACDC: all
weights, Adam at 6e-5 / 8 for one image at a time, teacher decay 0.999, restoration of every weight with probability
0.01 a step, cross-entropy to hard labels, dropout and drop path off, batch norm on its source statistics (their student
is in eval mode throughout). The paper has soft labels (its eq. 1) and one decision for a whole image by the mean
confidence of the source model; the code behind its table of ACDC decides pixel by pixel whether that model is at least
0.69 sure, and so does this.

`scales` empty is one view: the labels are the served ones, which cost nothing, and what the source model thinks does
not matter, as there is nothing to average. With scales each is seen as it is and mirrored, 14 views for the published
seven, and where the source model is not sure the labels are those of their mean. The answer served is the teacher's
of one view either way; the published table scores the ensemble of 14, which is part of its gain. Labels and answers are
compared at the logits' own size, as in all methods here; the authors compare at the image's.
"""

# B batch, H height, W width (of images), h w (of logits), C channels, K classes

from collections.abc import Sequence

import torch
from torch import Tensor

from models.losses import cross_entropy, shrink_labels
from models.preprocess import normalise, to_tensor
from models.segformer import SegmentationModel
from models.trainable import adaptable_tensors
from runtime.adaptation.anchoring import stochastic_restore
from runtime.adaptation.method import Materials, Method, Target
from runtime.adaptation.multi_view import look


class CottaSelfTraining(Method):
    """Source-free. Keeps nothing between steps; chance comes from the generator it was given."""

    def __init__(
        self,
        given: Materials,
        *,
        scales: Sequence[float] = (),
        confidence: float = 0.69,
        restored_share: float = 0.01,
    ) -> None:
        self._given = given
        self._source = adaptable_tensors(given.frozen)
        self._scales = tuple(scales)
        self._confidence = confidence
        self._restored_share = restored_share

    def loss(self, student: SegmentationModel, target: Target) -> Tensor:
        """Cross-entropy to the teacher's labels.

        Restoration follows the average as published, which a step ends with; so it opens the next one.
        """
        live = adaptable_tensors(student)
        stochastic_restore(live, self._source, probability=self._restored_share, generator=self._given.generator)
        x_B3HW = normalise(to_tensor(target.image_HWC)[None].to(self._given.device))
        labels_BHW = self._averaged_labels(x_B3HW) if self._scales else torch.as_tensor(target.labels_HW)[None]
        logits_BKhw = student(x_B3HW)
        return cross_entropy(logits_BKhw, shrink_labels(labels_BHW, logits_BKhw.shape[-2:]).to(self._given.device))

    def _averaged_labels(self, x_B3HW: Tensor) -> Tensor:
        """(B, h, w): where the source model is sure the teacher's label of the plain view, elsewhere of all views."""
        answers = look(self._given.teacher, x_B3HW, scales=self._scales)
        with torch.no_grad():
            sureness_Bhw = self._given.frozen(x_B3HW).softmax(dim=1).amax(dim=1)
        is_sure_Bhw = sureness_Bhw > self._confidence
        return torch.where(is_sure_Bhw, answers.plain_BKhw.argmax(dim=1), answers.mean_BKhw.argmax(dim=1))
