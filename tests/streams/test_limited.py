"""Limited ends a stream after so many frames and is otherwise that stream."""

import pytest

from streams.limited import Limited
from tests.fakes import make_frame


class Counted:
    """`num` frames (endless with None), noting how many were asked for and whether it was closed."""

    name, fps, is_live, faults = "counted", 12.0, True, {"resized": 1}

    def __init__(self, num: int | None) -> None:
        self.num_frames = num
        self.cursor = 0
        self.times_closed = 0

    def __iter__(self):
        while self.cursor != self.num_frames:
            self.cursor += 1
            yield make_frame(self.cursor - 1)

    def close(self) -> None:
        self.times_closed += 1


@pytest.mark.parametrize(("num", "limit", "expected"), [(10, 3, 3), (3, 10, 3), (3, 3, 3), (0, 1, 0), (None, 1, 1)])
def test_frames_end_at_the_limit_or_with_the_stream(num, limit, expected) -> None:
    stream = Counted(num)
    limited = Limited(stream, max_frames=limit)
    assert limited.num_frames == expected
    assert [frame.index for frame in limited] == list(range(expected))
    assert stream.cursor == limited.cursor == expected  # no frame is asked for and thrown away
    assert stream.times_closed == 1


def test_it_is_the_stream_in_all_other_respects() -> None:
    stream = Counted(5)
    limited = Limited(stream, max_frames=2)
    assert (limited.name, limited.fps, limited.is_live, limited.faults) == ("counted", 12.0, True, {"resized": 1})
    limited.close()
    limited.close()
    assert stream.times_closed == 2


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_of_nothing_is_refused(limit) -> None:
    with pytest.raises(ValueError, match="max_frames must be at least 1"):
        Limited(Counted(1), max_frames=limit)
