"""The oracle learns from the true labels of frames it has answered, from nothing else, and only where it was asked."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evaluation.oracle import LabelBook, LabelKeeping, LabelledFrames, Oracle
from runtime.adaptation.method import Target
from runtime.adaptation.methods import METHODS
from runtime.build import Start, build
from runtime.config import AdaptationConfig
from runtime.events import AdaptationStep, Prediction
from runtime.state import flatten, unflatten
from streams.stream import StreamOptions, UnknownStream, open_stream
from tests.fakes import make_frame
from tests.runtime.adaptation.samples import NUM_CLASSES, SIZE_HW, Listening, filled_replay

NUM_FRAMES, CUT = 8, 4


def labelled(frame, class_id):
    return replace(frame, label_HW=np.full(SIZE_HW, class_id, np.uint8))


def target_of(frame) -> Target:
    """As the cycle makes it: taken for class 2 everywhere."""
    return Target(frame.index, frame.image_HWC, np.full(SIZE_HW, 2, np.uint8), 0.5)


def method_of(book, *, replay=None, **numbers) -> LabelledFrames:
    return LabelledFrames(
        filled_replay() if replay is None else replay,
        book,
        device=torch.device("cpu"),
        generator=torch.Generator().manual_seed(0),
        **numbers,
    )


def gradient(method, student, frame) -> list[float]:
    student.zero_grad(set_to_none=True)
    torch.autograd.backward(method.loss(student, target_of(frame)))
    return student.scores_K.grad.tolist()


@given(
    capacity=st.integers(1, 5),
    noted=st.lists(st.tuples(st.integers(0, 8), st.booleans()), max_size=30),
)
def test_the_book_holds_the_newest_frames_and_no_others(capacity, noted) -> None:
    book, passed = LabelBook(capacity=capacity), []
    for index, has_label in noted:
        frame = make_frame(index, labelled=has_label)
        book.note(frame)
        passed = [old for old in passed if old.index != index] + [frame]
    newest = {frame.index: frame.label_HW for frame in passed[-capacity:]}
    assert all(book.label_of(index) is newest.get(index) for index in range(10))


def test_a_book_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 frame, got 0"):
        LabelBook(capacity=0)


class Listed:
    """Three frames, and facts no other stream has."""

    name, fps, is_live, num_frames, cursor, faults = "listed", 12.0, True, 3, 7, {"resized": 1}

    def __init__(self) -> None:
        self.frames = [make_frame(index) for index in range(3)]
        self.is_closed = False

    def __iter__(self):
        yield from self.frames

    def close(self) -> None:
        self.is_closed = True


def test_frames_pass_as_they_are_and_are_in_the_book_by_then() -> None:
    stream, book = Listed(), LabelBook()
    kept = LabelKeeping(stream, book)
    for frame, own in zip(kept, stream.frames, strict=True):
        assert frame is own and book.label_of(frame.index) is frame.label_HW
        assert book.label_of(frame.index + 1) is None
    facts = ("name", "fps", "is_live", "num_frames", "cursor", "faults")
    assert [getattr(kept, name) for name in facts] == [getattr(stream, name) for name in facts]
    kept.close()
    assert stream.is_closed


@pytest.mark.parametrize(("numbers", "newest_share"), [({}, 1 / 2), ({"num_newest": 1, "num_clean": 3}, 1 / 4)])
def test_true_labels_are_learnt_and_what_was_served_is_not(numbers, newest_share) -> None:
    """By equal scores the gradient is 1/K minus the class's share of pixels: the frame is class 3, the source 1."""
    student, book, frame = Listening(), LabelBook(), labelled(make_frame(7), 3)
    book.note(frame)
    method = method_of(book, replay=filled_replay(only_class=1), **numbers)
    expected = [1 / NUM_CLASSES - share for share in (0.0, 1 - newest_share, 0.0, newest_share)]
    assert gradient(method, student, frame) == pytest.approx(expected, abs=1e-6)
    assert student.seen_B3HW.shape[1:] == (3, *SIZE_HW)


@pytest.mark.parametrize("frame", [make_frame(7, labelled=False), make_frame(8)], ids=["unlabelled", "forgotten"])
def test_a_frame_without_a_label_teaches_nothing(frame) -> None:
    student, book = Listening(), LabelBook(capacity=1)
    for passing in (labelled(make_frame(8), 3), make_frame(7, labelled=False)):
        book.note(passing)
    method = method_of(book)
    before = method._generator.get_state()
    assert method.loss(student, target_of(frame)) is None
    assert torch.equal(before, method._generator.get_state())


def test_nothing_it_is_given_is_written_into() -> None:
    student, book, frame = Listening(), LabelBook(), labelled(make_frame(7), 3)
    book.note(frame)
    image = frame.image_HWC.copy()
    method_of(book).loss(student, target_of(frame))
    assert (frame.image_HWC == image).all() and (frame.label_HW == 3).all()


def test_a_frame_in_haste_is_learnt_in_smaller_crops() -> None:
    student, book, frame = Listening(), LabelBook(), labelled(make_frame(7), 3)
    book.note(frame)
    method_of(book).loss(student, replace(target_of(frame), crop_share=0.5))
    assert student.seen_B3HW.shape == (2, 3, 32, 32)


def test_it_is_the_default_method_but_for_what_it_learns_from() -> None:
    methods = Oracle().methods
    own, default = methods["oracle"], METHODS[AdaptationConfig().method]
    assert own.recipe == replace(default.recipe, policy="bare")
    assert own.track == "oracle" and "evaluation only" in own.summary
    assert [name for name in methods if name != "oracle"] == list(METHODS) and "oracle" not in METHODS


def test_other_methods_get_the_stream_as_it_is() -> None:
    assert Oracle().opener("styled") is open_stream


@pytest.mark.parametrize("start", [9, 12])
def test_a_labelled_stream_is_played_from_where_it_is_asked_to_begin(tiny_world, start) -> None:
    """Also from its end, where a run that was interrupted there goes on."""
    stream = Oracle().opener("oracle")("dataset:camvid:test_dusk", StreamOptions(data=tiny_world.data, start=start))
    assert [frame.index for frame in stream] == list(range(start, 12))


def test_a_stream_without_labels_is_refused_in_one_line(tiny_world) -> None:
    with pytest.raises(UnknownStream) as refusal:
        Oracle().opener("oracle")("dataset:camvid:test_blind", StreamOptions(data=tiny_world.data))
    assert str(refusal.value).startswith("--method oracle: learns from the stream's labels, and camvid_test_blind ")
    assert "\n" not in str(refusal.value)


class Relabelled:
    """A stream with the label of one frame turned to nonsense; `index` -1 leaves all as they are."""

    def __init__(self, stream, index) -> None:
        self._stream, self._index = stream, index

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def __iter__(self):
        for frame in self._stream:
            yield replace(frame, label_HW=13 - frame.label_HW) if frame.index == self._index else frame


def opener_of(oracle, wrong):
    """As the oracle opens streams, with the label of frame `wrong` spoiled before it gets to see it."""
    return lambda words, options: LabelKeeping(Relabelled(open_stream(words, options), wrong), oracle._book)


def parts_of(tiny_world, *, wrong=-1, first=0, max_frames=NUM_FRAMES):
    oracle = Oracle()
    config = tiny_world.config(
        stream={"max_frames": max_frames},
        adaptation={"method": "oracle", "serve_below": 0.82},
        run={"pace": "lockstep"},
    )
    return build(config, open_with=opener_of(oracle, wrong), methods=oracle.methods, start=Start(first, first))


def answers_of(parts) -> dict[int, bytes]:
    seen = []
    parts.driver.run(seen.append, threading.Event())
    outcomes = {event.outcome for event in seen if isinstance(event, AdaptationStep)}
    assert outcomes == {"applied"}
    answers = [event for event in seen if isinstance(event, Prediction)]
    return {event.frame.index: event.labels_HW.tobytes() + repr(event.confidence).encode() for event in answers}


@pytest.fixture(scope="module")
def answers(tiny_world):
    return answers_of(parts_of(tiny_world))


def test_every_frame_is_answered_before_its_label_is_learnt(tiny_world, answers) -> None:
    """A wrong label changes the answers to later frames, and to no other."""
    wrong = answers_of(parts_of(tiny_world, wrong=CUT))
    differing = [index for index in answers if answers[index] != wrong[index]]
    assert differing and min(differing) == CUT + 1 and len(answers) == NUM_FRAMES


def test_a_run_that_was_cut_goes_on_bit_for_bit(tiny_world, answers) -> None:
    first = parts_of(tiny_world, max_frames=CUT)
    before = answers_of(first)
    state = unflatten(*flatten(first.snapshots.take(first.cycle).state))
    second = parts_of(tiny_world, first=CUT)
    second.snapshots.restore(second.cycle, state)
    assert before | answers_of(second) == answers


def test_it_is_closer_to_the_truth_than_the_frozen_model(tiny_world, answers) -> None:
    """On the last frames, by share of pixels."""
    stream = {"max_frames": NUM_FRAMES}
    frozen = build(tiny_world.config(stream=stream, adaptation={"method": "frozen"}, run={"pace": "lockstep"}))
    seen = []
    frozen.driver.run(seen.append, threading.Event())
    hits = []
    for event in [event for event in seen if isinstance(event, Prediction)][-3:]:
        label = event.frame.label_HW
        answer = np.frombuffer(answers[event.frame.index][: label.size], np.uint8).reshape(label.shape)
        hits.append([(answer == label).mean(), (event.labels_HW == label).mean()])
    oracle, frozen_share = np.mean(hits, axis=0)
    assert oracle > frozen_share + 0.05
