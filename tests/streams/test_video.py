"""Video files: colours, rates, torn frames, and files that are none."""

import os
from pathlib import Path

import numpy as np
import pytest

from streams.stream import StreamNotOpened, StreamOptions, open_stream
from tests.fakes import ManualClock
from tests.streams.recorded import damage, write_video


def tear_frame(path: Path, number: int) -> None:
    """Overwrite one Motion JPEG picture of an AVI file with zeros."""
    data = bytearray(path.read_bytes())
    start = -1
    for _ in range(number + 1):
        start = data.find(b"\xff\xd8", start + 1)
    end = data.find(b"\xff\xd8", start + 1) - 8
    data[start:end] = bytes(end - start)
    path.write_bytes(data)


def test_frames_are_rgb_in_order_at_the_files_rate(tmp_path) -> None:
    stream = open_stream(str(write_video(tmp_path / "v.avi")), StreamOptions(clock=ManualClock(3.0)))
    assert (stream.name, stream.fps, stream.num_frames, stream.is_live) == ("v", 10.0, 12, False)
    frames = list(stream)
    assert [frame.index for frame in frames] == list(range(12))
    assert {frame.captured_at_s for frame in frames} == {3.0}
    reds = [int(frame.image_HWC[..., 0].mean()) for frame in frames]
    assert np.abs(np.array(reds) - 20 * np.arange(12)).max() <= 8
    assert stream.faults == {}


def test_size_and_rate_can_be_asked_for(tmp_path) -> None:
    stream = open_stream(str(write_video(tmp_path / "v.avi")), StreamOptions(size_HW=(24, 32), fps=4.0))
    assert stream.fps == 4.0
    assert next(iter(stream)).image_HWC.shape == (24, 32, 3)


@pytest.mark.parametrize("name", ["2024-01-01T12:30:00.avi", "cam:1.avi", "file:v.avi"])
def test_a_name_with_a_colon_is_that_of_a_file(tmp_path, monkeypatch, name) -> None:
    monkeypatch.chdir(write_video(tmp_path / name).parent)
    assert len(list(open_stream(name))) == 12


def test_a_torn_frame_leaves_a_gap(tmp_path) -> None:
    path = write_video(tmp_path / "v.avi")
    tear_frame(path, 5)
    stream = open_stream(str(path))
    assert [frame.index for frame in stream] == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    assert stream.faults == {"decode_error": 1}


def test_a_file_cut_short_says_how_much_is_missing(tmp_path) -> None:
    stream = open_stream(str(damage(write_video(tmp_path / "v.avi", num=60))))
    num_played = len(list(stream))
    assert 0 < num_played < 60
    assert stream.faults == {"truncated": 60 - num_played}


def test_start_goes_on_at_an_index(tmp_path) -> None:
    stream = open_stream(str(write_video(tmp_path / "v.avi")), StreamOptions(start=9))
    assert (stream.cursor, stream.num_frames) == (9, 3)
    frames = list(stream)
    assert [frame.index for frame in frames] == [9, 10, 11]
    assert abs(frames[0].image_HWC[..., 0].mean() - 180) <= 8


def test_closing_ends_the_iteration(tmp_path) -> None:
    stream = open_stream(str(write_video(tmp_path / "v.avi")))
    frames = iter(stream)
    next(frames)
    stream.close()
    stream.close()
    assert list(frames) == []
    assert stream.faults == {}


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100])
def test_what_holds_no_picture_is_told_in_one_line(tmp_path, capfd, content) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(content)
    with pytest.raises(StreamNotOpened, match="no picture can be read") as caught:
        open_stream(str(path))
    assert str(caught.value).isprintable()
    assert capfd.readouterr().err == ""


def test_real_road_video() -> None:
    if not (shared := os.environ.get("UDASEG_SHARED_DATA")):
        pytest.skip("UDASEG_SHARED_DATA names no folder with video/solidWhiteRight.mp4")
    stream = open_stream(str(Path(shared) / "video" / "solidWhiteRight.mp4"), StreamOptions(size_HW=(135, 240)))
    assert (stream.fps, stream.num_frames) == (25.0, 221)
    frame = next(iter(stream))
    stream.close()
    sky_HWC = frame.image_HWC[:30].astype(int)
    assert sky_HWC[..., 2].mean() > sky_HWC[..., 0].mean()  # blue above red: the channels are in order
