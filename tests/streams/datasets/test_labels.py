"""The label space and its tables, against the published ones."""

import numpy as np

from streams.datasets.labels import CAMVID_LABEL_IDS, CITYSCAPES, CITYSCAPES_LABEL_IDS, lookup_table


def test_train_ids_are_in_the_order_of_cityscapes() -> None:
    assert len(CITYSCAPES.names) == 19
    assert CITYSCAPES.colors.shape == (19, 3) and CITYSCAPES.colors.dtype == np.uint8
    for train_id, name in {0: "road", 6: "traffic_light", 10: "sky", 11: "person", 16: "train", 18: "bicycle"}.items():
        assert CITYSCAPES.names[train_id] == name
    assert CITYSCAPES.colors[10].tolist() == [70, 130, 180]


def test_label_ids_of_cityscapes() -> None:
    """(id, trainId) of cityscapesScripts/cityscapesscripts/helpers/labels.py."""
    published = dict.fromkeys((0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30, 255), 255)
    published |= {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12}
    published |= {26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
    assert {label_id: int(CITYSCAPES_LABEL_IDS[label_id]) for label_id in published} == published


def test_label_ids_of_camvid() -> None:
    names = [CITYSCAPES.names[train_id] for train_id in CAMVID_LABEL_IDS[:11]]
    assert names == [
        *("sky", "building", "pole", "road", "sidewalk", "vegetation"),
        *("traffic_sign", "fence", "car", "person", "rider"),
    ]
    assert set(CAMVID_LABEL_IDS[11:].tolist()) == {255}


def test_a_table_cannot_be_written_to() -> None:
    assert not lookup_table({0: 1}).flags.writeable
