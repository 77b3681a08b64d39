"""Weights that carry a checksum, and a network that tells whether all it used was of one version.

Every version fills many tensors, parameters and buffers, with its content number plus the tensor's own place, and one
more with the sum of all. The network answers with the least and the largest content it met in the tensors it used, and
whether the sum agrees: a mixture of two versions shows wherever it happens. A writer publishes as fast as it may, and
the network lets it finish at least one publication in the midst of every forward pass, so that a publication which can
tear a version does so every time, not on a lucky one.
"""

# B batch, K classes, H height, W width, D digits

import itertools
import math
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.ssf import SsfLinear
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

    def used(self, name: str) -> Tensor:
        """What a forward pass meets of a tensor."""
        return getattr(self, name)

    def forward(self, _: Tensor) -> Tensor:
        names = list(self.adaptable_names)
        half = NUM_TENSORS // 2
        first = torch.cat([self.used(name) for name in names[:half]])
        self._midway()
        second = torch.cat([self.used(name) for name in names[half:NUM_TENSORS]])
        values = torch.cat([first, second])
        contents = values - PLACES
        is_torn = (values.sum() != getattr(self, names[-1])[0]).long()
        digits_D = torch.cat([digits(contents.min()), digits(contents.max()), is_torn[None]])
        return functional.one_hot(digits_D, BASE).float().T[None, :, None, :]


class FoldedWitness(Witness):
    """Half of its tensors are the shifts of linear layers that answer with nothing else, folded or not."""

    def __init__(self) -> None:
        super().__init__()
        names = [name for name in self.adaptable_names if name.startswith("p")]
        self.layers = nn.ModuleDict({name: SsfLinear(zero_layer(), scale=1.0) for name in names})
        for name in names:
            self.layers[name].adapter.shift_C = getattr(self, name)

    def used(self, name: str) -> Tensor:
        return self.layers[name](torch.zeros(1, 1))[0] if name in self.layers else super().used(name)


def zero_layer() -> nn.Linear:
    layer = nn.Linear(1, 3)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer.requires_grad_(False)


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

    `publish(number)` gives the version it published and the content that must show in it. `num_ahead` publications
    beyond those it was asked for may be under way; the rest of a long test is not worth its time.
    """

    def __init__(
        self, publish: Callable[[int], tuple[int, int]], *, num_within: int, num_ahead: float, interval_s: float
    ) -> None:
        self.contents: dict[int, int] = {0: 0}
        self._num_within = num_within
        self._num_ahead = self._num_allowed = num_ahead
        self._interval_s = interval_s
        self.num_refused = 0
        self._publish = publish
        self._turn = threading.Condition()
        self._num_tries = 0
        self._is_over = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Writer":
        self._usual_interval_s = sys.getswitchinterval()
        sys.setswitchinterval(self._interval_s)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._turn:
            self._is_over = True
            self._turn.notify_all()
        self._thread.join()
        sys.setswitchinterval(self._usual_interval_s)
        if self._failure is not None:
            raise self._failure

    def let_publish(self) -> None:
        """Returns when `num_within` more publications are complete, or refused; the first may be under way already."""
        with self._turn:
            wanted = self._num_tries + self._num_within
            self._num_allowed = wanted + self._num_ahead
            self._turn.notify_all()
            assert self._turn.wait_for(lambda: self._num_tries >= wanted or self._failure, PATIENCE_S)

    def _run(self) -> None:
        try:
            for number in itertools.count(1):
                with self._turn:
                    self._turn.wait_for(lambda: self._is_over or self._num_tries < self._num_allowed)
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
    num_ahead: float = math.inf,
    interval_s: float = SWITCH_INTERVAL_S,
    make_witness: Callable[[], Witness] = Witness,
    at: Mapping[int, Callable[[], object]] = MappingProxyType({}),
) -> Verdict:
    """`num` predictions, within each the end of a publication, and of two a whole one; `at` one, something else
    happens before it.
    """
    writer = Writer(publish, num_within=num_within, num_ahead=num_ahead, interval_s=interval_s)
    witness = make_witness()
    predictor = make_predictor(witness)
    witness._midway = writer.let_publish
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


def folded(weights) -> Callable[[Witness], Predictor]:
    return lambda witness: Predictor(SwappedReplica(witness, CPU, is_folded=True), weights, clock=ManualClock())
