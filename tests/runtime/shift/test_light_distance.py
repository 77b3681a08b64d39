"""The distance against values worked out by hand; the fit learns, repeats and leaves the network alone."""

import math

import numpy as np
import pytest
import torch

from models.light_decoder import LightDecoder
from models.segformer import SegmentationModel
from models.tensorfile import tensors_digest
from models.zoo import build_model
from runtime.shift.light_distance import LightDistance, fitted_light_decoder, light_distance

SIZE_HW = (32, 64)
CLASSES = 4


@pytest.fixture
def frozen() -> SegmentationModel:
    torch.manual_seed(0)
    return build_model("segformer_b0", num_classes=CLASSES).eval().requires_grad_(False)


def samples(num: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Bright above, where class 1 is, and dark below, class 3, with grain; a corner is ignored."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 40, (num, *SIZE_HW, 3), dtype=np.uint8)
    images[:, :16] += 160
    labels = np.full((num, *SIZE_HW), 3, np.uint8)
    labels[:, :16] = 1
    labels[:, :8, :8] = 255
    return torch.from_numpy(images), torch.from_numpy(labels)


def test_equal_logits_are_ln_k_away_from_any_answer() -> None:
    labels = torch.randint(0, CLASSES, (1, 8, 16), dtype=torch.uint8)
    for at_full_size in (False, True):
        distance = light_distance(torch.zeros(1, CLASSES, 2, 4), labels, at_full_size=at_full_size)
        assert float(distance) == pytest.approx(math.log(CLASSES))


def test_a_decoder_that_is_sure_is_as_far_as_it_is_often_wrong() -> None:
    """Logits of 10 for class 0: -log p is about 0 where the answer is class 0, and 10 elsewhere."""
    logits = torch.zeros(1, CLASSES, 2, 4)
    logits[:, 0] = 10.0
    labels = torch.zeros((1, 8, 16), dtype=torch.uint8)
    labels[:, :, 12:] = 2  # a quarter
    expected = 10 / 4 + math.log(1 + 3 * math.exp(-10))
    for at_full_size in (False, True):
        assert float(light_distance(logits, labels, at_full_size=at_full_size)) == pytest.approx(expected, abs=1e-5)


def test_the_fit_tells_what_the_first_stage_can_tell(frozen: SegmentationModel) -> None:
    images, labels = samples()
    decoder = fitted_light_decoder(frozen, images, labels, num_steps=60)
    distance = LightDistance(frozen, decoder)
    near = distance.of_frame(images[0].numpy(), labels[0].numpy())
    assert near < 0.25 < math.log(CLASSES)
    swapped = np.where(labels[0].numpy() == 1, 3, 1).astype(np.uint8)
    assert distance.of_frame(images[0].numpy(), swapped) > 5 * near
    untrained = LightDistance(frozen, LightDecoder.of(frozen))
    assert untrained.of_frame(images[0].numpy(), labels[0].numpy()) > 2 * near


def test_a_seed_fixes_the_fit_and_nothing_else_is_touched(frozen: SegmentationModel) -> None:
    images, labels = samples(2)
    digest, state = tensors_digest(frozen.state_dict()), torch.get_rng_state()
    fits = [fitted_light_decoder(frozen, images, labels, seed=seed, num_steps=3) for seed in (0, 0, 1)]
    digests = [tensors_digest(fit.state_dict()) for fit in fits]
    assert digests[0] == digests[1] != digests[2]
    assert tensors_digest(frozen.state_dict()) == digest and torch.equal(torch.get_rng_state(), state)
    assert not any(parameter.requires_grad for parameter in fits[0].parameters()) and not fits[0].training
    assert torch.equal(fits[0].embed.weight, frozen.head.linear_c[0].weight)  # the network's own, as it was


def test_source_samples_are_read_against_the_networks_own_answer(frozen: SegmentationModel) -> None:
    images, _ = samples(3)
    distance = LightDistance(frozen, LightDecoder.of(frozen))
    readings = distance.of_source(images)
    from models.preprocess import labels_of, normalise

    for reading, image in zip(readings, images, strict=True):
        with torch.no_grad():
            labels = labels_of(frozen(normalise(image[None])), SIZE_HW)[0]
        assert reading == pytest.approx(distance.of_frame(image.numpy(), labels.numpy()), rel=1e-5)


def test_nothing_labelled_is_nothing_to_fit_to(frozen: SegmentationModel) -> None:
    images, labels = samples(1)
    with pytest.raises(ValueError, match="no source sample has a labelled pixel"):
        fitted_light_decoder(frozen, images, torch.full_like(labels, 255))
