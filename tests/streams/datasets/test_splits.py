"""Words and folders of data sets: what is wrong with them is told in one line."""

from pathlib import Path

import pytest

from streams.datasets.splits import LAYOUTS, open_split
from streams.protocol import StreamNotOpened, UnknownStream
from tests.streams.recorded import damage, write_camvid


def refusal(kind, words: str, data: Path | None, **more) -> str:
    with pytest.raises(kind) as caught:
        open_split(words, data, **more)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_the_dict_is_keyed_by_name() -> None:
    assert all(name == layout.name for name, layout in LAYOUTS.items())


def test_an_unknown_layout_meets_the_nearest(tmp_path) -> None:
    message = refusal(UnknownStream, "camvit", tmp_path)
    assert message == "--dataset camvit: no data set layout 'camvit'; nearest: camvid"


def test_an_unknown_split_meets_the_nearest(tmp_path) -> None:
    data = write_camvid(tmp_path)
    message = refusal(UnknownStream, "camvid:test_day+test_dy", data, option="--stream dataset:")
    assert message == f"--stream dataset:camvid:test_day+test_dy: no split 'test_dy' in {data}; nearest: test_day"


def test_a_data_set_needs_its_folder() -> None:
    message = refusal(UnknownStream, "camvid", None)
    assert message == "--dataset camvid: a data set needs its folder; add --data path/to/camvid"


def test_a_folder_that_is_not_there(tmp_path) -> None:
    message = refusal(StreamNotOpened, "camvid", tmp_path / "gone")
    assert message == f"--data {tmp_path / 'gone'}: no such folder; point --data at the folder of camvid"


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_a_folder_of_something_else(tmp_path, layout) -> None:
    assert f"--data {tmp_path}: no {layout} there (expected " in refusal(StreamNotOpened, layout, tmp_path)


def test_a_split_without_a_readable_image(tmp_path) -> None:
    data = write_camvid(tmp_path, num=2)
    damage(data / "test_day" / "00.png")
    (data / "test_day" / "01.png").unlink()
    message = refusal(StreamNotOpened, "camvid", data)
    assert message.startswith(f"--data {data}: none of the 2 images of split test_day can be read; ")


def test_each_use_has_its_own_default_split(tmp_path) -> None:
    data = tmp_path
    for split in ("train", "val", "test_day"):
        write_camvid(data, split=split, num=2)
    assert open_split("camvid", data).name == "test_day"
    assert open_split("camvid", data, is_source=True).name == "train+val"
    assert len(open_split("camvid:val+test_day+val", data).entries) == 6
