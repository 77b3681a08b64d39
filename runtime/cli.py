"""The front door: verbs, exit codes and the one place where exceptions end.

    udaseg-runtime --stream rain_sequence         # `run` is the default verb

A verb is a function of its arguments returning an exit code. Verbs that need more than `runtime` may see (scores,
reports, benchmarks) are handed in by the assembled command, see `benchmarks.cli`.
"""

import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

from runtime.arguments import asks_for_help, print_error
from runtime.option_words import ConfigError, nearest
from streams.protocol import StreamLost, StreamNotOpened, UnknownStream

EXIT_DONE, EXIT_USAGE, EXIT_STREAM, EXIT_MODEL, EXIT_DEVICE, EXIT_DEFECT, EXIT_INTERRUPTED = 0, 2, 3, 4, 5, 70, 130
DEVICE_WORDS = ("CUDA error", "CUDA driver error", "cuDNN error")  # torch has no class for what its libraries report
DEFAULT_VERB = "run"


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: what it does in a line, and the function that does it."""

    summary: str
    function: Callable[[Sequence[str]], int]


def main(arguments: Sequence[str], verbs: Mapping[str, Verb]) -> int:
    """Run the verb the arguments name; every failure becomes one line and its exit code."""
    wants_traceback = "--debug" in arguments
    rest = [argument for argument in arguments if argument != "--debug"]
    try:
        if rest[:1] == ["--version"]:
            print(f"udaseg-runtime {metadata.version('udaseg-runtime')}")
            return EXIT_DONE
        name, rest = _verb(rest, verbs)
        return verbs[name].function(rest)
    except KeyboardInterrupt as interrupt:
        print_error(str(interrupt) or "interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    except Exception as error:
        if wants_traceback:
            traceback.print_exc()
        code = exit_code(error)
        message = " ".join(str(error).split())
        if code == EXIT_DEFECT:
            message = f"a defect of ours, please report it: {type(error).__name__}: {message}; --debug shows where"
        print_error(message)
        return code


def exit_code(error: Exception) -> int:
    """The exit code an exception stands for; anything unforeseen is a defect of ours."""
    match error:
        case ConfigError() | UnknownStream():
            return EXIT_USAGE
        case StreamNotOpened() | StreamLost():
            return EXIT_STREAM
    from torch import AcceleratorError, OutOfMemoryError  # slow, and a mistyped option need not wait for it

    from models.encoder import ModelUnsuitable
    from models.tensorfile import CheckpointInvalid
    from runtime.record import RunFolderExists
    from runtime.web.server import PortBusy

    match error:
        case CheckpointInvalid():
            return EXIT_MODEL
        case ModelUnsuitable() | RunFolderExists() | PortBusy():
            return EXIT_USAGE
        case OutOfMemoryError() | AcceleratorError():
            return EXIT_DEVICE
    return EXIT_DEVICE if any(words in str(error) for words in DEVICE_WORDS) else EXIT_DEFECT


def usage(verbs: Mapping[str, Verb]) -> str:
    """What `udaseg-runtime help` prints."""
    width = max(len(name) for name in verbs)
    lines = [f"  {name:<{width}}  {verb.summary}" for name, verb in verbs.items()]
    hints = ["udaseg-runtime VERB --help lists a verb's options.", "udaseg-runtime --version tells which one this is."]
    return "\n".join(["usage: udaseg-runtime [VERB] [OPTIONS]", "", *lines, "", *hints])


def _verb(arguments: list[str], verbs: Mapping[str, Verb]) -> tuple[str, list[str]]:
    if asks_for_help(arguments[:1]):  # who asks for nothing else has not heard of verbs
        print(usage(verbs), end="\n\n\n")
    if not arguments or arguments[0].startswith("-"):
        return DEFAULT_VERB, arguments
    name, *rest = arguments
    if name not in verbs:
        raise ConfigError(f"{name}: no such verb; {nearest(name, list(verbs))}")
    return name, rest
