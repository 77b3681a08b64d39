"""Label spaces have the published classes, and are brought to each other by name."""

import pytest

from streams.datasets.label_spaces import LABEL_SPACES, SCORED, SYNONYMS, answering, plain_name
from streams.datasets.labels import CITYSCAPES

NAMES = CITYSCAPES.names


def test_label_spaces_have_the_published_sizes() -> None:
    sizes = {name: len(classes) for name, classes in LABEL_SPACES.items()}
    assert sizes == {"cityscapes": 19, "synthia16": 16, "synthia13": 13, "viper": 15, "camvid": 11, "ade20k": 150}
    assert all(len(set(classes)) == len(classes) for classes in LABEL_SPACES.values())
    assert all(plain_name(name) == name for classes in LABEL_SPACES.values() for name in classes)


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("cityscapes19", set()),
        ("synthia16", {9, 14, 16}),
        ("synthia13", {3, 4, 5, 9, 14, 16}),
        ("viper15", {3, 5, 12, 16}),
    ],
)
def test_scores_leave_out_the_published_train_ids(name, left_out) -> None:
    assert [label for label in NAMES if label not in SCORED[name]] == [NAMES[n] for n in sorted(left_out)]


def test_every_scored_class_and_synonym_is_a_class_of_cityscapes() -> None:
    assert all(set(classes) <= set(NAMES) for classes in SCORED.values())
    assert set(SYNONYMS.values()) <= set(NAMES) and not set(SYNONYMS) & set(NAMES)


def test_camvid_is_answered_as_its_remap_says() -> None:
    rows = answering(LABEL_SPACES["camvid"], NAMES)
    known = {NAMES[n]: row for n, row in enumerate(rows) if row is not None}
    first = {"sky": 0, "building": 1, "pole": 2, "road": 3, "sidewalk": 4, "vegetation": 5}
    assert known == first | {"traffic_sign": 6, "fence": 7, "car": 8, "person": 9, "rider": 10}


def test_ade20k_stands_for_what_it_has_words_for() -> None:
    rows = answering(LABEL_SPACES["ade20k"], NAMES)
    assert [NAMES[n] for n, row in enumerate(rows) if row is None] == ["rider", "train"]
    assert rows[NAMES.index("road")] == 6 and rows[NAMES.index("vegetation")] == 4


def test_a_name_of_its_own_goes_before_another_word_for_it() -> None:
    assert answering(("tree", "Vegetation", "tree"), ("vegetation", "sky")) == (1, None)
    assert answering(("tree", "bush", "pavement"), ("vegetation", "sidewalk")) == (0, 2)
    assert answering(NAMES, NAMES) == tuple(range(19))


@pytest.mark.parametrize(
    ("written", "plain"), [("Traffic light ", "traffic_light"), ("road, route", "road"), ("t-shirt", "t_shirt")]
)
def test_names_are_written_alike(written, plain) -> None:
    assert plain_name(written) == plain
