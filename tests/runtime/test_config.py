"""Settings are checked where they are made, travel through TOML unchanged, and are refused in one line."""

import dataclasses
import tomllib
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.config import (
    AdaptationConfig,
    ConfigError,
    ModelConfig,
    ReplayConfig,
    RunConfig,
    RuntimeConfig,
    StreamConfig,
    WebConfig,
    load_toml,
    nearest,
    parse_size,
    parse_threads,
    to_toml,
)

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
        adapter_reduction=st.integers(1, 64),
        adapter_scale=st.floats(0.001, 10),
        device=st.sampled_from(["auto", "cpu", "cuda"]),
    ),
    adaptation=st.builds(
        AdaptationConfig,
        method=TEXT,
        learning_rate=optional(RATES),
        ema_decay=optional(st.floats(0, 1, exclude_max=True)),
        policy=optional(st.sampled_from(["guarded", "bare"])),
        budget=st.integers(0, 10**6),
    ),
    replay=st.builds(ReplayConfig, source=optional(TEXT), source_data=optional(PATHS), replay_mb=st.floats(0.001, 1e6)),
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


def test_defaults_are_the_documented_run() -> None:
    config = RuntimeConfig()
    assert (config.stream.stream, config.model.model, config.adaptation.method) == (
        "rain_sequence",
        "segformer_b0",
        "styled",
    )
    assert (config.run.pace, config.run.seed, config.web.port, config.web.web) == ("live", 0, 9464, True)
    assert config.model.trainable is None and config.adaptation.policy is None and config.run.shadow is None


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


@pytest.mark.parametrize(
    ("section", "values"),
    [
        (StreamConfig, {"fps": 0.0}),
        (StreamConfig, {"fps": float("nan")}),
        (StreamConfig, {"fps": float("inf")}),
        (StreamConfig, {"max_frames": 0}),
        (StreamConfig, {"rounds": 0}),
        (StreamConfig, {"size": "31x64"}),
        (ModelConfig, {"adapter_reduction": 0}),
        (ModelConfig, {"adapter_reduction": 65}),
        (ModelConfig, {"adapter_scale": 0.0}),
        (ModelConfig, {"adapter_scale": float("inf")}),
        (AdaptationConfig, {"learning_rate": 0.0}),
        (AdaptationConfig, {"learning_rate": float("nan")}),
        (AdaptationConfig, {"ema_decay": 1.0}),
        (AdaptationConfig, {"budget": -1}),
        (ReplayConfig, {"replay_mb": 0.0}),
        (ReplayConfig, {"replay_mb": float("inf")}),
        (RunConfig, {"seed": -1}),
        (RunConfig, {"shadow": 1.1}),
        (RunConfig, {"checkpoint_every_s": 0.0}),
        (RunConfig, {"threads": "2"}),
        (WebConfig, {"port": 65536}),
        (WebConfig, {"port": -1}),
    ],
)
def test_a_value_out_of_range_names_its_option(section, values) -> None:
    (name, value), *_ = values.items()
    with pytest.raises(ConfigError, match=f"^--{name.replace('_', '-')} {value}: expected .+; .+$"):
        section(**values)


@given(st.integers(32, 8192), st.integers(32, 8192))
def test_a_size_is_height_by_width(height, width) -> None:
    assert parse_size(f"{height}x{width}") == (height, width)


@pytest.mark.parametrize("text", ["", "x", "256", "256x", "x512", "31x64", "64x8193", "-64x64", "64X64", "6\u00b2x64",
                                  "\u0663\u0662x64", " 64x64", "64x64\n", "64x64x64", "1e3x64"])  # fmt: skip
def test_other_sizes_are_refused(text) -> None:
    with pytest.raises(ConfigError, match="expected HxW with 32 to 8192 pixels each"):
        parse_size(text)


@given(st.integers(1, 512), st.integers(1, 512))
def test_threads_are_of_prediction_and_learning(inference, learning) -> None:
    assert parse_threads(f"{inference}+{learning}") == (inference, learning)


@pytest.mark.parametrize("text", ["", "+", "1", "1+", "+1", "1+1+1", "0+1", "1+0", "513+1", "1 + 1", "-1+1", "1+1\n",
                                  "1++1", "\u0661+1", "1.5+1", "auto"])  # fmt: skip
def test_other_thread_counts_are_refused(text) -> None:
    with pytest.raises(ConfigError, match=r"expected N\+M with 1 to 512 threads each; for example --threads 1\+1"):
        parse_threads(text)


def test_nearest_falls_back_to_all_there_is() -> None:
    assert nearest("stiled", ["styled", "dacs"]) == "nearest: styled"
    assert nearest("zzz", ["b", "a"]) == "nearest: a, b"
