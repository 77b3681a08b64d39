"""A subset's score is the mean of its own IoUs, over those that are present."""

import math

import pytest

from evaluation.scoreboard import Scoreboard
from evaluation.subsets import subset_lines, subset_names, subset_score
from runtime.option_words import ConfigError
from runtime.scores import Scores
from streams.datasets.labels import CITYSCAPES

NAN = math.nan


def scores(ious):
    served = tuple(ious.get(name, NAN) for name in CITYSCAPES.names)
    return Scores(CITYSCAPES.names, 0, 0, 0, 0, (), 0, 0, 0, 0, (), served, tuple(iou / 2 for iou in served))


def test_it_is_no_rescaled_mean_over_all() -> None:
    given = scores({"road": 0.9, "car": 0.5, "train": 0.0, "wall": 0.1})
    sixteen, thirteen = subset_score("synthia16", given), subset_score("synthia13", given)
    assert sixteen.miou == pytest.approx(1.5 / 3) and sixteen.miou_frozen == pytest.approx(0.75 / 3)
    assert thirteen.miou == pytest.approx(0.7) and thirteen.num_classes == 13


def test_nothing_present_is_unknown() -> None:
    assert math.isnan(subset_score("synthia13", scores({"wall": 1.0})).miou)
    summary = {"quality": {"subsets": [{"name": "viper15", "classes": 15, "miou": None, "miou_frozen": 12.34}]}}
    assert subset_lines(summary) == ["    viper15  mIoU unknown, frozen 12.3, over 15 classes"]
    assert subset_lines({"quality": None}) == []


def test_names_are_checked() -> None:
    assert subset_names(None) == () and subset_names("viper15,synthia13") == ("viper15", "synthia13")
    with pytest.raises(ConfigError, match="nearest: viper15"):
        subset_names("viper")


def test_a_scoreboard_without_labels_has_no_subsets() -> None:
    assert Scoreboard(CITYSCAPES.names, subsets=("synthia16",)).figures() == {}
