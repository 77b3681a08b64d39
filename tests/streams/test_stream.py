"""From words to streams: what opens, and what one line says when nothing does."""

import os

import numpy as np
import pytest

from streams.stream import StreamNotOpened, StreamOptions, UnknownStream, describe_streams, open_stream
from streams.synthetic.sequences import PRESETS
from tests.streams.recorded import make_image, write_camvid, write_image


def refusal(kind, uri: str, **options) -> str:
    """The message with which `open_stream` refuses, which must be one line."""
    with pytest.raises(kind) as caught:
        open_stream(uri, StreamOptions(**options))
    message = str(caught.value)
    assert message.isprintable() and "; " in message
    return message


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_opens_in_the_synthetic_world(name) -> None:
    stream = open_stream(name, StreamOptions(size_HW=(64, 128), fps=5.0, start=2))
    assert (stream.name, stream.fps, stream.cursor) == (name, 5.0, 2)
    assert stream.num_frames == PRESETS[name]().num_frames - 2


def test_a_synthetic_frame_has_the_size_asked_for() -> None:
    frame = next(iter(open_stream("rain_sequence", StreamOptions(size_HW=(64, 128)))))
    assert frame.image_HWC.shape == (64, 128, 3)
    assert frame.label_HW is not None and frame.label_HW.shape == (64, 128)


def test_visits_of_a_synthetic_preset_can_be_short() -> None:
    stream = open_stream("night_sequence", StreamOptions(size_HW=(32, 64), frames_per_visit=2))
    visits = ("day", "dusk", "night", "dusk", "day")
    assert [frame.domain for frame in stream] == [name for name in visits for _ in range(2)]


@pytest.mark.parametrize(
    ("uri", "dataset"), [("rain_sequence", "camvid"), ("dataset:camvid:test_dusk", None), ("some.mp4", None)]
)
def test_a_recording_has_the_length_it_has(uri, dataset) -> None:
    with pytest.raises(UnknownStream, match=r"^--frames-per-visit 2: a recording is as long as it is"):
        open_stream(uri, StreamOptions(dataset=dataset, frames_per_visit=2))


def test_a_preset_renders_its_weather_on_a_data_set(tmp_path) -> None:
    data = write_camvid(tmp_path, num=2, size_HW=(48, 64))
    stream = open_stream("rain_sequence", StreamOptions(dataset="camvid", data=data, size_HW=(24, 32)))
    frames = list(stream)
    assert [frame.index for frame in frames] == list(range(22)) and stream.num_frames == 22
    assert [frame.domain for frame in frames[::2]] == [visit.name for visit in PRESETS["rain_sequence"]().visits]
    assert {frame.image_HWC.shape for frame in frames} == {(24, 32, 3)}
    storm, clear = frames[10], frames[0]
    assert np.array_equal(storm.label_HW, clear.label_HW)
    assert not np.array_equal(storm.image_HWC, clear.image_HWC)


def test_the_split_to_render_on_can_be_named(tmp_path) -> None:
    data = write_camvid(write_camvid(tmp_path, split="test_dusk", num=3), num=2)
    assert open_stream("clear", StreamOptions(dataset="camvid:test_dusk", data=data)).num_frames == 3


def test_a_data_set_plays_as_it_is(tmp_path) -> None:
    data = write_camvid(write_camvid(tmp_path, split="b", num=3), split="a", num=2)
    stream = open_stream("dataset:camvid:a+b", StreamOptions(data=data, fps=2.0))
    assert (stream.name, stream.fps, stream.num_frames) == ("camvid_a+b", 2.0, 5)
    assert [frame.domain for frame in stream] == ["a", "a", "b", "b", "b"]


def test_every_stream_has_its_line() -> None:
    lines = describe_streams()
    for word in (*PRESETS, "camera:N", "dataset:camvid:SPLIT", "DIRECTORY", "VIDEO"):
        assert sum(line.split()[0] == word for line in lines) == 1
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("uri", "near"),
    [("rain_sequenc", "rain_sequence"), ("nigth_sequence", "night_sequence"), ("camera", "camera:N")],
)
def test_an_unknown_name_meets_the_nearest(uri, near) -> None:
    message = refusal(UnknownStream, uri)
    assert message.startswith(f"--stream {uri}: ")
    assert near in message.partition("; nearest: ")[2].split(", ")


@pytest.mark.parametrize("uri", ["", "zzz", "file://film", "clear\n", "cl\x00ear", "x" * 5000])
def test_what_is_no_stream_is_told_in_one_line(uri) -> None:
    assert "expected a preset" in refusal(UnknownStream, uri)


@pytest.mark.parametrize("uri", ["rtsp://user@127.0.0.1:554/live", "zmq://camera", "https://x.org/film.mp4"])
def test_a_stream_from_a_network_is_told_to_be_brought_here(uri) -> None:
    message = refusal(UnknownStream, uri)
    assert message.startswith(f"--stream {uri}: streams from a network are not read (expected a preset, ")
    assert message.endswith("; save it to a video file, or bridge it to a local camera")


@pytest.mark.parametrize("uri", ["no/such/place", "gone.mp4", "gone.PNG"])
def test_a_path_that_is_not_there_cannot_be_opened(uri) -> None:
    assert refusal(StreamNotOpened, uri) == f"--stream {uri}: no such file or directory; check the path"


def test_a_file_that_is_no_video_is_unknown(tmp_path) -> None:
    path = write_image(tmp_path / "a.png", make_image(1))
    assert "give a directory of images" in refusal(UnknownStream, str(path))


def test_an_empty_directory_cannot_be_opened(tmp_path) -> None:
    assert "no images there (expected .bmp" in refusal(StreamNotOpened, str(tmp_path))


def test_a_directory_without_a_readable_image_cannot_be_opened(tmp_path, capfd) -> None:
    for suffix in (".jpg", ".png", ".bmp", ".webp"):
        (tmp_path / f"a{suffix}").write_bytes(b"BM no image")
    assert "none of its 4 images can be read" in refusal(StreamNotOpened, str(tmp_path))
    assert capfd.readouterr().err == ""


def test_an_unreadable_directory_cannot_be_opened(tmp_path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may list every directory")
    tmp_path.chmod(0)
    assert "cannot be listed" in refusal(StreamNotOpened, str(tmp_path))


def test_a_data_set_under_something_that_renders_no_weather_is_refused(tmp_path) -> None:
    message = refusal(UnknownStream, str(tmp_path), dataset="camvid", data=tmp_path)
    assert message.startswith("--dataset camvid: only presets render weather on a data set")
