import pytest

from benchmarks.concurrency import ConcurrencyConfig, capacity_cell, inference_threads, live_cells
from runtime.config_file import load_toml, to_toml
from runtime.option_words import ConfigError


@pytest.fixture
def config(tmp_path):
    return ConcurrencyConfig(sizes="32x64", models="segformer_b0", frames=50, seconds=1.0, out=tmp_path, pairs=2)


def test_frozen_and_adapting_runs_alternate_budget_by_budget_at_the_same_rate(config):
    cells = live_cells(config, "segformer_b0", "32x64", 40.0)
    assert [cell.config.adaptation.method for cell in cells] == ["frozen", "styled"] * 8
    modes = [(cell.config.run.adapt, cell.config.run.threads) for cell in cells[::2]]
    assert modes == [("thread", "1+1"), ("thread", "2+1"), ("thread", "2+2"), ("gaps", None)] * 2
    assert [cell.config.run.seed for cell in cells] == [0] * 8 + [1] * 8
    assert {(cell.config.stream.fps, cell.config.stream.max_frames) for cell in cells} == {(40.0, 50)}
    assert {cell.config.run.pace for cell in cells} == {"live"}


def test_capacity_is_what_the_frozen_model_reaches_in_the_same_settings(config, tmp_path):
    cell = capacity_cell(config, "segformer_b0", "32x64", "2+1")
    assert (cell.config.run.pace, cell.config.run.threads) == ("max", "2+1")
    assert (cell.config.adaptation.method, cell.config.stream.fps) == ("frozen", None)
    (tmp_path / "config.toml").write_text(to_toml(cell.config))
    assert load_toml(tmp_path / "config.toml") == cell.config


def test_in_turn_inference_has_all_cores():
    assert [inference_threads(budget, 2) for budget in ("1+1", "2+1", "gaps", "inline")] == [1, 2, 2, 2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"budgets": "1+1,many"}, "--threads many"),
        ({"method": "frozen"}, "--method frozen: expected a method that learns"),
        ({"load": 1.5}, "--load 1.5: expected above 0, at most 1"),
        ({"seconds": 0.0}, "--seconds 0.0"),
        ({"pairs": 0}, "--pairs 0"),
        ({"frames": 10}, "--frames 10: expected 50 or more"),
        ({"cores": 10_000}, "--cores 10000: expected 1 to"),
        ({"models": "segformer_b9"}, "'segformer_b9' is not known"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_line(options, words):
    with pytest.raises(ConfigError, match=words.replace("+", r"\+")):
        ConcurrencyConfig(**options)
