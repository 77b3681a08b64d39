import math

import numpy as np
import pytest

from evaluation.calibration import NUM_BINS, Bins, Calibration
from runtime.events import ShadowPrediction
from streams.frame import Frame


def test_error_by_hand():
    bins = Bins()
    # four at 0.95, three right: gap 0.2; four at 0.5, two right: gap 0; two at 0.7, none right: gap 0.7
    confidence = np.array([0.95] * 4 + [0.5] * 4 + [0.7] * 2)
    right = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0], bool)
    bins.add(confidence, right)
    reliability = bins.reliability()
    assert reliability.ece == pytest.approx((4 * 0.2 + 4 * 0.0 + 2 * 0.7) / 10)
    assert reliability.num_B.sum() == 10 and (reliability.num_B > 0).sum() == 3
    assert reliability.accuracy_B[math.ceil(0.95 * 15) - 1] == 0.75


def test_the_error_is_that_of_a_plain_loop_over_bins():
    rng = np.random.default_rng(0)
    confidence, right = rng.uniform(size=5000), rng.uniform(size=5000) < 0.6
    expected = 0.0
    for low in np.arange(NUM_BINS) / NUM_BINS:
        inside = (confidence > low) & (confidence <= low + 1 / NUM_BINS)
        expected += inside.sum() / 5000 * abs(right[inside].mean() - confidence[inside].mean())
    bins = Bins()
    for part in np.array_split(np.arange(5000), 7):
        bins.add(confidence[part].reshape(1, -1), right[part].reshape(1, -1))
    assert bins.reliability().ece == pytest.approx(expected)


def test_who_is_as_often_right_as_sure_has_no_error():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.3, 1.0, 200_000)
    bins = Bins()
    bins.add(confidence, rng.uniform(size=confidence.size) < confidence)
    assert bins.reliability().ece < 0.01
    assert math.isnan(Bins().reliability().ece)


def shadow(label, served, frozen, served_p, frozen_p):
    frame = Frame(0, 0.0, np.zeros((4, 8, 3), np.uint8), None if label is None else np.array(label, np.uint8))
    maps = [np.array(one, np.uint8) for one in (frozen, served)]
    return ShadowPrediction(frame, *maps, 0.01, *(np.array([one], np.float32) for one in (frozen_p, served_p)))


def test_probabilities_are_compared_at_the_centres_of_their_cells():
    """Two cells of 4 by 4: their centres are row 2, columns 2 and 6."""
    label, served, frozen = np.zeros((4, 8)), np.ones((4, 8)), np.zeros((4, 8))
    served[2, 2] = 0  # right where it is looked at, and nowhere else
    frozen[2, 6] = 1
    calibration = Calibration()
    calibration.observe(shadow(label, served, frozen, (0.9, 0.8), (0.6, 0.7)))
    served_bins, frozen_bins = calibration.served.reliability(), calibration.frozen.reliability()
    assert served_bins.ece == pytest.approx((0.1 + 0.8) / 2, abs=1e-6)
    assert frozen_bins.ece == pytest.approx((0.4 + 0.7) / 2, abs=1e-6)


def test_ignored_pixels_unlabelled_frames_and_events_without_probabilities_do_not_count():
    calibration = Calibration()
    label = np.full((4, 8), 255)
    label[2, 2] = 0
    ones = np.zeros((4, 8))
    calibration.observe(shadow(label, ones, ones, (0.9, 0.1), (0.9, 0.1)))
    assert calibration.served.reliability().num_B.sum() == 1
    calibration.observe(shadow(None, ones, ones, (0.9, 0.1), (0.9, 0.1)))
    bare = shadow(label, ones, ones, (0.9, 0.1), (0.9, 0.1))
    calibration.observe(ShadowPrediction(bare.frame, bare.labels_HW, bare.served_labels_HW, 0.01))
    assert calibration.served.reliability().num_B.sum() == 1


def test_it_goes_on_from_its_state():
    first, second = Calibration(), Calibration()
    first.observe(shadow(np.zeros((4, 8)), np.zeros((4, 8)), np.ones((4, 8)), (0.9, 0.2), (0.3, 0.4)))
    second.load_state(first.state())
    assert second.served.reliability().ece == first.served.reliability().ece
    with pytest.raises(ValueError, match="not the state of 15 bins"):
        second.served.load_state({})
