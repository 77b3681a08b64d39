import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evaluation.confusion import Confusion, SlidingConfusion, count_pixels

label_maps = arrays(np.uint8, (3, 5), elements=st.sampled_from([0, 1, 2, 3, 255]))
class_maps = arrays(np.uint8, (3, 5), elements=st.integers(0, 3))


def counts_by_loop(label, prediction, num_classes):
    counts = [[0] * num_classes for _ in range(num_classes)]
    for true, predicted in zip(label.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        if true != 255:
            counts[true][predicted] += 1
    return counts


@given(label_maps, class_maps)
def test_counts_equal_a_loop_over_pixels(label, prediction):
    assert count_pixels(label, prediction, 4).tolist() == counts_by_loop(label, prediction, 4)


def test_counts_of_a_whole_frame_equal_a_loop_over_pixels():
    rng = np.random.default_rng(0)
    label = rng.choice([*range(19), 255], size=(60, 80)).astype(np.uint8)
    prediction = rng.integers(0, 19, (60, 80)).astype(np.int64)
    assert count_pixels(label, prediction, 19).tolist() == counts_by_loop(label, prediction, 19)


def test_iou_by_hand():
    # truth 0 0 1 1 1 (+ one ignored), prediction 0 1 1 1 0: class 0 hits 1 of union 3, class 1 hits 2 of union 4,
    # class 2 is absent and does not enter the mean
    confusion = Confusion(3)
    confusion.update(np.array([[0, 0, 1], [1, 1, 255]], np.uint8), np.array([[0, 1, 1], [1, 0, 0]], np.uint8))
    assert confusion.counts_KK.tolist() == [[1, 1, 0], [1, 2, 0], [0, 0, 0]]
    assert confusion.iou_K[:2].tolist() == [1 / 3, 1 / 2]
    assert math.isnan(confusion.iou_K[2])
    assert confusion.miou == pytest.approx(5 / 12)
    assert confusion.num_pixels == 5


def test_class_that_is_only_predicted_counts_as_zero():
    confusion = Confusion(3)
    confusion.update(np.zeros((1, 4), np.uint8), np.array([[0, 0, 0, 2]], np.uint8))
    assert confusion.iou_K[0] == 0.75
    assert confusion.iou_K[2] == 0.0
    assert confusion.miou == pytest.approx(0.375)


def test_nothing_labelled_has_no_score():
    confusion = Confusion(3)
    confusion.update(np.full((2, 2), 255, np.uint8), np.ones((2, 2), np.uint8))
    assert math.isnan(confusion.miou)
    assert np.isnan(confusion.iou_K).all()


@given(st.lists(st.tuples(label_maps, class_maps), min_size=3, max_size=3))
def test_merge_is_associative_and_equals_one_confusion_over_all(frames):
    a, b, c = (Confusion(4) for _ in frames)
    whole = Confusion(4)
    for confusion, frame in zip((a, b, c), frames, strict=True):
        confusion.update(*frame)
        whole.update(*frame)
    left, right = a.merge(b).merge(c), a.merge(b.merge(c))
    assert left.counts_KK.tolist() == right.counts_KK.tolist() == whole.counts_KK.tolist()
    assert a.merge(b).counts_KK.tolist() == b.merge(a).counts_KK.tolist()


def test_merge_leaves_its_operands_alone():
    a, b = Confusion(2), Confusion(2)
    a.update(np.zeros((1, 2), np.uint8), np.zeros((1, 2), np.uint8))
    a.merge(b).update(np.ones((1, 2), np.uint8), np.ones((1, 2), np.uint8))
    assert a.num_pixels == 2
    assert b.num_pixels == 0


@given(st.lists(st.tuples(st.integers(0, 3), label_maps, class_maps), min_size=1, max_size=12), st.integers(1, 6))
def test_sliding_window_holds_exactly_its_last_positions(steps, length):
    sliding = SlidingConfusion(4, length=length)
    position, seen = 0, []
    for gap, label, prediction in steps:
        position += gap
        counts = count_pixels(label, prediction, 4)
        seen.append((position, counts))
        sliding.push(position, counts)
        inside = [counts for at, counts in seen if at > position - length]
        assert sliding.num_frames == len(inside)
        assert sliding.counts_KK.tolist() == sum(inside).tolist()


@pytest.mark.parametrize(
    ("label", "prediction", "message"),
    [
        (np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8), "same shape"),
        (np.full((2, 2), 7, np.uint8), np.zeros((2, 2), np.uint8), "label holds a class outside"),
        (np.zeros((2, 2), np.uint8), np.full((2, 2), 3, np.uint8), "prediction holds class 3"),
    ],
)
def test_unusable_maps_are_refused(label, prediction, message):
    confusion = Confusion(3)
    with pytest.raises(ValueError, match=message):
        confusion.update(label, prediction)
    assert confusion.num_pixels == 0


def test_confusions_of_different_label_spaces_do_not_merge():
    with pytest.raises(ValueError, match="2 and 3 classes"):
        Confusion(2).merge(Confusion(3))
