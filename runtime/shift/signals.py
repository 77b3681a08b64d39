"""The signals there are, by name, in one dict; each is built from views of the source.

Your own is a function from `SourceViews` to a `Signal` (`runtime/shift/watch.py`): one number per frame from a `Sight`,
scaled by `Readings`.
"""

# N samples, H height, W width, C channels, K classes

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from runtime.events import Prediction
from runtime.shares import class_shares
from runtime.shift.calibration import SourceAppearance
from runtime.shift.class_shares import jensen_shannon_distance, shares_of
from runtime.shift.frequency import fine_share_log
from runtime.shift.light_distance import LightDistance
from runtime.shift.readings import Readings, SourceRange
from runtime.shift.sight import Sight
from runtime.shift.style import StyleDistance
from runtime.shift.watch import Signal

MOST_ANSWERED = 64  # source samples the frozen model answers to calibrate on; a forward pass each at start


@dataclass(frozen=True, slots=True, eq=False)
class SourceViews:
    """Labelled source samples, what they look like, and of the frozen model: its answer to an image, and its light
    distance, which may take seconds to make.
    """

    images_NHWC: np.ndarray
    labels_NHW: np.ndarray
    appearance: SourceAppearance
    answer: Callable[[np.ndarray], Prediction]
    num_classes: int
    light: Callable[[], LightDistance]

    def answers(self) -> list[Prediction]:
        """To the last MOST_ANSWERED samples: a light decoder that was made here was fitted to the first."""
        return [self.answer(image_HWC) for image_HWC in self.images_NHWC[-MOST_ANSWERED:]]


@dataclass(frozen=True, slots=True)
class SignalEntry:
    """What it measures, in a line, and the function that builds it."""

    summary: str
    build: Callable[[SourceViews], Signal]


def style(views: SourceViews) -> Signal:
    return StyleDistance(views.appearance)


def frequency(views: SourceViews) -> Signal:
    source = SourceRange.of([fine_share_log(image_HWC) for image_HWC in views.images_NHWC])
    return Readings(lambda sight: fine_share_log(sight.prediction.frame.image_HWC), source)


def confidence(views: SourceViews) -> Signal:
    source = SourceRange.of([prediction.confidence for prediction in views.answers()])
    return Readings(lambda sight: sight.prediction.confidence, source)


def classes(views: SourceViews) -> Signal:
    num = views.num_classes
    counts_K = np.sum([class_shares(label_HW, num) for label_HW in views.labels_NHW], axis=0)
    usual_K = shares_of(counts_K)

    def measure(labels_HW: np.ndarray) -> float:
        return jensen_shannon_distance(shares_of(np.array(class_shares(labels_HW, num))), usual_K)

    source = SourceRange.of_distances([measure(prediction.labels_HW) for prediction in views.answers()])

    def read(sight: Sight) -> float:
        return measure(sight.prediction.labels_HW)

    return Readings(read, source)


def light(views: SourceViews) -> Signal:
    distance = views.light()

    def measure(prediction: Prediction) -> float:
        return distance.of_frame(prediction.frame.image_HWC, prediction.labels_HW)

    source = SourceRange.of_distances([measure(prediction) for prediction in views.answers()])
    return Readings(lambda sight: measure(sight.prediction), source)


SIGNALS: dict[str, SignalEntry] = {
    "style": SignalEntry("distance of what frames look like (grain, veil, light, colour, detail)", style),
    "frequency": SignalEntry("share of the fine in the spectrum of the luma", frequency),
    "confidence": SignalEntry("mean probability of the answered class", confidence),
    "classes": SignalEntry("shares of answered classes against those of the source's labels", classes),
    "light": SignalEntry("cross-entropy of a light decoder of the first stage against the answer, as HAMLET", light),
}
