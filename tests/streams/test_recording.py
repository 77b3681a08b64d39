"""A directory of images as a stream: order, sizes, damage, closing."""

import os

import numpy as np
import pytest

from streams.directory import list_images, natural_key
from streams.recording import MAX_TOLD
from streams.stream import StreamOptions, open_stream
from tests.fakes import ManualClock
from tests.streams.recorded import damage, make_image, write_image


def write_images(directory, numbers=range(4)):
    return [write_image(directory / f"img{number}.png", make_image(number)) for number in numbers]


def test_images_come_in_the_order_of_their_numbers(tmp_path) -> None:
    write_images(tmp_path, (10, 2, 1, 33))
    assert [frame.image_HWC[0, 0, 0] for frame in open_stream(str(tmp_path))] == [1, 2, 10, 33]


def test_natural_order() -> None:
    names = ["b1", "a10", "a9", "a009", "A1b2", "a1b10"]
    assert sorted(names, key=natural_key) == ["A1b2", "a1b10", "a009", "a9", "a10", "b1"]


def test_other_files_and_folders_are_no_frames(tmp_path) -> None:
    write_images(tmp_path, (1,))
    (tmp_path / "notes.txt").write_text("rain from the left")
    (tmp_path / "more.png").mkdir()
    assert len(list_images(tmp_path)) == 1


def test_a_frame_says_when_it_was_read_and_nothing_of_labels(tmp_path) -> None:
    write_images(tmp_path, (1,))
    stream = open_stream(str(tmp_path), StreamOptions(clock=ManualClock(7.0)))
    (frame,) = stream
    assert (frame.index, frame.captured_at_s, frame.label_HW, frame.domain) == (0, 7.0, None, None)
    assert stream.faults == {}


def test_a_damaged_image_costs_its_own_frame(tmp_path) -> None:
    damage(write_images(tmp_path)[1])
    stream = open_stream(str(tmp_path))
    assert stream.num_frames == 4
    assert [frame.index for frame in stream] == [0, 2, 3]
    assert stream.faults == {"decode_error": 1}


def test_damaged_images_are_told_by_name_each_once(tmp_path) -> None:
    damaged = [damage(path) for path in write_images(tmp_path)[1:3]]
    told: list[str] = []
    list(open_stream(str(tmp_path), StreamOptions(rounds=3, tell=told.append)))
    assert told == [f"{path}: no image can be read from this file; its frame is left out" for path in damaged]


def test_of_many_damaged_images_the_first_are_told(tmp_path) -> None:
    for path in write_images(tmp_path, range(MAX_TOLD + 5))[1:]:
        damage(path)
    told: list[str] = []
    list(open_stream(str(tmp_path), StreamOptions(tell=told.append)))
    assert len(told) == MAX_TOLD + 1
    assert told[MAX_TOLD] == "more files are damaged; from now on they are only counted"


def test_the_first_readable_image_sets_the_size(tmp_path) -> None:
    damage(write_image(tmp_path / "0.png", make_image(0, size_HW=(10, 10))))
    write_image(tmp_path / "1.png", make_image(1, size_HW=(24, 32)))
    write_image(tmp_path / "2.png", make_image(2, size_HW=(48, 60)))
    stream = open_stream(str(tmp_path))
    assert [frame.image_HWC.shape for frame in stream] == [(24, 32, 3), (24, 32, 3)]
    assert stream.faults == {"decode_error": 1, "resized": 1}


def test_asked_for_a_size_all_frames_have_it_and_nothing_is_at_fault(tmp_path) -> None:
    write_images(tmp_path)
    stream = open_stream(str(tmp_path), StreamOptions(size_HW=(12, 20)))
    assert {frame.image_HWC.shape for frame in stream} == {(12, 20, 3)}
    assert stream.faults == {}


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".webp", ".JPEG"])
def test_every_suffix_is_read(tmp_path, suffix) -> None:
    write_image(tmp_path / f"a{suffix}", make_image(120))
    (frame,) = open_stream(str(tmp_path))
    assert np.abs(frame.image_HWC.astype(int) - make_image(120)).max() <= 8


def test_grey_images_become_rgb(tmp_path) -> None:
    write_image(tmp_path / "grey.png", np.full((4, 5), 77, np.uint8)[..., None])
    (frame,) = open_stream(str(tmp_path))
    assert frame.image_HWC.tolist() == [[[77] * 3] * 5] * 4


def test_start_goes_on_at_an_index(tmp_path) -> None:
    write_images(tmp_path)
    stream = open_stream(str(tmp_path), StreamOptions(start=2))
    assert (stream.cursor, stream.num_frames) == (2, 2)
    assert [(frame.index, frame.image_HWC[0, 0, 0]) for frame in stream] == [(2, 2), (3, 3)]


def test_closing_ends_the_iteration(tmp_path) -> None:
    write_images(tmp_path)
    stream = open_stream(str(tmp_path))
    frames = iter(stream)
    next(frames)
    stream.close()
    stream.close()
    assert list(frames) == []
    assert stream.cursor == 1


def test_the_name_is_text_where_the_folder_s_is_none(tmp_path, monkeypatch) -> None:
    write_images(tmp_path / "cafe")
    monkeypatch.chdir((tmp_path / "cafe").rename(tmp_path / os.fsdecode(b"caf\xe9")))
    assert open_stream(".").name == "caf?"
