"""From ImageNet's mean and deviation, which every model here is fed, to those another network was trained with."""

# B batch, H height, W width

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.preprocess import MEAN_RGB, STD_RGB

IMAGENET_MEAN = tuple(round(value / 255.0, 3) for value in MEAN_RGB)  # of RGB in [0, 1]
IMAGENET_STD = tuple(round(value / 255.0, 3) for value in STD_RGB)


class Renormalise(nn.Module):
    """Undoes `models.preprocess.normalise` and applies `mean` and `std` (of RGB in [0, 1]) instead, in one product.

    Both tensors follow from the network's own configuration and are not saved.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        ours_mean, ours_std = torch.tensor(MEAN_RGB) / 255.0, torch.tensor(STD_RGB) / 255.0
        scale_3, shift_3 = ours_std / torch.tensor(std), (ours_mean - torch.tensor(mean)) / torch.tensor(std)
        self.scale_311: Tensor
        self.shift_311: Tensor
        self.register_buffer("scale_311", scale_3[:, None, None], persistent=False)
        self.register_buffer("shift_311", shift_3[:, None, None], persistent=False)

    def forward(self, x_B3HW: Tensor) -> Tensor:
        return torch.addcmul(self.shift_311, x_B3HW, self.scale_311)


def renormalise(mean: Sequence[float], std: Sequence[float]) -> nn.Module:
    """Nothing to do where the statistics are ImageNet's, which they usually are."""
    same = tuple(round(float(value), 3) for value in (*mean, *std)) == (*IMAGENET_MEAN, *IMAGENET_STD)
    return nn.Identity() if same else Renormalise(mean, std)
