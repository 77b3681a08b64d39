import json

import pytest

from benchmarks.concurrency_runs import WARMUP_FRAMES, capacity_fps, figures, setting_table

FPS = 10.0


def write_run(folder, latencies_ms, *, dropped=(), steps=(), levels=()):
    """Frame i is answered at i / FPS; `steps` are (outcome, ms, at second)."""
    folder.mkdir()
    lines = [
        {"event": "prediction", "frame": index, "t_s": index / FPS, "latency_ms": ms}
        for index, ms in enumerate(latencies_ms)
        if index not in dropped
    ]
    lines += [{"event": "frame_dropped", "frame": index, "reason": "stale"} for index in dropped]
    lines += [{"event": "adaptation_step", "outcome": o, "duration_ms": ms, "t_s": at_s} for o, ms, at_s in steps]
    lines += [{"event": "governor_changed", "level": level} for level in levels]
    (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_capacity_is_the_rate_of_answers_after_the_first_ones(tmp_path):
    late_start = [{"event": "prediction", "t_s": 5.0 * (number >= WARMUP_FRAMES)} for number in range(WARMUP_FRAMES)]
    steady = [{"event": "prediction", "t_s": 10.0 + number / 25} for number in range(30)]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in late_start + steady))
    assert capacity_fps(tmp_path) == pytest.approx(25.0)


def test_figures_leave_out_the_first_seconds_and_what_is_no_whole_step(tmp_path):
    frozen = write_run(tmp_path / "frozen", [900.0] * 20 + [20.0] * 10, dropped=(3,))
    steps = [("applied", 1.0, 0.5), ("applied", 50.0, 2.2), ("refused_guard", 70.0, 2.4), ("relaxed", 9.0, 2.5)]
    adapting = write_run(
        tmp_path / "adapting", [900.0] * 20 + [30.0] * 8 + [120.0] * 2, dropped=(21,), steps=steps, levels=(1, 2, 1)
    )
    row = figures("1+1", [frozen], [adapting], fps=FPS)
    assert (row.frozen.latency_ms.p99, row.frozen.missed, row.frozen.dropped, row.frozen.level) == (20.0, 0.0, 0.0, 0)
    assert (row.adapting.latency_ms.num, row.adapting.max_ms, row.adapting.level) == (9, 120.0, 2)
    assert (row.adapting.missed, row.adapting.dropped) == (pytest.approx(0.3), pytest.approx(0.1))
    assert (row.adapting.steps_per_s, row.adapting.step_ms) == (pytest.approx(2 / 0.9), 60.0)
    assert row.ratios[0][0] == 1.5


def test_the_table_has_two_lines_a_budget_and_the_median_ratio(tmp_path):
    pairs = [
        (write_run(tmp_path / f"f{n}", [10.0] * 30), write_run(tmp_path / f"a{n}", [10.0 * ratio] * 30))
        for n, ratio in enumerate((1.0, 2.0, 1.5))
    ]
    row = figures("gaps", [one for one, _ in pairs], [two for _, two in pairs], fps=FPS)
    table = setting_table("segformer_b0", "256x512", FPS, {1: 12.5, 2: 20.0}, [row], method="tent")
    capacities = "frozen capacity by threads: 12.5 on 1, 20.0 on 2"
    assert table.title == f"segformer_b0 256x512, tent (source-free), at 10 frames/s; {capacities}"
    frozen, adapting = table.rows
    assert (frozen[0], frozen[-1], frozen[7]) == ("gaps frozen", "-", "0.00")
    assert (adapting[0], adapting[-1]) == ("gaps adapting", "1.50")
