"""Settings travel through TOML unchanged, and a wrong file is refused in one line."""

import dataclasses
import tomllib
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.config import (
    AdaptationConfig,
    LibraryConfig,
    ModelConfig,
    ReplayConfig,
    RunConfig,
    RuntimeConfig,
    StreamConfig,
    WebConfig,
)
from runtime.config_file import load_toml, to_toml
from runtime.option_words import ConfigError

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
PATHS = TEXT.map(Path)
SHARES = st.floats(0, 1)
RATES = st.floats(0, 1, exclude_min=True, allow_subnormal=False)


def optional(values):
    return st.none() | values


CONFIGS = st.builds(
    RuntimeConfig,
    stream=st.builds(
        StreamConfig,
        stream=TEXT,
        dataset=optional(TEXT),
        data=optional(PATHS),
        fps=optional(st.floats(0.01, 1000)),
        max_frames=optional(st.integers(1, 10**9)),
        rounds=st.integers(1, 10**6),
        size=optional(st.sampled_from(["32x32", "256x512", "8192x8192"])),
    ),
    model=st.builds(
        ModelConfig,
        model=TEXT,
        checkpoint=optional(TEXT),
        trainable=optional(st.sampled_from(["adapters+head", "adapters", "head", "norm", "full"])),
        adapter=st.just("adaptformer"),
        adapter_stages=st.sampled_from(["1,2,3,4", "3,4", "4"]),
        adapter_reduction=optional(st.integers(1, 64)),
        adapter_scale=st.floats(0.001, 10),
        device=st.sampled_from(["auto", "cpu", "cuda"]),
    ),
    adaptation=st.builds(
        AdaptationConfig,
        method=TEXT,
        with_=st.sampled_from(["", "mic", "tie=0.5,mic"]),
        learning_rate=optional(RATES),
        ema_decay=optional(st.floats(0, 1, exclude_max=True)),
        policy=optional(st.sampled_from(["guarded", "bare"])),
        budget=st.integers(0, 10**6),
    ),
    replay=st.builds(ReplayConfig, source=optional(TEXT), source_data=optional(PATHS), replay_mb=st.floats(0.001, 1e6)),
    library=st.builds(LibraryConfig, library=optional(PATHS), library_mb=st.floats(0, 1e6)),
    run=st.builds(
        RunConfig,
        pace=st.sampled_from(["live", "max", "lockstep"]),
        adapt=st.sampled_from(["thread", "gaps", "inline", "off"]),
        threads=optional(st.sampled_from(["1+1", "2+1", "512+512"])),
        seed=st.integers(0, 2**62),
        shadow=optional(SHARES),
        run_dir=optional(PATHS),
        quiet=st.booleans(),
        checkpoint_every_s=st.floats(0.001, 1e6),
    ),
    web=st.builds(WebConfig, port=st.integers(0, 65535), web=st.booleans()),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("config") / "config.toml"


def load(file, text):
    file.write_text(text, encoding="utf-8")
    return load_toml(file)


def refusal(file, text):
    with pytest.raises(ConfigError) as caught:
        load(file, text)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(f"--config {file}")
    return message.removeprefix(f"--config {file}: ")


@given(CONFIGS)
def test_toml_brings_back_what_was_written(file, config) -> None:
    assert load(file, to_toml(config)) == config


def test_a_windows_path_survives(file) -> None:
    path = Path(str(PureWindowsPath(r"C:\new\temp\u0041\"quoted\"")))
    config = RuntimeConfig(stream=StreamConfig(data=path, stream='say "hi"\t\r\n\x7f'))
    assert tomllib.loads(to_toml(config))["stream"]["data"] == str(path)
    assert load(file, to_toml(config)) == config


def test_a_file_overlays_only_what_it_names(file) -> None:
    config = load(file, '[run]\nseed = 7\n[adaptation]\nlearning_rate = 1\n[stream]\ndata = "here"\n')
    assert config == dataclasses.replace(
        RuntimeConfig(),
        run=RunConfig(seed=7),
        adaptation=AdaptationConfig(learning_rate=1.0),
        stream=StreamConfig(data=Path("here")),
    )
    assert isinstance(config.adaptation.learning_rate, float)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[adaption]\n", "unknown section [adaption]; nearest: adaptation"),
        ("[adaptation]\nlerning_rate = 1e-3\n", "unknown key adaptation.lerning_rate; nearest: learning_rate"),
        ("seed = 3\n", "unknown section [seed]"),
        ("run = 3\n", "run must be a section; write [run]"),
        ('[run]\nseed = "3"\n', "run.seed = '3': expected int; correct the value or delete the line"),
        ("[run]\nseed = 3.5\n", "run.seed = 3.5: expected int"),
        ("[run]\nseed = true\n", "run.seed = True: expected int"),
        ("[run]\nquiet = 1\n", "run.quiet = 1: expected bool"),
        ('[run]\nshadow = "all"\n', "run.shadow = 'all': expected float"),
        ("[run]\nrun_dir = 3\n", "run.run_dir = 3: expected str"),
        ('[run]\npace = "fast"\n', "run.pace = 'fast': expected one of live, max, lockstep"),
        ("[run]\npace = [1]\n", "run.pace = [1]: expected one of"),
        ("[stream]\nstream = []\n", "stream.stream = []: expected str"),
        ("[run\n", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(file, text, expected) -> None:
    assert refusal(file, text).startswith(expected)


def test_unreadable_files_are_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"):
        load_toml(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"[run]\n# caf\xe9\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_toml(tmp_path / "latin.toml")
