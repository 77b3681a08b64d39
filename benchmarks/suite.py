"""The benchmarks there are, by name, in one dict; `udaseg-runtime bench` lists them.

Each takes its own options (`udaseg-runtime bench NAME --help`), prints tables and writes them with their conditions.
Imports happen when a benchmark is asked for, so that the list comes at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """What is measured, in a line, and the function that measures it: arguments in, exit code out."""

    summary: str
    function: Callable[[Sequence[str]], int]


def quality(arguments: Sequence[str]) -> int:
    """Adapted against frozen, visit by visit, over seeds."""
    from benchmarks.quality import main

    return main(arguments)


def latency(arguments: Sequence[str]) -> int:
    """Live latency while adapting against the frozen model's."""
    from benchmarks.latency import main

    return main(arguments)


def concurrency(arguments: Sequence[str]) -> int:
    """Thread budgets and modes of learning beside prediction."""
    from benchmarks.concurrency import main

    return main(arguments)


def overload(arguments: Sequence[str]) -> int:
    """Age of frames when too many come."""
    from benchmarks.overload import main

    return main(arguments)


def adaptation(arguments: Sequence[str]) -> int:
    """What a learning step costs, in forwards."""
    from benchmarks.adaptation import main

    return main(arguments)


def inference(arguments: Sequence[str]) -> int:
    """Forward passes, ours and Hugging Face's."""
    from benchmarks.inference import main

    return main(arguments)


def render(arguments: Sequence[str]) -> int:
    """How fast streets and weather are drawn."""
    from benchmarks.render import main

    return main(arguments)


def poison(arguments: Sequence[str]) -> int:
    """What is left of the served model after poisoned stretches."""
    from benchmarks.poison import main

    return main(arguments)


def detection(arguments: Sequence[str]) -> int:
    """How shifts are found, by every signal and detector."""
    from benchmarks.detection import main

    return main(arguments)


def search(arguments: Sequence[str]) -> int:
    """Settings for published methods, as many trials for each."""
    from benchmarks.search import main

    return main(arguments)


def soak(arguments: Sequence[str]) -> int:
    """What grows in a long run."""
    from benchmarks.soak import main

    return main(arguments)


BENCHMARKS: dict[str, Entry] = {
    "quality": Entry("mIoU of methods against the frozen model by visit, over seeds, in lockstep", quality),
    "latency": Entry("capture to result of live runs, adapting against frozen, in alternating pairs", latency),
    "concurrency": Entry("latency and learning by thread budget and mode, at 80 % of frozen capacity", concurrency),
    "overload": Entry("age of frames in live runs at three times the capacity, learning on; what gives way", overload),
    "adaptation": Entry("a learning step of each method, in ms and in forwards of the same size", adaptation),
    "poison": Entry("served against frozen on clear weather after noise, frozen pictures, wrong labels, NaN", poison),
    "detection": Entry("delays, misses and false alarms of every detector on every signal", detection),
    "search": Entry("settings of published methods, each tried as often, on short streams of tuning seeds", search),
    "inference": Entry("a forward of each model, against Hugging Face's SegFormer with the same weights", inference),
    "render": Entry("frames per second of the synthetic street and of each weather, on one core", render),
    "soak": Entry("memory, threads, descriptors and latency of a long live run at ten times its rate", soak),
}
