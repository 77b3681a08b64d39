"""The cheapest step, of kept prefixes and sampled points, is the plain computation at those points."""

import numpy as np
import torch

from benchmarks.learning_steps import NUM_POINTS, PrefixedPoints
from models.losses import cross_entropy, shrink_labels
from models.points import at_points, random_points
from models.prefix import num_frozen_stages
from models.preprocess import normalise, to_tensor
from models.trainable import trainable_parameters
from replay.buffer import ReplayBuffer
from runtime.adaptation.method import Target
from tests.runtime.adaptation.samples import NUM_CLASSES, make_student, materials

SEED, SIZE_HW = 3, (192, 256)  # of 3072 pixels of logits NUM_POINTS are drawn


def picture(seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8), rng.integers(0, NUM_CLASSES, SIZE_HW, dtype=np.uint8)


def make_replay():
    generator = torch.Generator().manual_seed(0)
    replay = ReplayBuffer(SIZE_HW, capacity_bytes=2**20, generator=generator, num_classes=NUM_CLASSES)
    for seed in range(3):
        replay.add(*picture(seed))
    return replay


def plain_loss(student, replay, target, generator):
    """Whole forward passes of both images, read at the points afterwards."""
    (image_HWC,), (label_HW,) = replay.gather(torch.tensor([replay.draw_any()]))
    total = torch.zeros(())
    for picture_HWC, labels_HW in (
        (image_HWC, label_HW), (to_tensor(target.image_HWC), torch.from_numpy(target.labels_HW)),
    ):  # fmt: skip
        logits_BKhw = student(normalise(picture_HWC[None]))
        size_hw = (logits_BKhw.shape[2], logits_BKhw.shape[3])
        points_BN = random_points(1, size_hw, NUM_POINTS, generator=generator)
        labels_BN1 = at_points(shrink_labels(labels_HW[None], size_hw)[:, None], points_BN)[:, 0]
        total = total + cross_entropy(at_points(logits_BKhw, points_BN), labels_BN1)
    return total


def test_prefixes_and_points_together_give_the_plain_losses_and_gradients() -> None:
    """Step after step, with weights that move between them; the second time the frame's prefix is a kept one."""
    student, target, replay = make_student(sureness=100.0), Target(7, *picture(9), 0.5), make_replay()
    assert num_frozen_stages(student) == 3
    method = PrefixedPoints(materials(student, replay=make_replay(), seed=SEED))
    generator, parameters = torch.Generator().manual_seed(SEED), trainable_parameters(student)
    for _ in range(2):
        loss, expected = method.loss(student, target), plain_loss(student, replay, target, generator)
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
        gradients = [torch.autograd.grad(value, parameters) for value in (loss, expected)]
        for ours, plain in zip(*gradients, strict=True):
            assert float((ours - plain).abs().max()) <= 1e-5 * float(plain.abs().max())
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients[1], strict=True):
                parameter.sub_(0.01 * gradient)
