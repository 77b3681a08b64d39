import numpy as np
import pytest

from evaluation.forgetting import forgetting
from streams.frame import Frame


def sample(index, label):
    label = None if label is None else np.array([label], np.uint8)
    return Frame(index, 0.0, np.zeros((1, 4, 3), np.uint8), label)


def always(*labels):
    return lambda _: np.array([labels], np.uint8)


def test_points_lost_by_hand():
    # before: all right. After: class 0 hits 4 of union 6, class 1 hits 2 of union 4, so 7/12
    samples = (sample(index, (0, 0, 1, 1)) for index in range(2))
    result = forgetting(always(0, 0, 1, 1), always(0, 0, 0, 1), samples, num_classes=3)
    assert result.num_samples == 2
    assert result.miou_before == 1.0
    assert result.miou_after == pytest.approx(7 / 12)
    assert result.points_lost == pytest.approx(100 * 5 / 12)
    assert result.classes_lost(points=40.0) == [1]
    assert result.classes_lost() == [0, 1]


def test_better_after_is_negative():
    result = forgetting(always(0, 0, 0, 1), always(0, 0, 1, 1), [sample(0, (0, 0, 1, 1))], num_classes=2)
    assert result.points_lost < 0
    assert result.classes_lost() == []


@pytest.mark.parametrize(("samples", "message"), [([], "no source samples"), ([sample(3, None)], "sample 3 has no")])
def test_unusable_samples_are_refused(samples, message):
    with pytest.raises(ValueError, match=message):
        forgetting(always(0, 0, 0, 0), always(0, 0, 0, 0), samples, num_classes=2)
