"""An option that the run would not heed is refused where it was typed, and nowhere else."""

from pathlib import Path

import pytest

from runtime.arguments import parse
from runtime.config import RuntimeConfig
from runtime.config_file import load_toml
from runtime.idle_options import refuse_idle
from runtime.option_words import ConfigError


def ask(*words: str) -> None:
    refuse_idle(parse(RuntimeConfig, words, prog="run", bases={"--config": load_toml}), words)


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        ("--learning-rate 0.1 --method frozen", "--learning-rate 0.1: expected a method that learns; leave it out, or"),
        ("--method frozen --ema_decay=0.5", "--ema-decay 0.5: expected a method that learns"),
        ("--method frozen --budget 3", "--budget 3: expected a method that learns"),
        ("--adapt off --learning-rate 0.1", "--learning-rate 0.1: expected a run that learns; leave it out"),
        ("--adapt off --with mic", "--with mic: expected a run that learns"),
        ("--no-web --port 9000", "--port 9000: expected the page to be served; leave it out, or --no-web"),
        ("--source synthetic --source-data x", "--source-data x: expected a source that is a data set, and it is"),
        ("--source-data x", "--source-data x: expected a source that is a data set, and it is synthetic; leave it out"),
        ("--data x", "--data x: expected a data set to be read there, and neither stream nor source is one"),
        ("--data x --source camvid:train --source-data y", "--data x: expected a data set to be read there"),
    ],
)
def test_an_option_without_effect_is_refused(words, refusal) -> None:
    with pytest.raises(ConfigError) as caught:
        ask(*words.split())
    assert str(caught.value).startswith(refusal)


@pytest.mark.parametrize(
    "words",
    [
        "--learning-rate 0.1 --ema-decay 0.5 --budget 3 --with mic --port 9000",
        "--method frozen --no-web --adapt off",
        "--no-web --web --port 9000",
        "--method stiled --learning-rate 0.1",
        "--dataset camvid --data x",
        "--stream dataset:camvid:test_dusk --data x",
        "--source camvid:train --data x",
        "--source camvid:train --source-data x",
        "--model hf:folder --source-data x",
    ],
)
def test_an_option_with_effect_is_not(words) -> None:
    ask(*words.split())


def test_a_checkpoint_of_a_data_set_is_replayed_from_its_folder(tiny_world) -> None:
    checkpoint = ("--checkpoint", str(tiny_world.checkpoint))
    ask(*checkpoint, "--source-data", "x")
    ask(*checkpoint, "--data", "x")


def test_a_file_of_settings_may_name_what_has_no_effect(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        '[adaptation]\nmethod = "frozen"\nlearning_rate = 0.001\n[replay]\nsource_data = "x"\n'
        '[web]\nport = 9000\nweb = false\n'
    )
    ask("--config", str(path), "--seed", "3")
