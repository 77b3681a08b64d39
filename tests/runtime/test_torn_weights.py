"""Rule 2: every prediction comes from exactly one published version. Proved by weights that carry a checksum.

Every version fills many tensors, parameters and buffers, with its content number plus the tensor's own place, and one
more with the sum of all. The network answers with the least and the largest content it met in the tensors it used, and
whether the sum agrees: a mixture of two versions shows wherever it happens. A writer publishes as fast as it can, and
the network lets it finish at least one publication in the midst of a forward pass (of every one, but in the longest
test), so that a publication which can tear a version does so every time: the mutations below must fail on every
prediction, not on a lucky one.
"""

# B batch, K classes, H height, W width, D digits

import itertools
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.trainable import adaptable_tensors, load_adaptable
from runtime.lanes import HOST
from runtime.predictor import Predictor
from runtime.serving import CopiedReplica, SwappedReplica
from runtime.weights import Version, VersionedWeights, WriterRetired
from streams.frame import Frame
from tests.fakes import ManualClock

CPU = torch.device("cpu")
NUM_TENSORS = 24
BASE, NUM_DIGITS = 16, 6
FRAME = Frame(0, 0.0, np.zeros((1, 2 * NUM_DIGITS + 1, 3), np.uint8))
PLACES = torch.arange(NUM_TENSORS).repeat_interleave(3).float()
PATIENCE_S = 60.0
SWITCH_INTERVAL_S = 2e-4  # threads take turns 25 times as often as by default, in the midst of everything


class Witness(nn.Module):
    """Its answer spells, in digits of one class each, least and largest content of its tensors, and a torn sum as 1."""

    def __init__(self, midway: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        for name, tensor in filled(0).items():
            if name.startswith("p"):
                self.register_parameter(name, nn.Parameter(tensor, requires_grad=False))
            else:
                self.register_buffer(name, tensor)
        self.adaptable_names = tuple(filled(0))
        self._midway = midway

    def forward(self, _: Tensor) -> Tensor:
        names = list(self.adaptable_names)
        half = NUM_TENSORS // 2
        first = torch.cat([getattr(self, name) for name in names[:half]])
        self._midway()
        second = torch.cat([getattr(self, name) for name in names[half:NUM_TENSORS]])
        values = torch.cat([first, second])
        contents = values - PLACES
        is_torn = (values.sum() != getattr(self, names[-1])[0]).long()
        digits_D = torch.cat([digits(contents.min()), digits(contents.max()), is_torn[None]])
        return functional.one_hot(digits_D, BASE).float().T[None, :, None, :]


def laid_out(flat: Tensor) -> dict[str, Tensor]:
    """The adaptable set over one piece of memory: parameters and buffers in turn, and the sum."""
    tensors = {f"{'pb'[i % 2]}{i:02}": flat[3 * i : 3 * i + 3] for i in range(NUM_TENSORS)}
    return tensors | {"b_sum": flat[-1:]}


def content_of(number: int) -> Tensor:
    """Every tensor holds the number plus its place; float32 holds the sum exactly, it stays below 2^24."""
    return torch.cat([PLACES + number, (PLACES + number).sum()[None]])


def filled(number: int) -> dict[str, Tensor]:
    return laid_out(content_of(number))


def digits(number: Tensor) -> Tensor:
    return (number.long() // BASE ** torch.arange(NUM_DIGITS)) % BASE


def spelt_in(labels_HW: np.ndarray) -> tuple[int, int, int]:
    """Least and largest content, and 1 where the sum was torn."""
    spelt = [int(digit) for digit in labels_HW[0]]
    least, largest = spelt[:NUM_DIGITS], spelt[NUM_DIGITS : 2 * NUM_DIGITS]
    weights = [BASE**place for place in range(NUM_DIGITS)]
    return sum(map(int.__mul__, least, weights)), sum(map(int.__mul__, largest, weights)), spelt[-1]


class Writer:
    """Publishes without pause: mostly what it learnt, now and then what learning that failed falls back to.

    `publish(number)` gives the version it published and the content that must show in it.
    """

    def __init__(self, publish: Callable[[int], tuple[int, int]], *, num_within: int) -> None:
        self.contents: dict[int, int] = {0: 0}
        self._num_within = num_within
        self.num_refused = 0
        self._publish = publish
        self._turn = threading.Condition()
        self._num_tries = 0
        self._is_over = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Writer":
        self._interval_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._thread.join()
        sys.setswitchinterval(self._interval_s)
        if self._failure is not None:
            raise self._failure

    def let_publish(self) -> None:
        """Returns when `num_within` more publications are complete, or refused; the first may be under way already."""
        with self._turn:
            wanted = self._num_tries + self._num_within
            assert self._turn.wait_for(lambda: self._num_tries >= wanted or self._failure, PATIENCE_S)

    def _run(self) -> None:
        try:
            for number in itertools.count(1):
                if self._is_over:
                    return
                try:
                    version, content = self._publish(number)
                    self.contents[version] = content
                except WriterRetired:
                    self.num_refused += 1
                with self._turn:
                    self._num_tries += 1
                    self._turn.notify_all()
        except BaseException as failure:
            self._failure = failure
            with self._turn:
                self._turn.notify_all()


class Learning:
    """The learner's habits: one set of tensors written in place, published whole; failures take it back."""

    def __init__(self, weights: VersionedWeights) -> None:
        self._weights = weights
        self._flat = content_of(0)
        self._live = laid_out(self._flat)
        self._contents = {0: 0}
        self._kept = weights.source

    def publish(self, number: int) -> tuple[int, int]:
        if number % 5 == 0:  # the step is refused: what it wrote is thrown away, and the newest version taken back
            content = self._take_back(self._weights.latest)
        elif number % 7 == 0:  # worse than frozen: version 0 serves until the next one
            content = self._take_back(self._weights.source)
            if number % 2:
                self._weights.fall_back()
                return 0, 0
        elif number % 11 == 0:  # a version of long ago is recalled
            content = self._take_back(self._kept)
        else:
            content = number
            self._flat.copy_(content_of(number))
        version = self._weights.publish(self._live, frame_index=number)
        self._contents[version.number] = content
        if number % 100 == 0:
            self._kept = version
        self._flat.add_(3)  # the next step begins at once, in the same memory
        return version.number, content

    def _take_back(self, version: Version) -> int:
        self._flat.copy_(torch.cat(list(version.tensors.values())))
        return self._contents[version.number]


@dataclass(frozen=True)
class Verdict:
    """Of all predictions: torn ones, versions in order, what was refused."""

    num_torn: int
    versions: list[int]
    num_refused: int


def predict_under_fire(
    num: int,
    make_predictor: Callable[[Witness], Predictor],
    publish: Callable[[int], tuple[int, int]],
    *,
    num_within: int = 1,
    every: int = 1,
    at: Mapping[int, Callable[[], object]] = MappingProxyType({}),
) -> Verdict:
    """`num` predictions, the end of a publication within `every` so many, and of two a whole one; `at` one, something
    else happens before it.
    """
    writer = Writer(publish, num_within=num_within)
    witness = Witness()
    predictor = make_predictor(witness)
    passes = itertools.count()
    witness._midway = lambda: next(passes) % every or writer.let_publish()
    seen = []
    with writer:
        for number in range(num):
            at.get(number, int)()
            prediction = predictor.predict(FRAME)
            seen.append((prediction.version, spelt_in(prediction.labels_HW)))
    torn = [said for version, said in seen if said != (writer.contents[version],) * 2 + (0,)]
    return Verdict(len(torn), [version for version, _ in seen], writer.num_refused)


def swapped(weights) -> Callable[[Witness], Predictor]:
    return lambda witness: Predictor(SwappedReplica(witness, CPU), weights, clock=ManualClock())


def copied(weights) -> Callable[[Witness], Predictor]:
    return lambda witness: Predictor(CopiedReplica(witness, HOST, on_fault=str), weights, clock=ManualClock())


@pytest.mark.parametrize("make", [swapped, copied])
def test_every_prediction_comes_from_exactly_one_version(make) -> None:
    weights = VersionedWeights(filled(0))
    verdict = predict_under_fire(400, make(weights), Learning(weights).publish)
    assert verdict.num_torn == 0
    learnt = [version for version in verdict.versions if version]
    assert learnt == sorted(learnt) and learnt[-1] >= 300  # in every frame a turn of the writer, one in 14 to version 0


@pytest.mark.faults
@pytest.mark.timeout(570)
@pytest.mark.parametrize(("make", "num"), [(swapped, 100_000), (copied, 20_000)])
def test_so_do_a_hundred_thousand(make, num) -> None:
    """Threads switch where they will; a publication ends within every twentieth forward pass for certain."""
    weights = VersionedWeights(filled(0))
    verdict = predict_under_fire(num, make(weights), Learning(weights).publish, every=20)
    assert verdict.num_torn == 0
    learnt = [version for version in verdict.versions if version]
    assert learnt == sorted(learnt) and len(set(learnt)) >= num // 30 and 0 in verdict.versions


@pytest.mark.parametrize("make", [swapped, copied])
def test_a_late_writer_reaches_no_prediction(make) -> None:
    """Declared hung and retired in the midst of publishing, it goes on trying all the while."""
    weights, final = VersionedWeights(filled(0)), []
    at = {100: lambda: final.append(weights.retire_writer().number)}
    verdict = predict_under_fire(300, make(weights), Learning(weights).publish, at=at)
    assert verdict.num_torn == 0 and verdict.num_refused >= 200
    assert final == [0] and set(verdict.versions[100:]) == {0}  # the source, whatever was learnt
    assert max(verdict.versions[:100]) > 0


# Mutations: each breaks the publication in one way, and every prediction must show it.


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
