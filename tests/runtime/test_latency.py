"""How long things take on a simulated clock, by words, and by what an earlier run wrote."""

import json

import pytest

from runtime.latency import Constant, Measured, Recorded, latency_of
from runtime.option_words import ConfigError


def record(folder, rows, *, end=""):
    folder.mkdir()
    (folder / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + end)
    return str(folder)


def answer(inference_ms):
    return {"event": "prediction", "latency_ms": 500.0, "inference_ms": inference_ms}


def step(duration_ms, outcome="applied"):
    return {"event": "adaptation_step", "outcome": outcome, "duration_ms": duration_ms}


def test_words_name_a_latency():
    assert latency_of("60.5+120") == Constant(0.0605, 0.12)
    assert isinstance(latency_of("measured"), Measured)


def test_a_recording_gives_its_times_in_order_and_begins_again(tmp_path):
    rows = [{"event": "run_started"}, answer(50.0), step(100.0), answer(60.0), step(1.0, "relaxed"), step(130.0)]
    found = latency_of(record(tmp_path / "run", rows))
    assert found.shadow_s(9.0) == 9.0
    assert [found.answer_s(9.0) for _ in range(3)] == pytest.approx([0.05, 0.06, 0.05])
    assert [found.shadow_s(9.0) for _ in range(2)] == [0.05, 0.05]
    assert [found.step_s(9.0) for _ in range(3)] == pytest.approx([0.1, 0.13, 0.1])
    assert found.upkeep_s(9.0) == 0.0


def test_what_a_recording_has_no_time_of_takes_as_long_as_here(tmp_path):
    found = latency_of(record(tmp_path / "run", [answer(50.0)]))
    assert found.step_s(0.25) == 0.25 and found.answer_s(0.25) == 0.05
    assert Recorded([], []).answer_s(0.25) == 0.25


def test_half_a_line_at_the_end_is_passed_over(tmp_path):
    found = latency_of(record(tmp_path / "run", [answer(50.0)], end='{"event": "prediction", "infer'))
    assert [found.answer_s(9.0) for _ in range(2)] == [0.05, 0.05]


def test_a_recording_without_an_answer_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"--latency .*run: no answer in its events\.jsonl"):
        latency_of(record(tmp_path / "run", [{"event": "run_started"}]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="expected P\\+S in ms, measured, or the folder of a run"):
        latency_of(str(tmp_path / "empty"))
