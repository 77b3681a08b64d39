"""Broken on purpose, publication is caught by the witness at every prediction, not at a lucky one."""

from collections.abc import Mapping

import torch
from torch import Tensor

from models.trainable import adaptable_tensors, load_adaptable
from runtime.predictor import Predictor
from runtime.serving import SwappedReplica
from runtime.weights import Version, VersionedWeights
from streams.frame import Frame
from tests.fakes import ManualClock
from tests.runtime.witness import CPU, Witness, content_of, copied, filled, laid_out, predict_under_fire, swapped


class WritingInPlace:
    """Publishes by writing into the tensors that serve."""

    def __init__(self) -> None:
        self.latest = Version(0, filled(0), None, -1)

    def publish(self, number: int) -> tuple[int, int]:
        for name, tensor in filled(number).items():
            self.latest.tensors[name].copy_(tensor)
        self.latest = Version(number, self.latest.tensors, number - 1, number)
        return number, number


def test_writing_into_served_tensors_is_caught_every_time() -> None:
    weights = WritingInPlace()
    assert predict_under_fire(100, swapped(weights), weights.publish, num_within=2).num_torn == 100


def test_swapping_tensor_by_tensor_during_a_forward_is_caught_every_time() -> None:
    """A learner that loads the serving model itself: every tensor is whole, the set is not."""
    weights = VersionedWeights(filled(0))
    served: list[Witness] = []

    def make(witness: Witness) -> Predictor:
        served.append(witness)
        return swapped(weights)(witness)

    def publish(number: int) -> tuple[int, int]:
        version = weights.publish(filled(number), frame_index=number)
        load_adaptable(served[0], version.tensors)
        return version.number, number

    assert predict_under_fire(100, make, publish, num_within=2).num_torn == 100


def test_copying_into_live_tensors_outside_the_lane_of_inference_is_caught_every_time() -> None:
    """What a GPU's learner would do that copied into the live tensors itself."""
    weights = VersionedWeights(filled(0))
    live: list[dict[str, Tensor]] = []

    def make(witness: Witness) -> Predictor:
        live.append(adaptable_tensors(witness))
        return copied(weights)(witness)

    def publish(number: int) -> tuple[int, int]:
        version = weights.publish(filled(number), frame_index=number)
        torch._foreach_copy_(list(live[0].values()), list(version.tensors.values()))
        return version.number, number

    assert predict_under_fire(100, make, publish, num_within=2).num_torn == 100


class NumberingLate(Predictor):
    """Reads the number once the answer is there: a whole version under another's name."""

    def predict(self, frame: Frame):
        prediction = super().predict(frame)
        self._version = self._weights.latest
        return type(prediction)(
            frame, self._version.number, prediction.labels_HW, 0.0, 0.0, 0.0, 0.0, confident_share=0.0
        )


def test_a_number_read_apart_from_the_tensors_is_caught_every_time() -> None:
    weights = VersionedWeights(filled(0))

    def make(witness: Witness) -> Predictor:
        return NumberingLate(SwappedReplica(witness, CPU), weights, clock=ManualClock())

    def publish(number: int) -> tuple[int, int]:
        return weights.publish(filled(number), frame_index=number).number, number

    assert predict_under_fire(100, make, publish, num_within=2).num_torn == 100


class HandingOverHalves:
    """Every second tensor of a version arrives one version late: no parameter is read twice, yet the set is mixed."""

    def __init__(self, weights: VersionedWeights) -> None:
        self._weights = weights
        self._last = weights.latest

    @property
    def latest(self) -> Version:
        newest = self._weights.latest
        mixed = {
            name: (newest if place % 2 else self._last).tensors[name] for place, name in enumerate(newest.tensors)
        }
        self._last = newest
        return Version(newest.number, mixed, newest.parent, newest.frame_index)


def test_a_version_of_two_halves_is_caught_whenever_there_are_two() -> None:
    weights = VersionedWeights(filled(0))

    def publish(number: int) -> tuple[int, int]:
        return weights.publish(filled(number), frame_index=number).number, number

    assert predict_under_fire(100, swapped(HandingOverHalves(weights)), publish, num_within=2).num_torn >= 99


class NotCopying(VersionedWeights):
    """Publishes the learner's own tensors, which it goes on writing."""

    def _copied(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return tensors


def test_publishing_without_a_copy_is_caught_every_time() -> None:
    weights, flat = NotCopying(filled(0)), content_of(0)

    def publish(number: int) -> tuple[int, int]:
        flat.copy_(content_of(number))
        return weights.publish(laid_out(flat), frame_index=number).number, number

    verdict = predict_under_fire(100, swapped(weights), publish, num_within=2)
    assert verdict.num_torn == sum(version > 0 for version in verdict.versions) >= 99  # the source is nobody's to write
