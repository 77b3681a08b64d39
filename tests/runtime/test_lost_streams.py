"""A camera that is gone ends its run as an error, and plugged in again it goes on; what is lost of a folder is told."""

import json
from collections.abc import Callable

import pytest

from evaluation.scoreboard import Scoreboard
from runtime.resume import load_run
from runtime.session import run_session
from streams.camera import MAX_QUEUED, Camera
from streams.capture import Capture
from streams.stream import StreamLost, StreamOptions
from tests.fakes import ManualClock
from tests.streams.recorded import damage, make_image, write_image
from tests.streams.scripted import ScriptedDevice


def unplugged_after(num_pictures: int) -> Callable[[str, StreamOptions], Camera]:
    """What opens a camera that is gone after so many."""

    def open_with(_: str, options: StreamOptions) -> Camera:
        device = ScriptedDevice("q" * (MAX_QUEUED + num_pictures), ManualClock())  # by the run's clock none takes long
        return Camera(
            Capture(device.open, size_HW=options.size_HW),
            number=0,
            fps=30.0,
            clock=options.clock,
            wait=lambda _: None,
            start=options.start,
        )

    return open_with


def test_a_camera_that_is_gone_fails_the_run_which_goes_on_with_it_plugged_in(tiny_world, tmp_path) -> None:
    run_dir = tmp_path / "run"
    config = tiny_world.config(stream={"stream": "camera:0", "max_frames": 8}, run={"run_dir": run_dir})
    with pytest.raises(StreamLost, match=r"^--stream camera:0: .*; connect it, and go on with --resume"):
        run_session(config, make_scorer=Scoreboard, finish=lambda _: None, open_with=unplugged_after(6))
    summary = json.loads((run_dir / "summary.json").read_text())
    assert summary["ended"] == "error" and summary["frames"]["captured"] == 6
    assert summary["frames"]["in_flight"] == 0 and list((run_dir / "checkpoints").iterdir())
    going_on = unplugged_after(100)
    run_session(load_run(run_dir), make_scorer=Scoreboard, finish=lambda _: None, open_with=going_on)
    summary = json.loads((run_dir / "summary.json").read_text())
    assert summary["ended"] == "end" and summary["frames"]["captured"] == 8


def test_images_that_cannot_be_read_are_named_in_the_record_and_on_the_terminal(tiny_world, tmp_path, capsys) -> None:
    paths = [write_image(tmp_path / "images" / f"{number}.png", make_image(60 * number)) for number in range(4)]
    for path in (paths[1], paths[3]):
        damage(path)
    run = {"run_dir": tmp_path / "run", "pace": "lockstep", "quiet": False}
    config = tiny_world.config(
        stream={"stream": str(tmp_path / "images")}, replay={"source_data": tiny_world.data}, run=run
    )
    run_session(config, make_scorer=Scoreboard, finish=lambda _: None)
    lines = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    lost = [f"{path}: no image can be read from this file; its frame is left out" for path in (paths[1], paths[3])]
    assert [line["detail"] for line in lines if line["event"] == "fault"] == lost
    assert lines[-1]["event"] == "run_finished" and lines[-1]["stream_faults"] == {"decode_error": 2}
    shown = capsys.readouterr().out
    assert all(f"fault: capture: {line}" in shown for line in lost)
