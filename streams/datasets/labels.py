"""The label space that everything here speaks, and the tables that bring other label ids to it.

Train ids follow cityscapesScripts (labels.py): 0 to 18, 255 ignored.
"""

# K classes

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from streams.frame import IGNORE_LABEL


@dataclass(frozen=True, slots=True, eq=False)
class LabelSpace:
    """Class names by train id, and `colors` (K, 3) uint8 RGB for showing them."""

    names: tuple[str, ...]
    colors: np.ndarray


def lookup_table(train_ids: Mapping[int, int]) -> np.ndarray:
    """(256,) uint8 table from a data set's label ids to train ids; ids not mentioned are ignored. Read-only."""
    table = np.full(256, IGNORE_LABEL, np.uint8)
    for label_id, train_id in train_ids.items():
        table[label_id] = train_id
    table.flags.writeable = False
    return table


_CLASSES: dict[str, tuple[int, int, int]] = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic_light": (250, 170, 30),
    "traffic_sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
}

CITYSCAPES = LabelSpace(names=tuple(_CLASSES), colors=np.array(list(_CLASSES.values()), np.uint8))

# Cityscapes labelIds, the ids its annotation files hold.
_EVALUATED_LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
CITYSCAPES_LABEL_IDS = lookup_table({label_id: train_id for train_id, label_id in enumerate(_EVALUATED_LABEL_IDS)})

# CamVid in the eleven classes of SegNet: 0 sky, 1 building, 2 pole, 3 road, 4 pavement, 5 tree, 6 sign, 7 fence, 8 car,
# 9 pedestrian, 10 bicyclist, 11 unlabelled. A bicyclist there is rider and bicycle in one, and counts as rider here.
CAMVID_LABEL_IDS = lookup_table({0: 10, 1: 2, 2: 5, 3: 0, 4: 1, 5: 8, 6: 7, 7: 4, 8: 13, 9: 11, 10: 12})
