"""Prior correction: Bayes on the answers, held in one bias, off while learning."""

import copy

import pytest
import torch

from models.preprocess import normalise, to_tensor
from models.segformer import SegmentationModel
from models.trainable import set_trainable
from runtime.adaptation.prior import PriorCorrection, ServedPrior, log_correction
from runtime.option_words import ConfigError
from tests.runtime.adaptation.samples import NUM_CLASSES, make_student, make_target, materials

EVEN = torch.full((NUM_CLASSES,), 1 / NUM_CLASSES)
PRIOR = torch.tensor([0.7, 0.2, 0.1, 0.0])
X = torch.randn(1, 3, 32, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def student() -> SegmentationModel:
    model = make_student()
    set_trainable(model, "norm")
    return model


def test_a_balanced_source_gives_the_papers_smoothed_prior() -> None:
    """p' = (p + g) / (1 + g K), g = max(1 / N, 1 / K) / max p = 0.25 / 0.7, up to the constant a bias may have."""
    smoothing = 0.25 / 0.7
    published_K = (PRIOR + smoothing) / (1 + smoothing * NUM_CLASSES)
    assert float(published_K.sum()) == pytest.approx(1.0)
    difference_K = log_correction(PRIOR, EVEN, num_samples=1000) - published_K.log()
    assert torch.allclose(difference_K, difference_K[:1].expand(NUM_CLASSES), atol=1e-6)


def test_few_samples_smooth_more() -> None:
    smoothing = 1.0 / 0.7  # one sample: 1 / N beats 1 / K
    expected_K = ((PRIOR + smoothing) / (EVEN + smoothing)).log()
    assert torch.allclose(log_correction(PRIOR, EVEN, num_samples=1), expected_K)


def test_nothing_is_corrected_where_classes_are_as_common_as_in_the_source() -> None:
    assert torch.equal(log_correction(PRIOR, PRIOR, num_samples=100), torch.zeros(NUM_CLASSES))


def test_answers_are_those_weighed_by_the_ratio_of_priors(student: SegmentationModel) -> None:
    with torch.no_grad():
        plain = student(X).softmax(dim=1)
        PriorCorrection(student, 100 * EVEN).put_on(student, PRIOR, num_samples=1000)
        smoothing = 0.25 / 0.7
        weighed = plain * ((PRIOR + smoothing) / (EVEN + smoothing))[None, :, None, None]
        assert torch.allclose(student(X).softmax(dim=1), weighed / weighed.sum(dim=1, keepdim=True), atol=1e-6)


def test_taken_off_it_leaves_no_trace_however_often_it_was_put_on(student: SegmentationModel) -> None:
    with torch.no_grad():
        plain = student(X)
        correction = PriorCorrection(student, EVEN)
        for _ in range(3):
            correction.put_on(student, PRIOR, num_samples=1000)
        once = make_student()
        set_trainable(once, "norm")
        PriorCorrection(once, EVEN).put_on(once, PRIOR, num_samples=1000)
        assert torch.equal(student(X), once(X)) and not torch.equal(student(X), plain)
        correction.take_off(student)
        assert torch.equal(student(X), plain)


@pytest.mark.parametrize("mode", ["adapters", "adapters+head", "full"])
def test_a_bias_that_learns_or_is_shared_is_left_alone(mode: str) -> None:
    model = make_student()
    set_trainable(model, mode)
    with torch.no_grad():
        plain = model(X)
        PriorCorrection(model, EVEN).put_on(model, PRIOR, num_samples=1000)
        assert torch.equal(model(X), plain)


def test_as_a_rule_the_losses_see_plain_answers_and_what_serves_is_corrected(student: SegmentationModel) -> None:
    given, target = materials(student), make_target()
    rule, x = ServedPrior(given), normalise(to_tensor(make_target().image_HWC)[None])
    source_K = torch.tensor(given.replay.statistics().pixels_by_class)
    with torch.no_grad():
        plain = student(x)
        for _ in range(2):  # estimated from plain answers, a prior does not reinforce itself
            rule.prepare(student, target)
            assert torch.equal(student(x), plain)
            rule.settle(student)
        shares_K = plain.softmax(dim=1).mean(dim=(0, 2, 3))
        expected_K = log_correction(shares_K, source_K / source_K.sum(), num_samples=plain[0, 0].numel())
        assert torch.allclose(student(x) - plain, expected_K[None, :, None, None].expand_as(plain), atol=1e-5)


def test_at_half_its_weight_half_the_correction_is_put_on(student: SegmentationModel) -> None:
    halved = copy.deepcopy(student)
    bias_K = student.head.classifier.bias.detach().clone()
    for model, share in ((student, 1.0), (halved, 0.5)):
        PriorCorrection(model, EVEN, share=share).put_on(model, PRIOR, num_samples=1000)
    assert torch.allclose(halved.head.classifier.bias - bias_K, 0.5 * (student.head.classifier.bias - bias_K))


@pytest.mark.parametrize("mode", ["adapters", "adapters+head", "full"])
def test_as_a_rule_it_is_refused_where_it_would_do_nothing(mode: str) -> None:
    model = make_student()
    set_trainable(model, mode)
    with pytest.raises(ConfigError, match=r"--with prior: .*; add --trainable norm"):
        ServedPrior(materials(model))
