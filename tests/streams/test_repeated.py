"""Repeated plays a stream several times: indices run on, everything else returns."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from streams.protocol import UnknownStream
from streams.repeated import Repeated
from streams.stream import StreamOptions, open_stream
from tests.fakes import make_frame
from tests.streams.recorded import make_image, write_camvid, write_image, write_video


class Short:
    """`num` frames in two domains from `start` on; frame `lost` cannot be read."""

    name, fps, is_live = "short", 12.0, False

    def __init__(self, start: int, *, num: int | None = 5, promised: int | None = 5, lost: int = 3) -> None:
        self.num_frames = None if promised is None else promised - start
        self.cursor, self._num, self._lost = start, num, lost
        self.faults: Counter[str] = Counter()
        self.is_closed = False

    def __iter__(self):
        while not self.is_closed and self.cursor != self._num:
            index, self.cursor = self.cursor, self.cursor + 1
            if index == self._lost:
                self.faults["decode_error"] += 1
            else:
                yield replace(make_frame(index), domain=f"domain_{index // 3}")

    def close(self) -> None:
        self.is_closed = True


def test_rounds_follow_one_another_and_nothing_but_the_index_is_new() -> None:
    opened = []

    def open_round(start):
        opened.append(Short(start))
        return opened[-1]

    stream = Repeated(open_round, rounds=3)
    assert (stream.name, stream.fps, stream.is_live, stream.num_frames, stream.cursor) == ("short", 12.0, False, 15, 0)
    frames = list(stream)
    assert [frame.index for frame in frames] == [5 * number + index for number in range(3) for index in (0, 1, 2, 4)]
    assert [frame.domain for frame in frames] == ["domain_0", "domain_0", "domain_0", "domain_1"] * 3
    assert all((a.image_HWC == b.image_HWC).all() for a, b in zip(frames[:4], frames[8:], strict=True))
    assert stream.faults == {"decode_error": 3} and stream.cursor == 15
    assert len(opened) == 3 and all(one.is_closed for one in opened)


@pytest.mark.parametrize("start", [0, 2, 5, 9, 14, 15, 40])
def test_start_lands_in_the_right_round(start) -> None:
    whole = [frame.index for frame in Repeated(Short, rounds=3)]
    stream = Repeated(Short, rounds=3, start=start)
    assert (stream.num_frames, stream.cursor) == (max(15 - start, 0), start)
    assert [frame.index for frame in stream] == [index for index in whole if index >= start]


def test_more_frames_than_promised_do_not_run_into_the_next_round() -> None:
    stream = Repeated(lambda start: Short(start, num=7, promised=5, lost=-1), rounds=2)
    assert [frame.index for frame in stream] == list(range(10))


def test_fewer_frames_than_promised_leave_a_gap() -> None:
    stream = Repeated(lambda start: Short(start, num=4, promised=5, lost=-1), rounds=2)
    assert [frame.index for frame in stream] == [0, 1, 2, 3, 5, 6, 7, 8]


@pytest.mark.parametrize("at", [0, 4, 6])
def test_close_ends_it_in_any_round(at) -> None:
    stream = Repeated(Short, rounds=3)
    seen = []
    for frame in stream:
        seen.append(frame.index)
        if frame.index >= at:
            stream.close()
    assert seen[-1] == max(index for index in seen) < at + 2
    stream.close()
    assert list(stream) == []


def test_a_round_opened_while_the_stream_is_closed_is_closed_too() -> None:
    opened = []

    def open_round(start):
        opened.append(Short(start))
        if len(opened) == 2:
            stream.close()  # as from another thread, while the next round is being opened
        return opened[-1]

    stream = Repeated(open_round, rounds=3)
    assert [frame.index for frame in stream] == [0, 1, 2, 4]
    assert len(opened) == 2 and opened[-1].is_closed


def test_faults_are_counted_once_while_the_next_round_is_being_opened() -> None:
    opened, counted = [], []

    def open_round(start):
        if opened:
            counted.append(stream.faults)  # as from another thread
        opened.append(Short(start))
        return opened[-1]

    stream = Repeated(open_round, rounds=3)
    assert len(list(stream)) == 12
    assert counted == [{"decode_error": 1}, {"decode_error": 2}]


def test_what_has_no_end_is_not_repeated() -> None:
    endless = Short(0, promised=None)
    with pytest.raises(UnknownStream, match=r"^--rounds 2: short has no known end to begin again after \(.*; leave"):
        Repeated(lambda _: endless, rounds=2)
    assert endless.is_closed
    camera = Short(0)
    camera.is_live = True
    with pytest.raises(UnknownStream, match="--rounds 2: short has no known end"):
        Repeated(lambda _: camera, rounds=2)


def test_rounds_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="rounds must be at least 1"):
        Repeated(Short, rounds=0)


def test_presets_recordings_and_videos_are_repeated_as_users_name_them(tmp_path) -> None:
    data = write_camvid(tmp_path, num=2)
    sources = {
        "clear": StreamOptions(size_HW=(32, 64), rounds=2, start=399),
        "dataset:camvid:test_day": StreamOptions(data=data, rounds=3, start=1),
        str(write_video(tmp_path / "v.avi")): StreamOptions(rounds=2, start=7),
        str(write_image(tmp_path / "images" / "a.png", make_image(1)).parent): StreamOptions(rounds=4),
    }
    found = {}
    for uri, options in sources.items():
        stream = open_stream(uri, options)
        frames = [frame for frame, _ in zip(stream, range(18), strict=False)]
        found[uri] = [frame.index for frame in frames]
        stream.close()
    expected = [list(range(399, 417)), list(range(1, 6)), list(range(7, 24)), list(range(4))]
    assert list(found.values()) == expected


def test_weather_over_a_data_set_is_repeated_too(tmp_path) -> None:
    options = StreamOptions(dataset="camvid", data=write_camvid(tmp_path, num=2), rounds=2)
    frames = list(open_stream("rain_sequence", options))
    assert [frame.index for frame in frames] == list(range(44))
    assert [frame.domain for frame in frames[:22]] == [frame.domain for frame in frames[22:]]
    assert np.array_equal(frames[10].image_HWC, frames[32].image_HWC)
