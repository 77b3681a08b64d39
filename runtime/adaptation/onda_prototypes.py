"""Prototypes: what each class's features look like, begun on the source and following the stream.

    prototypes = Prototypes(num_classes, num_features, device=device)
    for ...: prototypes.add(features_BEHW, labels_BHW)          # labelled source samples
    labels_BHW = prototypes.labels(features_BEHW, prior_BKHW)   # pseudo-labels of a frame
    prototypes.follow(features_BEHW, taken_for_BHW)             # a little towards the frame

Panagiotakopoulos et al., ECCV 2022, arXiv 2207.10667, section 3.2, after ProDA (Zhang et al. 2021, arXiv 2101.10979): a
pixel is of a class by softmax(-distance / temperature) over the classes, times what a network says of it (the prior),
normalised again; below a probability of 0.3 it is nothing. Distances are Euclidean in units of each feature's standard
deviation over all pixels.

Unlike the released code, a class the source never showed has no prototype and no pixel, and a feature that never varied
on the source is left out of distances rather than divided by 0.
"""

# B batch, E features, K classes, H height, W width, N pixels

import torch
import torch.nn.functional as F
from torch import Tensor

from models.losses import IGNORE_LABEL
from runtime.state import State, kept

MEMORY = 0.9995
TEMPERATURE = 1.0
MIN_PROBABILITY = 0.3


class Prototypes:
    """Mean and mean square of the features of each class, and how many source pixels each was begun with."""

    def __init__(self, num_classes: int, num_features: int, *, device: torch.device) -> None:
        self._means_KE = torch.zeros((num_classes, num_features), device=device)
        self._squares_KE = torch.zeros((num_classes, num_features), device=device)
        self._counts_K = torch.zeros(num_classes, device=device)

    @property
    def means_KE(self) -> Tensor:
        return self._means_KE

    def add(self, features_BEHW: Tensor, labels_BHW: Tensor) -> None:
        """Count labelled source pixels in: means over all of them so far. Labels have the features' size."""
        sums_KE, squares_KE, counts_K = self._sums(features_BEHW, labels_BHW)
        self._counts_K += counts_K
        total_K1 = self._counts_K.clamp(min=1)[:, None]
        self._means_KE += (sums_KE - self._means_KE * counts_K[:, None]) / total_K1
        self._squares_KE += (squares_KE - self._squares_KE * counts_K[:, None]) / total_K1

    def follow(self, features_BEHW: Tensor, labels_BHW: Tensor) -> None:
        """Move the prototypes of the classes present 0.05 % of the way to their means in these pixels."""
        sums_KE, squares_KE, counts_K = self._sums(features_BEHW, labels_BHW)
        share_K1 = ((1 - MEMORY) * ((counts_K > 0) & (self._counts_K > 0)))[:, None]
        counts_K1 = counts_K.clamp(min=1)[:, None]
        self._means_KE += share_K1 * (sums_KE / counts_K1 - self._means_KE)
        self._squares_KE += share_K1 * (squares_KE / counts_K1 - self._squares_KE)

    def labels(self, features_BEHW: Tensor, prior_BKHW: Tensor) -> Tensor:
        """Pseudo-labels, uint8 (B, H, W); 255 where no class is probable enough."""
        probability_BHW, labels_BHW = self.probabilities(features_BEHW, prior_BKHW).max(dim=1)
        return torch.where(probability_BHW >= MIN_PROBABILITY, labels_BHW, IGNORE_LABEL).to(torch.uint8)

    def probabilities(self, features_BEHW: Tensor, prior_BKHW: Tensor) -> Tensor:
        """Of the classes by prototypes and prior, (B, K, H, W); not numbers while no class is known."""
        scale_E = self._inverse_deviation()
        features_BHWE = features_BEHW.permute(0, 2, 3, 1)
        distances_NK = torch.cdist(features_BHWE.flatten(0, 2) * scale_E, self._means_KE * scale_E)
        distances_NK = distances_NK.masked_fill(self._counts_K == 0, torch.inf)
        likeness_BHWK = F.softmax(-distances_NK / TEMPERATURE, dim=1).view(*features_BHWE.shape[:3], -1)
        joint_BKHW = likeness_BHWK.permute(0, 3, 1, 2) * prior_BKHW
        return joint_BKHW / joint_BKHW.sum(dim=1, keepdim=True).clamp(min=torch.finfo(joint_BKHW.dtype).tiny)

    def _inverse_deviation(self) -> Tensor:
        """1 / standard deviation (E,) over all pixels, classes weighted as on the source; 0 where nothing varies."""
        share_K1 = (self._counts_K / self._counts_K.sum().clamp(min=1))[:, None]
        mean_E, square_E = (share_K1 * self._means_KE).sum(dim=0), (share_K1 * self._squares_KE).sum(dim=0)
        variance_E = square_E - mean_E.square()
        varies_E = variance_E > 1e-6 * square_E  # less is rounding
        return torch.where(varies_E, variance_E, 1.0).rsqrt() * varies_E

    def _sums(self, features_BEHW: Tensor, labels_BHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sums (K, E) of features and of their squares by class, and pixels (K,); ignored pixels are left out."""
        labels_N = labels_BHW.flatten().long()
        features_NE = features_BEHW.permute(0, 2, 3, 1).flatten(0, 2)
        is_NK = F.one_hot(torch.where(labels_N == IGNORE_LABEL, len(self._counts_K), labels_N), len(self._counts_K) + 1)
        is_KN = is_NK[:, :-1].T.to(features_NE.dtype)
        return is_KN @ features_NE, is_KN @ features_NE.square(), is_KN.sum(dim=1)

    def state(self) -> State:
        """Copies of what is known of each class."""
        return {"means": kept(self._means_KE), "squares": kept(self._squares_KE), "counts": kept(self._counts_K)}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"means": Tensor() as means_KE, "squares": Tensor() as squares_KE, "counts": Tensor() as counts_K}:
                self._means_KE.copy_(means_KE)
                self._squares_KE.copy_(squares_KE)
                self._counts_K.copy_(counts_K)
            case _:
                raise ValueError(f"not the state of prototypes: it has the keys {sorted(state)}")
