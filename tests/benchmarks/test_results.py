import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks import results
from benchmarks.conditions import Percentiles, describe
from benchmarks.results import Result, check_save_name, options_of, publish
from benchmarks.table import Table
from runtime.option_words import ConfigError


@dataclass(frozen=True)
class Options:
    checkpoint: str = "/somewhere/weights.safetensors"
    out: Path = Path("runs/bench")
    seconds: float = 40.0


def make_result():
    table = Table("latency", ("run", "p99 ms"), (("frozen", "81.2"),))
    unknown = Percentiles(float("nan"), float("nan"), float("nan"), 0)
    return Result("latency", describe("cpu", threads=1), options_of(Options()), (table,), data={"frozen": unknown})


def test_absolute_paths_keep_only_what_means_something_elsewhere():
    assert options_of(Options()) == {"checkpoint": "weights.safetensors", "out": "runs/bench", "seconds": 40.0}


def test_json_is_strict_and_complete(tmp_path, capsys):
    publish(make_result(), folder=tmp_path, save=None)
    content = json.loads((tmp_path / "latency.json").read_text())
    assert set(content) == {"schema", "benchmark", "conditions", "options", "data"}
    assert content["data"]["frozen"]["p99"] is None
    assert "wrote" in capsys.readouterr().out


def test_markdown_states_the_conditions():
    text = make_result().markdown()
    assert text.startswith("# latency\n\n### latency\n")
    assert "### Conditions" in text
    assert "seconds 40.0" in text


def test_nothing_is_kept_with_the_code_unless_asked(tmp_path, capsys):
    before = sorted(results.KEPT_DIR.iterdir())
    publish(make_result(), folder=tmp_path, save=None)
    assert sorted(results.KEPT_DIR.iterdir()) == before
    assert str(results.KEPT_DIR) not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["", "../x", "a b", "/x", ".x"])
def test_names_that_are_no_plain_file_names_are_refused(name):
    with pytest.raises(ConfigError, match="--save"):
        check_save_name(name)
