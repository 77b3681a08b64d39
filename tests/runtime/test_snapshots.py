"""How much a run that dies can lose: never more than what was played since the checkpoint interval before."""

import threading

from runtime.build import build
from runtime.checkpoints import newest_checkpoint
from runtime.events import Prediction, SnapshotTaken
from runtime.record import RunRecord
from runtime.saving import Saver
from streams.stream import open_stream
from tests.fakes import ManualClock

PERIOD_S, INTERVAL_S = 0.1, 0.25
NUM_FRAMES = 10


class Ticking:
    """The recording by a clock on which a frame, whatever is done with it, takes one period."""

    def __init__(self, stream, clock) -> None:
        self._stream, self._clock = stream, clock

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def __iter__(self):
        for frame in self._stream:
            yield frame
            self._clock.advance(PERIOD_S)


def test_the_newest_checkpoint_is_never_older_than_the_interval_and_a_frame(tiny_world, tmp_path) -> None:
    clock = ManualClock()
    run = {"pace": "lockstep", "checkpoint_every_s": INTERVAL_S, "shadow": 0.0}
    config = tiny_world.config(stream={"max_frames": NUM_FRAMES}, adaptation={"method": "frozen"}, run=run)
    parts = build(config, clock=clock, open_with=lambda words, options: Ticking(open_stream(words, options), clock))
    record = RunRecord(tmp_path / "run", config_toml="", clock=clock)
    saver = Saver(record, observers={}, stream_faults=dict, clock=clock)
    saved_at_s, ages_s = {0: clock()}, []

    def dispatch(event) -> None:
        if isinstance(event, SnapshotTaken):
            saver.save(event)
            saved_at_s[saver.position.next_frame] = event.at_s
            assert [saved.error for saved in saver.settle(patience_s=60.0)] == [""]
        else:
            saver.position.observe(event)
        if isinstance(event, Prediction):  # dying here, the run would go on from the newest checkpoint
            found = newest_checkpoint(record.path / "checkpoints").checkpoint
            ages_s.append(clock() - saved_at_s[0 if found is None else found.next_frame])

    parts.driver.run(dispatch, threading.Event())
    record.close()
    assert len(ages_s) == NUM_FRAMES and len(saved_at_s) == 4
    assert INTERVAL_S < max(ages_s) <= INTERVAL_S + PERIOD_S + 1e-9
