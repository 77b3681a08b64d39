"""What a user sees while a model trains: a bar with the time left on a terminal, plain lines elsewhere.

with open_progress(num_steps, console) as progress:
    progress.advance(step, loss=0.7, learning_rate=1e-3)
    progress.note("step 1000: 52.1 mIoU")
"""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_EVERY_S = 15.0


class TrainingProgress(Protocol):
    """Told of steps and of milestones; both return nothing."""

    def advance(self, num_steps_done: int, *, loss: float, learning_rate: float) -> None: ...

    def note(self, text: str) -> None: ...


class PlainProgress:
    """A line now and then, with the rate since this process began and the time left at that rate."""

    def __init__(
        self, num_steps: int, *, first_step: int, write: Callable[[str], None], clock: Callable[[], float]
    ) -> None:
        self._num_steps = num_steps
        self._first_step = first_step
        self._write = write
        self._clock = clock
        self._began_at_s = clock()
        self._wrote_at_s = self._began_at_s

    def advance(self, num_steps_done: int, *, loss: float, learning_rate: float) -> None:
        now_s = self._clock()
        if now_s - self._wrote_at_s < LINE_EVERY_S and num_steps_done < self._num_steps:
            return
        self._wrote_at_s = now_s
        step_s = (now_s - self._began_at_s) / max(1, num_steps_done - self._first_step)
        left = clock_time(step_s * (self._num_steps - num_steps_done))
        self._write(
            f"step {num_steps_done}/{self._num_steps}  loss {loss:.3f}  lr {learning_rate:.1e}  "
            f"{step_s * 1e3:.0f} ms/step  left {left}"
        )

    def note(self, text: str) -> None:
        self._write(text)


class BarProgress:
    """A rich progress bar; notes scroll above it."""

    def __init__(self, bar: Progress, num_steps: int, *, first_step: int) -> None:
        self._bar = bar
        self._task = bar.add_task("training", total=num_steps, completed=first_step, loss="", rate="")

    def advance(self, num_steps_done: int, *, loss: float, learning_rate: float) -> None:
        self._bar.update(self._task, completed=num_steps_done, loss=f"loss {loss:.3f}", rate=f"lr {learning_rate:.1e}")

    def note(self, text: str) -> None:
        self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True)


@contextlib.contextmanager
def open_progress(
    num_steps: int, *, first_step: int, console: Console, clock: Callable[[], float] = time.monotonic
) -> Iterator[TrainingProgress]:
    """A bar where the console is a terminal, plain lines where it is not."""
    if not console.is_terminal:
        write = functools.partial(console.print, highlight=False, markup=False, soft_wrap=True)
        yield PlainProgress(num_steps, first_step=first_step, write=write, clock=clock)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        yield BarProgress(bar, num_steps, first_step=first_step)


def clock_time(seconds: float) -> str:
    """Hours, minutes and seconds as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
