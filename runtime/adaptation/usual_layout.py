"""The usual layout: where sky, ground and upright things are in the source's pictures, and so how far labels that a
model served can be believed.

    usual = UsualLayout(labels_NHW)
    weight_PHW = usual.weigh(served_HW)              # how much of each pixel is at each place, summing to 1

A model that is blind in a cloudburst calls the whole street a building. Taken at its word, the stream would have no
road whose colour the source could be given, and learning never gets going. A camera looks at much the same scene
from one frame to the next, so where things usually are is known. Served labels are taken to be noisy: with probability
e a pixel was given one of the two other kinds. Kinds given labels, and e given kinds, are found in turn (expectation
maximisation, Dawid and Skene 1979, "Maximum likelihood estimation of observer error-rates", with one rate and a prior
by position). On the synthetic street e is below 0.01 in clear weather, fog, dusk and night, and 0.14 to 0.26 where the
model is blind.
"""

# N samples, H height, W width (of a picture thinned out), P places, K kinds

import torch
import torch.nn.functional as F
from torch import Tensor

from runtime.adaptation.layout import KINDS, NUM_KINDS, NUM_PLACES, horizon, place

MEASURED_PIXELS = 180 * 180  # large pictures are looked at in every n-th row and column: enough for these statistics
SMOOTHING = 1 / 16  # of the height: as far as things may stand from where they were seen
UNSEEN = 0.01  # share of each place where the source never had it
ROUNDS = 8
FIRST_ERROR = 0.1
BLIND = 0.25  # rate of error from which labels do not even tell how far away a thing is


class UsualLayout:
    """Never changes. Built from uint8 source labels (N, H, W), which it sees mirrored too."""

    def __init__(self, labels_NHW: Tensor) -> None:
        height, width = labels_NHW.shape[1:]
        self.step = max(1, round((height * width / MEASURED_PIXELS) ** 0.5))
        self.horizon = horizon(labels_NHW)
        seen_PHW = torch.stack([self.crisp(label_HW) for label_HW in labels_NHW]).sum(0)
        seen_PHW = seen_PHW + seen_PHW.flip(2)
        taps = 2 * round(seen_PHW.shape[1] * SMOOTHING / 2) + 1
        near_PHW = F.avg_pool2d(seen_PHW[None], taps, 1, taps // 2, count_include_pad=False)[0]
        num_HW = near_PHW.sum(0)
        self._prior_PHW = (near_PHW + UNSEEN * num_HW) / (num_HW * (1 + UNSEEN * NUM_PLACES))
        self._prior_KHW = torch.stack([self._prior_PHW[kind == KINDS].sum(0) for kind in range(NUM_KINDS)])

    def thinned(self, image_CHW: Tensor) -> Tensor:
        """The pixels that are looked at."""
        return image_CHW[:, :: self.step, :: self.step]

    def crisp(self, label_HW: Tensor) -> Tensor:
        """The same as `weigh`, for labels that are right: 1 at each pixel's place."""
        return F.one_hot(self._places(label_HW), NUM_PLACES).permute(2, 0, 1).float()

    def weigh(self, served_HW: Tensor) -> Tensor:
        """Float32 (P, H, W) of uint8 labels of the source's size."""
        place_1HW = self._places(served_HW)[None]
        kind_1HW = KINDS[place_1HW]
        is_served_KHW = kind_1HW == torch.arange(NUM_KINDS)[:, None, None]
        error, kinds_KHW = FIRST_ERROR, self._prior_KHW
        for _ in range(ROUNDS):
            likelihood_KHW = torch.where(is_served_KHW, 1 - error, error / (NUM_KINDS - 1))
            kinds_KHW = self._prior_KHW * likelihood_KHW
            kinds_KHW /= kinds_KHW.sum(0)
            error = float(1 - kinds_KHW.gather(0, kind_1HW).mean())
        belief = max(0.0, 1 - error / BLIND)  # that a thing of the served kind is also where it was served
        served_1HW = kinds_KHW.gather(0, kind_1HW) * belief
        left_KHW = kinds_KHW.scatter_add(0, kind_1HW, -served_1HW)
        weight_PHW = self._prior_PHW * (left_KHW / self._prior_KHW)[KINDS]
        return weight_PHW.scatter_add_(0, place_1HW, served_1HW)

    def _places(self, label_HW: Tensor) -> Tensor:
        return place(label_HW[:, :: self.step], horizon=self.horizon).crisp()[:: self.step]
