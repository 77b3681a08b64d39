"""Images in, answers out."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.preprocess import (
    MEAN_RGB,
    certainty,
    confidence_and_certainty,
    labels_of,
    normalise,
    to_tensor,
    upsample_logits,
)


def random_image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, size=shape, dtype=np.uint8)


def test_normalised_values_follow_imagenet() -> None:
    image = torch.tensor([[[[255, 0, 128]]]], dtype=torch.uint8)
    x = normalise(image)
    expected = [(255 - 123.675) / 58.395, (0 - 116.28) / 57.12, (128 - 103.53) / 57.375]
    assert x.flatten().tolist() == pytest.approx(expected, abs=1e-5)
    assert len(MEAN_RGB) == 3


def test_normalised_tensor_is_channels_last() -> None:
    x = normalise(torch.from_numpy(random_image(2, 8, 12, 3)))
    assert x.shape == (2, 3, 8, 12)
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_to_tensor_shares_memory_with_a_writable_image() -> None:
    image = random_image(4, 6, 3)
    assert to_tensor(image).data_ptr() == image.ctypes.data


def test_to_tensor_copies_read_only_and_strided_images() -> None:
    image = random_image(4, 6, 3)
    image.setflags(write=False)
    assert np.array_equal(to_tensor(image).numpy(), image)
    assert np.array_equal(to_tensor(image[:, ::-1]).numpy(), image[:, ::-1])


def test_constant_logits_stay_constant_when_upsampled() -> None:
    logits = torch.arange(5.0).view(1, 5, 1, 1).expand(1, 5, 3, 4)
    assert torch.equal(upsample_logits(logits, (12, 16)), torch.arange(5.0).view(1, 5, 1, 1).expand(1, 5, 12, 16))


@pytest.mark.parametrize("size_HW", [(32, 64), (30, 61)])
def test_labels_are_the_argmax_at_full_size(size_HW: tuple[int, int]) -> None:
    logits = torch.randn(2, 19, 8, 16, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(logits, size=size_HW, mode="bilinear", align_corners=False).argmax(dim=1)
    labels = labels_of(logits, size_HW)
    assert labels.dtype == torch.uint8
    assert torch.equal(labels.long(), expected)
    assert torch.equal(labels, labels_of(logits.contiguous(memory_format=torch.channels_last), size_HW))


def test_certainty_of_uniform_and_certain_images() -> None:
    logits = torch.zeros(2, 4, 3, 3)
    logits[1, 2] = 1000.0
    confidence, entropy, confident = certainty(logits).unbind(1)
    top_p, means = confidence_and_certainty(logits)
    assert torch.equal(means, certainty(logits))
    assert top_p.shape == (2, 3, 3) and top_p[0].flatten().tolist() == pytest.approx([0.25] * 9)
    assert confident.tolist() == [0.0, 1.0]
    assert confidence.tolist() == pytest.approx([0.25, 1.0])
    assert entropy.tolist() == pytest.approx([math.log(4), 0.0])
