"""CamVid in the SegNet layout: lists, labels, damage, and the real one."""

import os
from pathlib import Path

import numpy as np
import pytest

from streams.datasets.camvid import find_splits, list_entries
from streams.datasets.labels import CAMVID_LABEL_IDS, CITYSCAPES
from streams.stream import StreamOptions, open_stream
from tests.streams.recorded import damage, write_camvid, write_image, write_label


def play(data: Path, uri: str = "dataset:camvid:test_day", **options):
    return open_stream(uri, StreamOptions(data=data, **options))


@pytest.fixture
def real_camvid() -> Path:
    if not (shared := os.environ.get("UDASEG_SHARED_DATA")):
        pytest.skip("UDASEG_SHARED_DATA names no folder with camvid/")
    return Path(shared) / "camvid"


def test_images_come_with_labels_in_train_ids(tmp_path) -> None:
    frames = list(play(write_camvid(tmp_path, num=12)))
    assert [frame.image_HWC[0, 0, 0] for frame in frames] == list(range(12))
    assert [frame.label_HW[0, 0] for frame in frames] == CAMVID_LABEL_IDS[:12].tolist()
    assert {frame.domain for frame in frames} == {"test_day"}


def test_labels_are_resized_by_nearest_neighbour(tmp_path) -> None:
    write_camvid(tmp_path, num=1)
    label_HW = np.full((24, 32), 3, np.uint8)
    label_HW[:, 16:] = 8
    write_label(tmp_path / "test_dayannot" / "00.png", label_HW)
    (frame,) = play(tmp_path, size_HW=(12, 10))
    assert frame.image_HWC.shape == (12, 10, 3)
    assert frame.label_HW.tolist() == [[0] * 5 + [13] * 5] * 12


def test_a_frame_without_label_is_shown_and_counted(tmp_path) -> None:
    write_camvid(tmp_path)
    (tmp_path / "test_dayannot" / "01.png").unlink()
    stream = play(tmp_path)
    assert [frame.label_HW is None for frame in stream] == [False, True, False, False]
    assert stream.faults == {"missing_label": 1}


def test_a_line_without_label_is_a_frame_without_label(tmp_path) -> None:
    write_camvid(tmp_path, num=1)
    (tmp_path / "test_day.txt").write_text("test_day/00.png\n\n")
    stream = play(tmp_path)
    assert [frame.label_HW for frame in stream] == [None]
    assert stream.faults == {"missing_label": 1}


def test_a_label_that_is_damaged_or_does_not_fit_is_not_used(tmp_path) -> None:
    write_camvid(tmp_path)
    damage(tmp_path / "test_dayannot" / "01.png")
    write_label(tmp_path / "test_dayannot" / "02.png", np.zeros((5, 5), np.uint8))
    write_image(tmp_path / "test_dayannot" / "03.png", np.zeros((24, 32, 3), np.uint8))
    told: list[str] = []
    stream = play(tmp_path, tell=told.append)
    assert [frame.label_HW is None for frame in stream] == [False, True, True, True]
    assert stream.faults == {"label_error": 3}
    assert [line.partition(":")[0] for line in told] == [f"{tmp_path}/test_dayannot/0{n}.png" for n in (1, 2, 3)]


def test_a_missing_or_damaged_image_costs_its_own_frame(tmp_path) -> None:
    write_camvid(tmp_path)
    damage(tmp_path / "test_day" / "00.png")
    (tmp_path / "test_day" / "02.png").unlink()
    stream = play(tmp_path)
    assert [frame.index for frame in stream] == [1, 3]
    assert stream.faults == {"decode_error": 2}


def test_splits_are_the_lists_and_other_text_is_none(tmp_path) -> None:
    write_camvid(write_camvid(tmp_path, split="train"), split="wet")
    (tmp_path / "README.txt").write_text("CamVid, re-encoded")
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    assert find_splits(tmp_path) == ("train", "wet")


def test_lists_with_another_root_are_taken_as_relative(tmp_path) -> None:
    (tmp_path / "train.txt").write_text("/SegNet/CamVid/train/x.png /SegNet/CamVid/trainannot/x.png")
    (entry,) = list_entries(tmp_path, "train")
    assert (entry.image, entry.label) == (tmp_path / "train" / "x.png", tmp_path / "trainannot" / "x.png")


def test_the_real_splits_are_complete(real_camvid) -> None:
    num_frames = {split: len(list_entries(real_camvid, split)) for split in ("train", "val", "test_day", "test_dusk")}
    assert num_frames == {"train": 305, "val": 101, "test_day": 85, "test_dusk": 62}


def test_a_real_frame_is_a_street_under_the_sky(real_camvid) -> None:
    stream = play(real_camvid, size_HW=(180, 240))
    frame = next(iter(stream))
    assert frame.image_HWC.shape == (180, 240, 3)
    assert CITYSCAPES.names[np.bincount(frame.label_HW[-20:].ravel()).argmax()] == "road"
    is_sky = frame.label_HW == CITYSCAPES.names.index("sky")
    is_road = frame.label_HW == CITYSCAPES.names.index("road")
    assert frame.image_HWC[is_sky].mean() > frame.image_HWC[is_road].mean() + 50
    assert stream.faults == {}
