"""Settings are checked where they are made and refused in one line."""

import os
from pathlib import Path

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
from runtime.option_words import (
    ConfigError,
    nearest,
    option_of,
    parse_components,
    parse_size,
    parse_stages,
    parse_threads,
)


def test_defaults_are_the_documented_run() -> None:
    config = RuntimeConfig()
    assert (config.stream.stream, config.model.source, config.adaptation.method) == (
        "rain_sequence",
        "segformer_b0_synthetic",
        "styled",
    )
    assert ModelConfig(model="segformer_b1").source == "segformer_b1_synthetic"
    assert ModelConfig(model="segformer_b1", checkpoint="mine.safetensors").source == "mine.safetensors"
    assert (config.run.pace, config.run.seed, config.web.port, config.web.web) == ("live", 0, 9464, True)
    assert config.model.trainable is None and config.adaptation.policy is None and config.run.shadow is None


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
        (ModelConfig, {"adapter_rank": 4}),
        (ModelConfig, {"adapter_reduction": 4, "adapter": "lora"}),
        (ModelConfig, {"adapter_rank": 65, "adapter": "lora"}),
        (ModelConfig, {"adapter_scale": 0.0}),
        (ModelConfig, {"adapter_scale": float("inf")}),
        (AdaptationConfig, {"learning_rate": 0.0}),
        (AdaptationConfig, {"learning_rate": float("nan")}),
        (AdaptationConfig, {"ema_decay": 1.0}),
        (AdaptationConfig, {"budget": -1}),
        (ReplayConfig, {"replay_mb": 0.0}),
        (ReplayConfig, {"replay_mb": float("inf")}),
        (LibraryConfig, {"library_mb": -1.0}),
        (LibraryConfig, {"library_mb": float("nan")}),
        (RunConfig, {"seed": -1}),
        (RunConfig, {"seed": 2**63}),
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


@pytest.mark.parametrize(
    ("option", "sections"),
    [
        ("--stream", {"stream": StreamConfig(stream=os.fsdecode(b"caf\xe9/in"))}),
        ("--library", {"library": LibraryConfig(library=Path(os.fsdecode(b"caf\xe9/in")))}),
        ("--run-dir", {"run": RunConfig(run_dir=Path(os.fsdecode(b"caf\xe9/in")))}),
    ],
)
def test_a_path_that_no_file_of_settings_could_hold_is_refused(option, sections) -> None:
    with pytest.raises(ConfigError, match=f"^{option} caf\udce9/in: expected a path in UTF-8; rename what it names$"):
        RuntimeConfig(**sections)
    RuntimeConfig(stream=StreamConfig(stream="caf\u00e9/\U0001f697"))


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


def test_stages_are_some_of_four() -> None:
    assert parse_stages("3,4") == (3, 4)
    assert parse_stages("1,2,3,4") == (1, 2, 3, 4)


@pytest.mark.parametrize("text", ["", ",", "0", "5", "3,", "3,3", "3-4", " 3", "3,\u0664", "34"])
def test_other_stages_are_refused(text) -> None:
    with pytest.raises(ConfigError, match="expected some of 1,2,3,4; for example --adapter-stages 3,4"):
        ModelConfig(adapter_stages=text)


def test_unknown_adapters_are_named_with_their_nearest() -> None:
    with pytest.raises(ConfigError, match="--adapter lorra: no such adapters; nearest: lora"):
        ModelConfig(adapter="lorra")


def test_components_carry_their_own_weight_or_the_one_given() -> None:
    assert parse_components("") == {}
    assert parse_components("tie=0.5,mic") == {"tie": 0.5, "mic": None}
    assert parse_components("a-b2=0,c=1e-3") == {"a-b2": 0.0, "c": 0.001}


@pytest.mark.parametrize("text", [",", "mic,", "mic=", "mic=-1", "mic=nan", "mic=1,mic", "Mic", " mic", "mic=\u0661",
                                  "mic\n", "mic tie", "=1"])  # fmt: skip
def test_other_lists_of_components_are_refused(text) -> None:
    with pytest.raises(ConfigError, match=r"(?s)^--with .*: expected components by commas, .+; for example"):
        AdaptationConfig(with_=text)


def test_a_run_is_named_after_method_and_components() -> None:
    assert AdaptationConfig(method="dacs").title == "dacs"
    assert AdaptationConfig(method="dacs", with_="mic,tie=0.5").title == "dacs+mic+tie=0.5"


def test_an_option_is_its_field_with_dashes() -> None:
    assert (option_of("run_dir"), option_of("with_")) == ("--run-dir", "--with")
