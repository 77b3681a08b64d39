"""The front door: verbs are found, and every failure ends as one line with its exit code."""

import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from models.tensorfile import CheckpointInvalid
from runtime.cli import Verb, exit_code, main, usage
from runtime.option_words import ConfigError
from runtime.record import RunFolderExists
from runtime.web.server import PortBusy
from streams.protocol import StreamLost, StreamNotOpened, UnknownStream


def verbs_that(raise_: BaseException | None = None) -> dict[str, Verb]:
    def run(arguments: Sequence[str]) -> int:
        print("ran", *arguments)
        if raise_ is not None:
            raise raise_
        return 0

    return {"run": Verb("the default", run), "report": Verb("another", lambda _: 7)}


@pytest.mark.parametrize(
    ("arguments", "heard"), [([], "ran\n"), (["--seed", "3"], "ran --seed 3\n"), (["run", "--quiet"], "ran --quiet\n")]
)
def test_run_is_the_default_verb(arguments, heard, capsys) -> None:
    assert main(arguments, verbs_that()) == 0
    assert capsys.readouterr().out == heard


@pytest.mark.parametrize("wish", ["--help", "-h"])
def test_help_for_the_program_lists_the_verbs_before_the_default_one_helps(wish, capsys) -> None:
    assert main([wish], verbs_that()) == 0
    assert capsys.readouterr().out == f"{usage(verbs_that())}\n\n\nran {wish}\n"


def test_the_version_is_that_of_the_package(capsys) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert main(["--version"], verbs_that()) == 0
    assert capsys.readouterr().out == f"udaseg-runtime {project['version']}\n"


def test_other_verbs_are_named_first(capsys) -> None:
    assert main(["report", "x"], verbs_that()) == 7
    assert main(["repord"], verbs_that()) == 2
    assert capsys.readouterr().err == "udaseg-runtime: repord: no such verb; nearest: report\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("--x"), 2),
        (UnknownStream("--x"), 2),
        (RunFolderExists("--x"), 2),
        (PortBusy("--x"), 2),
        (StreamNotOpened("--x"), 3),
        (StreamLost("--x"), 3),
        (CheckpointInvalid("--x"), 4),
        (RuntimeError("CUDA error: device lost"), 5),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), 5),
        (torch.AcceleratorError("an illegal memory access was encountered"), 5),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), 5),
        (RuntimeError("something else"), 70),
        (OSError("disk"), 70),
    ],
)
def test_every_error_has_its_exit_code(error, code, capsys) -> None:
    assert exit_code(error) == code
    assert main([], verbs_that(error)) == code
    assert capsys.readouterr().err.startswith("udaseg-runtime: ")


def test_messages_of_several_lines_become_one(capsys) -> None:
    main([], verbs_that(ConfigError("--x\n  is  wrong")))
    assert capsys.readouterr().err == "udaseg-runtime: --x is wrong\n"


def test_a_traceback_is_shown_on_request_only(capsys) -> None:
    assert main([], verbs_that(ZeroDivisionError("division"))) == 70
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and "a defect of ours" in shown and "ZeroDivisionError: division" in shown
    assert main(["--debug", "--seed", "3"], verbs_that(ZeroDivisionError("division"))) == 70
    shown = capsys.readouterr()
    assert "Traceback (most recent call last)" in shown.err and shown.out.splitlines()[-1] == "ran --seed 3"


def test_an_interrupt_ends_with_130(capsys) -> None:
    assert main([], verbs_that(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "udaseg-runtime: interrupted\n"
    assert main([], verbs_that(KeyboardInterrupt("one run was stopped"))) == 130
    assert capsys.readouterr().err == "udaseg-runtime: one run was stopped\n"


def test_usage_lists_every_verb() -> None:
    assert [line.split()[0] for line in usage(verbs_that()).splitlines() if line.startswith("  ")] == ["run", "report"]
