"""Another network's statistics instead of ImageNet's."""

import torch
from torch import nn

from models.preprocess import normalise
from models.renormalise import renormalise


def test_the_image_arrives_with_the_statistics_asked_for() -> None:
    image = torch.randint(0, 256, (2, 3, 4, 3), dtype=torch.uint8)
    mean, std = torch.tensor([0.5, 0.4, 0.1]), torch.tensor([0.5, 0.25, 1.0])
    expected = ((image / 255.0 - mean) / std).permute(0, 3, 1, 2)
    torch.testing.assert_close(renormalise(mean.tolist(), std.tolist())(normalise(image)), expected, atol=1e-5, rtol=0)


def test_nothing_is_done_where_they_are_the_same_and_nothing_is_saved() -> None:
    assert isinstance(renormalise((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), nn.Identity)
    assert not renormalise((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)).state_dict()
