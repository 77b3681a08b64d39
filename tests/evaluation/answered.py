"""Answers of both models made of labels, two classes, scored as a run goes on."""

import numpy as np

from runtime.events import Prediction, ShadowPrediction
from streams.frame import Frame

CLASSES = ("road", "car")


def frame(index, label, domain="clear"):
    label = None if label is None else np.array([label], np.uint8)
    image = np.zeros((1, 4 if label is None else label.shape[1], 3), np.uint8)
    return Frame(index, index / 10, image, label, domain)


def predicted(frame, labels):
    return Prediction(frame, 0, np.array([labels], np.uint8), 0.9, 0.1, frame.captured_at_s, frame.captured_at_s + 0.01)


def shadowed(frame, frozen, served):
    return ShadowPrediction(frame, np.array([frozen], np.uint8), np.array([served], np.uint8), 0.01)


def feed(score, index, *, served, frozen=None, label=(0, 0, 1, 1), domain="clear"):
    """One frame: predicted, and shadowed where `frozen` is given."""
    shown = frame(index, label, domain)
    score.observe(predicted(shown, served))
    if frozen is not None:
        score.observe(shadowed(shown, frozen, served))


RIGHT = (0, 0, 1, 1)  # mIoU 1 against the label
HALF = (0, 0, 0, 1)  # road 2 of 3, car 1 of 2: mIoU 7/12
WRONG = (1, 1, 0, 0)  # mIoU 0
