"""Cityscapes as downloaded, on a few tiny files."""

import numpy as np

from streams.stream import StreamOptions, open_stream
from tests.streams.recorded import make_image, write_image, write_label


def write_cityscapes(data, *, split: str = "val"):
    for number, stem in enumerate(("ulm/ulm_000001_000019", "bonn/bonn_000002_000019", "bonn/bonn_000000_000019")):
        write_image(data / "leftImg8bit" / split / f"{stem}_leftImg8bit.png", make_image(number))
        label_HW = np.full((24, 32), 26, np.uint8)  # car
        label_HW[:12] = 4  # static: not evaluated
        write_label(data / "gtFine" / split / f"{stem}_gtFine_labelIds.png", label_HW)
    return data


def test_cities_play_in_order_with_label_ids_mapped_on_the_fly(tmp_path) -> None:
    stream = open_stream("dataset:cityscapes:val", StreamOptions(data=write_cityscapes(tmp_path)))
    frames = list(stream)
    assert [frame.image_HWC[0, 0, 0] for frame in frames] == [2, 1, 0]
    for frame in frames:
        assert (frame.label_HW[0, 0], frame.label_HW[-1, 0], frame.domain) == (255, 13, "val")
    assert stream.faults == {}


def test_val_plays_where_no_split_is_named(tmp_path) -> None:
    write_cityscapes(write_cityscapes(tmp_path), split="train")
    assert open_stream("dataset:cityscapes", StreamOptions(data=tmp_path)).name == "cityscapes_val"
