"""Statistics mixing against torch's running averages and the mixture worked out by hand."""

import pytest
import torch
from torch import nn

from models.preprocess import normalise, to_tensor
from models.trainable import replica
from runtime.adaptation.bn import StatisticsMixing
from runtime.option_words import ConfigError
from tests.runtime.adaptation.samples import make_student, nth_target, with_fixed_statistics
from tests.runtime.adaptation.test_batch_statistics import input_of_the_heads_norm


def heads_input(student, target):
    with torch.no_grad():
        return input_of_the_heads_norm(student, normalise(to_tensor(target.image_HWC)[None]))


def test_by_default_it_is_torchs_running_average() -> None:
    student = make_student("norm")
    method = StatisticsMixing(replica(student))
    norm = nn.BatchNorm2d(student.head.embed_channels, momentum=0.1).train()
    for number in range(5):
        method.loss(student, nth_target(number))
        norm(heads_input(student, nth_target(number)))
    torch.testing.assert_close(student.head.bn.running_mean, norm.running_mean, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(student.head.bn.running_var, norm.running_var, atol=1e-5, rtol=1e-4)


def test_alpha_bn_mixes_the_newest_frame_with_the_source() -> None:
    student = make_student("norm")
    with torch.no_grad():
        student.head.bn.running_mean.fill_(0.3)
        student.head.bn.running_var.fill_(2.0)
    method = StatisticsMixing(replica(student), momentum=1.0, target_share=0.25)
    for number in range(3):
        method.loss(student, nth_target(number))
    seen_BEHW = heads_input(student, nth_target(2))
    mean_E, variance_E = seen_BEHW.mean(dim=(0, 2, 3)), seen_BEHW.var(dim=(0, 2, 3))
    torch.testing.assert_close(student.head.bn.running_mean, 0.75 * 0.3 + 0.25 * mean_E, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(student.head.bn.running_var, 0.75 * 2.0 + 0.25 * variance_E, atol=1e-5, rtol=1e-4)


def test_nothing_else_moves_and_there_is_nothing_to_descend() -> None:
    student = make_student("norm")
    frozen = replica(student)
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    loss = StatisticsMixing(frozen).loss(student, nth_target(0))
    assert loss.shape == () and not loss.requires_grad and 0.0 < float(loss) < 1.4
    moved = {name for name, tensor in student.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"head.bn.running_mean", "head.bn.running_var"}
    assert all(torch.equal(tensor, before[name]) for name, tensor in frozen.state_dict().items())


def test_the_loss_is_the_entropy_the_next_look_at_the_frame_has() -> None:
    student = make_student("norm", sureness=50.0)
    loss = StatisticsMixing(replica(student)).loss(student, nth_target(0))
    with torch.no_grad():
        p_1KHW = student(normalise(to_tensor(nth_target(0).image_HWC)[None])).softmax(dim=1)
    torch.testing.assert_close(loss, -(p_1KHW * p_1KHW.log()).sum(dim=1).mean(), atol=1e-4, rtol=1e-3)


def test_it_goes_on_from_its_state_and_from_no_other() -> None:
    student = make_student("norm")
    method, again = (StatisticsMixing(replica(student), target_share=0.5) for _ in range(2))
    method.loss(student, nth_target(0))
    twin = replica(student)
    again.load_state(method.state())
    assert float(method.loss(student, nth_target(1))) == float(again.loss(twin, nth_target(1)))
    assert torch.equal(student.head.bn.running_var, twin.head.bn.running_var)
    with pytest.raises(ValueError, match="nothing for the batch norm head"):
        again.load_state({"stem.bn": {}})


def test_a_model_that_keeps_its_statistics_is_refused_in_a_line() -> None:
    with pytest.raises(ConfigError, match=r"--method bn: .*--trainable norm"):
        StatisticsMixing(with_fixed_statistics(make_student("adapters+head")))


@pytest.mark.parametrize("options", [{"momentum": 0.0}, {"target_share": 1.5}])
def test_shares_are_shares(options) -> None:
    with pytest.raises(ValueError, match=r"must be in \(0, 1\]"):
        StatisticsMixing(make_student("norm"), **options)
