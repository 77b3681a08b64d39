"""Far from the source what serves is normalised as the stream is; near it nothing is taken and nothing laid over."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.preprocess import normalise, to_tensor
from models.segformer import SegmentationModel
from models.trainable import adaptable_tensors, load_adaptable, replica
from runtime.adaptation.stream_statistics import FIRST_TAKES, FROM, FULL, TAKE_PERIOD, StreamStatistics
from runtime.state import flatten, unflatten
from tests.fakes import make_frame, make_source
from tests.runtime.adaptation.samples import make_student

NEAR, HALF_WAY, FAR = np.array([FROM]), np.array([(FROM + FULL) / 2]), np.array([FULL + 1])
MEAN, VARIANCE = "head.bn.running_mean", "head.bn.running_var"


@pytest.fixture(scope="module")
def model() -> SegmentationModel:
    return make_student("adapters")


@pytest.fixture
def statistics(model: SegmentationModel) -> StreamStatistics:
    return new_statistics(model)


def new_statistics(model: SegmentationModel) -> StreamStatistics:
    """On a line on which the source is at 0, its edge at 1."""
    return StreamStatistics(replica(model), source_of(model), make_source(np.zeros(1), np.eye(1)))


def source_of(model: SegmentationModel) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in adaptable_tensors(model).items()}


def moments_of(model: SegmentationModel, index: int) -> tuple[Tensor, Tensor]:
    """Mean and unbiased variance of what reaches the head's batch norm, by the published order of work."""
    with torch.no_grad():
        features = model.encoder(normalise(to_tensor(make_frame(index).image_HWC)[None]))
        size_HW = features[0].shape[-2:]
        maps = [
            F.interpolate(embed(f.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), size=size_HW, mode="bilinear")
            for embed, f in zip(model.head.linear_c, features, strict=True)
        ]
        sum_BEHW = model.head.linear_fuse(torch.cat(maps[::-1], dim=1))
    return sum_BEHW.mean((0, 2, 3)), sum_BEHW.var((0, 2, 3))


def taken_turns(statistics: StreamStatistics, model: SegmentationModel, *, frames: int, period: int) -> list[int]:
    turns = []
    for index in range(frames):
        statistics.look(FAR)
        if statistics.is_due(index):
            statistics.take(make_frame(index), FAR, source_of(model), period=period)
            turns.append(index)
    return turns


@given(st.floats(0, 10))
def test_the_share_grows_with_the_distance(model: SegmentationModel, distance: float) -> None:
    statistics = new_statistics(model)
    statistics.look(np.array([distance]))
    assert statistics.share == pytest.approx(np.clip((distance - FROM) / (FULL - FROM), 0, 1))
    assert statistics.is_due(0) == (statistics.share > 0)


def test_what_is_laid_over_is_the_frames_own_moments_as_far_as_the_share_goes(
    model: SegmentationModel, statistics: StreamStatistics
) -> None:
    source, (mean_E, variance_E) = source_of(model), moments_of(model, 3)
    statistics.look(FAR)
    statistics.take(make_frame(3), FAR, source, period=1)
    whole = statistics.laid_over(source)
    torch.testing.assert_close(whole[MEAN], mean_E, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(whole[VARIANCE], variance_E, rtol=1e-4, atol=1e-5)
    statistics.look(HALF_WAY)
    half = statistics.laid_over(source)
    torch.testing.assert_close(half[MEAN], (source[MEAN] + mean_E) / 2, rtol=1e-4, atol=1e-5)
    assert all(half[name] is tensor for name, tensor in source.items() if name not in (MEAN, VARIANCE))


def test_they_are_those_of_the_weights_that_serve(model: SegmentationModel, statistics: StreamStatistics) -> None:
    other = replica(model)
    with torch.no_grad():
        for name, tensor in adaptable_tensors(other).items():
            if ".adapter." in name:
                tensor.add_(0.1)
    statistics.look(FAR)
    statistics.take(make_frame(3), FAR, source_of(other), period=1)
    torch.testing.assert_close(
        statistics.laid_over(source_of(other))[MEAN], moments_of(other, 3)[0], rtol=1e-4, atol=1e-4
    )


def test_taking_writes_neither_to_the_weights_nor_to_the_model(
    model: SegmentationModel, statistics: StreamStatistics
) -> None:
    weights = source_of(model)
    statistics.look(FAR)
    statistics.take(make_frame(3), FAR, weights, period=1)
    assert all(torch.equal(weights[name], tensor) for name, tensor in adaptable_tensors(model).items())
    load_adaptable(replica(model), statistics.laid_over(weights))  # of the same names, shapes and types


def test_near_the_source_nothing_is_laid_over_and_what_was_taken_is_forgotten(
    model: SegmentationModel, statistics: StreamStatistics
) -> None:
    source = source_of(model)
    statistics.look(FAR)
    statistics.take(make_frame(3), FAR, source, period=1)
    statistics.look(NEAR)
    assert statistics.laid_over(source) is source and statistics.appearance_F is None
    statistics.look(FAR)
    assert statistics.laid_over(source) is source and statistics.is_due(4)


@pytest.mark.parametrize("period", [1, 3])
def test_after_its_first_turns_every_few_frames_have_one(
    model: SegmentationModel, statistics: StreamStatistics, period: int
) -> None:
    first = [period * turn for turn in range(FIRST_TAKES)]
    later = [first[-1] + period * TAKE_PERIOD * turn for turn in (1, 2)]
    assert taken_turns(statistics, model, frames=later[-1] + 1, period=period) == [*first, *later]


def test_going_on_from_a_state_is_as_if_nothing_had_happened(
    model: SegmentationModel, statistics: StreamStatistics
) -> None:
    taken_turns(statistics, model, frames=FIRST_TAKES, period=1)
    other = new_statistics(model)
    other.load_state(unflatten(*flatten(statistics.state())))
    laid, again = (each.laid_over(source_of(model)) for each in (statistics, other))
    assert all(torch.equal(laid[name], again[name]) for name in laid)
    assert other.share == statistics.share and np.array_equal(other.appearance_F, FAR)
    due = [[each.is_due(index) for index in range(20)] for each in (statistics, other)]
    assert due[0] == due[1] and True in due[0] and False in due[0]
    with pytest.raises(ValueError, match="not the state of stream statistics"):
        other.load_state({"share": 1.0})
