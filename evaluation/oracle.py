"""The oracle: what labels of the stream itself would buy, by steps as the default method's. For evaluation only.

    oracle = Oracle()
    run_session(config, ..., methods=oracle.methods, open_with=oracle.opener(config.adaptation.method))

No label reaches a learner through a `Target`, here neither: the stream is played through a wrapper that keeps the
labels of its newest frames in a book, and the method, handed to the run from above, looks up the label of the frame
just predicted. So it stays prequential (every frame is answered before its label is learnt from), and what lies between
its score and the frozen model's is what there is to win. It costs more: it learns from every frame.
"""

# B batch, H height, W width (of images; a quarter of it for logits), C channels, K classes

import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from models.losses import cross_entropy, shrink_labels
from models.preprocess import normalise
from models.segformer import SegmentationModel
from replay.augment import CropRule, random_crop, random_flip
from replay.buffer import ReplayBuffer
from runtime.adaptation.method import Materials, Method, Target
from runtime.adaptation.methods import METHODS, Entry
from runtime.adaptation.styled import crop_size
from runtime.build import Opener
from runtime.config import AdaptationConfig
from streams.frame import Frame
from streams.stream import Stream, StreamOptions, UnknownStream, open_stream
from streams.wrapped import Wrapped

ORACLE = "oracle"
BOOK_FRAMES = 64  # more than can wait between the stream and the learner
LOOKED_AT = 30  # frames in which a label must be found; of the 30 of a Cityscapes snippet one is labelled


class LabelBook:
    """Labels of the newest `capacity` frames by index; one thread notes, another asks."""

    def __init__(self, *, capacity: int = BOOK_FRAMES) -> None:
        if capacity < 1:
            raise ValueError(f"a label book must hold at least 1 frame, got {capacity}")
        self._capacity = capacity
        self._labels: dict[int, np.ndarray | None] = {}
        self._lock = threading.Lock()

    def note(self, frame: Frame) -> None:
        """Remember the frame's label, or that it has none, and forget the oldest where there is no more room."""
        with self._lock:
            self._labels.pop(frame.index, None)
            self._labels[frame.index] = frame.label_HW
            if len(self._labels) > self._capacity:
                del self._labels[next(iter(self._labels))]

    def label_of(self, frame_index: int) -> np.ndarray | None:
        """Train ids, uint8 (H, W); None for a frame without a label, and for one that is not in the book."""
        with self._lock:
            return self._labels.get(frame_index)


class LabelKeeping(Wrapped):
    """A stream whose labels are noted in `book` as its frames pass; otherwise the stream it wraps, which it closes."""

    def __init__(self, stream: Stream, book: LabelBook) -> None:
        super().__init__(stream)
        self._book = book

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._stream:
            self._book.note(frame)
            yield frame


class LabelledFrames(Method):
    """Cross-entropy on true labels: of the frame just predicted, and of clean source samples, which keep what the model
    knows.

    Each step shows `num_newest` crops of the frame and `num_clean` of the source, as large as the default method's.
    Frames further back were tried in place of one of the crops and are worth nothing more
    (`benchmarks/results/ceiling_strengths.md`). A frame without a label teaches nothing.
    """

    def __init__(
        self,
        replay: ReplayBuffer,
        book: LabelBook,
        *,
        device: torch.device,
        generator: torch.Generator,
        num_newest: int = 1,
        num_clean: int = 1,
    ) -> None:
        self._replay = replay
        self._book = book
        self._device = device
        self._generator = generator
        self._num_newest = num_newest
        self._num_clean = num_clean

    def loss(self, student: SegmentationModel, target: Target) -> Tensor | None:
        """Mean cross-entropy over all crops; None where the frame has no label."""
        label_HW = self._book.label_of(target.frame_index)
        if label_HW is None:
            return None
        samples = [(torch.as_tensor(target.image_HWC), torch.as_tensor(label_HW))] * self._num_newest
        samples += list(zip(*self._replay.sample(self._num_clean), strict=True))
        rule = CropRule(crop_size(self._replay.size_HW, target.crop_share), scale_range=(1.0, 1.0))
        crops = [self._crop(image, label, rule) for image, label in samples]
        images_BHWC = torch.stack([image for image, _ in crops]).to(self._device)
        labels_BHW = torch.stack([label for _, label in crops])
        logits_BKHW = student(normalise(images_BHWC))
        return cross_entropy(logits_BKHW, shrink_labels(labels_BHW, logits_BKHW.shape[-2:]).to(self._device))

    def _crop(self, image_HWC: Tensor, label_HW: Tensor, rule: CropRule) -> tuple[Tensor, Tensor]:
        """Mirrored half of the time, and cropped: uint8 (H, W, 3) and (H, W)."""
        image, label = random_flip(image_HWC, label_HW, generator=self._generator)
        return random_crop(image, label, rule=rule, generator=self._generator)


class Oracle:
    """What one run is handed from above so that it can be asked for the oracle."""

    def __init__(self) -> None:
        self._book = LabelBook()

    @property
    def methods(self) -> dict[str, Entry]:
        """Those a run knows by itself and, last, the oracle: with the default method's recipe, free to learn from every
        frame and to serve what it learnt.
        """
        recipe = replace(METHODS[AdaptationConfig().method].recipe, policy="bare")
        summary = "trained with the stream's own labels, which a vehicle does not have: the ceiling, evaluation only"
        return {**METHODS, ORACLE: Entry(summary, self._build, track="oracle", recipe=recipe)}

    def opener(self, method: str) -> Opener:
        """How the stream of a run of `method` is opened: as ever, but for the oracle, which reads along."""
        return self._open if method == ORACLE else open_stream

    def _build(self, given: Materials) -> Method:
        return LabelledFrames(given.replay, self._book, device=given.device, generator=given.generator)

    def _open(self, words: str, options: StreamOptions) -> Stream:
        """Raises UnknownStream, in one line, where there are no labels to learn from."""
        _refuse_unlabelled(words, options)
        return LabelKeeping(open_stream(words, options), self._book)


def _refuse_unlabelled(words: str, options: StreamOptions) -> None:
    """By its first frames, whatever frame the run begins at; a camera need not be asked."""
    stream = open_stream(words, replace(options, start=0, rounds=1))
    try:
        if stream.is_live or all(frame.label_HW is None for frame in islice(stream, LOOKED_AT)):
            raise UnknownStream(
                f"--method {ORACLE}: learns from the stream's labels, and {stream.name} carries none (expected a "
                "preset or a labelled data set); choose another method or stream"
            )
    finally:
        stream.close()
