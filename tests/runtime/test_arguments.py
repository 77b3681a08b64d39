"""A command line becomes a configuration, or one line that says what to correct."""

import pytest

from runtime.arguments import parse
from runtime.config import RuntimeConfig
from runtime.config_file import load_toml
from runtime.option_words import ConfigError
from runtime.pretraining.config import PretrainConfig

PROG = "udaseg-runtime"


def read(*arguments):
    return parse(RuntimeConfig, arguments, prog=PROG, bases={"--config": load_toml})


def refusal(*arguments, **options):
    with pytest.raises(ConfigError) as caught:
        if options:
            parse(options["config_type"], arguments, prog=f"{PROG} pretrain")
        else:
            read(*arguments)
    message = str(caught.value)
    assert "\n" not in message and "\u2502" not in message
    return message


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my config.toml"
    path.write_text('[run]\nseed = 7\npace = "max"\n[web]\nweb = false\n')
    return path


def test_no_arguments_are_the_defaults() -> None:
    assert read() == RuntimeConfig()


def test_options_of_all_sections_are_given_by_their_own_name() -> None:
    config = read(
        *("--stream", "camera:0", "--fps", "12.5", "--method=dacs", "--seed", "3", "--no-web", "--quiet"),
        *("--trainable", "head", "--replay-mb", "8", "--max-frames", "5"),
    )
    assert (config.stream.stream, config.stream.fps, config.stream.max_frames) == ("camera:0", 12.5, 5)
    assert (config.adaptation.method, config.run.seed, config.run.quiet, config.web.web) == ("dacs", 3, True, False)
    assert (config.model.trainable, config.replay.replay_mb) == ("head", 8.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metod", "dacs"], "--metod: no such option of udaseg-runtime; nearest: --method"),
        (["--seed=1", "--sed=2"], "--sed=2: no such option of udaseg-runtime; nearest: --seed"),
        (["--confg", "x.toml"], "--confg: no such option of udaseg-runtime; nearest: --config"),
        (["--no-wep"], "--no-wep: no such option of udaseg-runtime"),
        (["rain_sequence"], "rain_sequence: no such option of udaseg-runtime"),
        (["--qqqqqqqq"], "--qqqqqqqq: no such option of udaseg-runtime; see udaseg-runtime --help"),
        (["--seed", "many"], "--seed many: expected a whole number; see udaseg-runtime --help"),
        (["--max-frames", "all"], "--max-frames all: expected a whole number; see udaseg-runtime --help"),
        (["--fps", "fast"], "--fps fast: expected a number; see udaseg-runtime --help"),
        (["--replay-mb", "x"], "--replay-mb x: expected a number; see udaseg-runtime --help"),
        (["--pace", "lokstep"], "--pace lokstep: expected live or lockstep or max; nearest: lockstep"),
        (["--trainable", "heads"], "--trainable heads: expected adapters or adapters+head or full or head or norm; "),
        (["--seed"], "--seed: a value is missing after it; give one or leave the option out"),
        (["--config"], "--config: a TOML file is missing after it; give one or leave the option out"),
        (["--config", "a", "--config=b"], "--config: given twice"),
        (["--config="], "--config .: cannot be read (Is a directory); give a TOML file"),
        (["--fps", "-1"], "--fps -1.0: expected a rate above 0; leave it out for the own rate"),
        (["--port", "70000"], "--port 70000: expected 0 to 65535; 0 picks a free one"),
        (["--size", "3x4"], "--size 3x4: expected HxW with 32 to 8192 pixels each; for example --size 256x512"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(arguments, message) -> None:
    assert refusal(*arguments).startswith(message)


def test_a_file_overlays_defaults_and_options_overlay_the_file(file) -> None:
    for arguments in (["--config", str(file), "--seed", "9"], ["--seed", "9", f"--config={file}"]):
        config = read(*arguments)
        assert (config.run.seed, config.run.pace, config.web.web) == (9, "max", False)


def test_a_bad_file_is_refused_naming_it(file) -> None:
    file.write_text("[run]\nsed = 1\n")
    assert refusal("--config", str(file)) == f"--config {file}: unknown key run.sed; nearest: seed, shadow, threads"


def test_verbs_without_files_do_not_offer_one() -> None:
    message = refusal("--out", "x.safetensors", "--config", "x.toml", config_type=PretrainConfig)
    assert message.startswith("--config: no such option of udaseg-runtime pretrain") and "--config," not in message


def test_a_required_option_is_asked_for() -> None:
    message = refusal(config_type=PretrainConfig)
    assert message.startswith("--out: expected, and missing; add --out PATH, or see udaseg-runtime pretrain --help")


def test_help_goes_to_the_output_and_ends_well(capsys) -> None:
    for wish in ("--help", "-h"):
        with pytest.raises(SystemExit) as stop:
            read(wish)
        assert stop.value.code == 0
        shown = capsys.readouterr()
        assert shown.err == "" and "--config FILE" in shown.out and "--debug" in shown.out


def test_an_option_that_is_a_word_of_python_is_spelled_plainly(capsys) -> None:
    assert read("--with", "mic").adaptation.with_ == read("--with=mic").adaptation.with_ == "mic"
    with pytest.raises(SystemExit):
        read("--help")
    printed = capsys.readouterr().out
    assert "--with " in printed and "with_" not in printed
    assert refusal("--with").count("with_") == 0
