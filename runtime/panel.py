"""The run in the terminal: a live panel, plain lines where nobody can redraw, and the table at the end.

    panel = open_panel(status, console=Console(), url=url, is_quiet=False)
    panel.observe(event)         # every event
    panel.close()
    render_summary(summary, console, run_dir=path)

Reads a status; draws on a thread of its own, never on the one that observes.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Protocol  # Any: JSON of the summary

from rich import box
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from runtime import events
from runtime.observer import Event
from runtime.panel_view import gain_text, plain_line, render_panel
from runtime.status import Status

REDRAWS_PER_S = 4
PLAIN_EVERY_S = 5.0
MAX_SHIFTS_SHOWN = 8


class TerminalPanel(Protocol):
    """An observer that may hold the terminal until closed; `close` may be called twice."""

    def observe(self, event: Event) -> None: ...

    def close(self) -> None: ...


class Terminal(Console):
    """A console that says so when nobody reads it any more, as in `| head`; rich's own would exit with 1.

    One that cannot be written (a full disk, a terminal that was closed) is no reason to end a run: `on_fault` is told
    once, on the thread that wrote, and what is printed from then on goes nowhere, `print` and the flush at the end too.
    """

    def __init__(self, *, on_fault: Callable[[str], None], file: IO[str] | None = None) -> None:
        super().__init__(file=file)
        self._on_fault = on_fault

    def on_broken_pipe(self) -> None:
        """Called while a BrokenPipeError is handled; the front door ends the run for it."""
        raise BrokenPipeError("nobody reads the output any more")

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:  # any, as rich has it
        """Everything rich writes, from whatever thread, is written here."""
        try:
            super().__exit__(exc_type, exc_value, traceback)
        except BrokenPipeError:
            raise
        except OSError as error:
            self._on_fault(f"the output cannot be written ({error.strerror or error}); nothing more is printed")
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self.file.fileno())


def open_panel(status: Status, *, console: Console, url: str | None, is_quiet: bool) -> TerminalPanel:
    """The fitting one: silent, live on a terminal, plain lines elsewhere. `status` must observe events first."""
    if is_quiet:
        return SilentPanel()
    if console.is_terminal:
        return LivePanel(status, console=console, url=url)
    return PlainPanel(status, console=console, url=url)


class SilentPanel:
    """Says nothing."""

    def observe(self, event: Event) -> None:
        """Ignore the event."""

    def close(self) -> None:
        """Nothing is held."""


class PlainPanel:
    """A line every few seconds, and one for every shift, rollback and fault."""

    def __init__(
        self,
        status: Status,
        *,
        console: Console,
        url: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._status = status
        self._console = console
        self._url = url
        self._clock = clock
        self._printed_at_s = clock()

    def observe(self, event: Event) -> None:
        """Print what deserves a line."""
        match event:
            case events.RunStarted():
                self._print(_started_text(event, self._url))
            case events.Prediction() if self._clock() - self._printed_at_s >= PLAIN_EVERY_S:
                self._printed_at_s = self._clock()
                self._print(plain_line(self._status.snapshot()))
        if (notice := _notice(event)) is not None:
            self._print(notice)

    def close(self) -> None:
        """Nothing is held."""

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class LivePanel:
    """A panel redrawn in place, with notices of shifts, rollbacks and faults scrolling above it."""

    def __init__(self, status: Status, *, console: Console, url: str | None = None) -> None:
        self._status = status
        self._console = console
        self._url = url
        self._live = Live(
            get_renderable=self._render, console=console, refresh_per_second=REDRAWS_PER_S, transient=True
        )

    def observe(self, event: Event) -> None:
        """Start with the run, end with it, pass notices on."""
        match event:
            case events.RunStarted():
                self._live.start()
            case events.RunFinished():
                self.close()
        if (notice := _notice(event)) is not None:
            self._console.print(Text(notice, style="dim"))

    def close(self) -> None:
        """Give the terminal back."""
        self._live.stop()

    def _render(self) -> RenderableType:
        return render_panel(self._status.snapshot(), url=self._url)


def render_summary(summary: dict[str, Any], console: Console, *, run_dir: Path | None = None) -> None:
    """The table a run ends with, from the contents of `summary.json`."""
    quality = summary["quality"]
    console.print()
    if quality is not None:
        console.print(_visit_table(quality))
    else:
        console.print(f"no labels in this stream; mean confidence {_cell(summary['health']['confidence'], 3)}")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", justify="right")
    grid.add_column()
    latency, inference = summary["latency_ms"]["capture_to_result"], summary["latency_ms"]["inference"]
    percentiles = "   ".join(f"{name} {_cell(latency[name])}" for name in ("p50", "p95", "p99", "max"))
    grid.add_row("latency", f"{percentiles} ms")
    grid.add_row("inference", f"p50 {_cell(inference['p50'])} ms")
    grid.add_row("frames", _frames_text(summary))
    grid.add_row("learning", _learning_text(summary["adaptation"]))
    grid.add_row("shifts", _shifts_text(summary["shifts"]))
    if summary["faults"]:
        grid.add_row("faults", ", ".join(f"{number} {component}" for component, number in summary["faults"].items()))
    if run_dir is not None:
        grid.add_row("run folder", Text(str(run_dir), overflow="fold"))
    console.print(grid)


def _visit_table(quality: dict[str, Any]) -> Table:
    """A live run compares the frames the frozen model was asked for too; figures are over those."""
    title = "mIoU by domain visit"
    if quality["miou_frozen"] is not None:
        title += ", on the frames both models answered (compared)"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("domain")
    for column in ("frames", "compared", "frozen", "adapted", "difference"):
        table.add_column(column, justify="right")
    for visit in quality["domains"]:
        counts = str(visit["frames"]), str(visit["compared"])
        table.add_row(visit["name"], *counts, *_pair(visit["miou_frozen"], visit["miou"]))
    table.add_section()
    are_compared = [visit["miou_frozen"] is not None for visit in quality["domains"]]
    num_visits, num_compared = len(are_compared), sum(are_compared)
    over = f"{num_compared} of {num_visits} visits" if 0 < num_compared < num_visits else ""
    table.add_row("harmonic mean", "", over, *_pair(quality["hmean_frozen"], quality["hmean"]), style="bold")
    return table


def _pair(frozen: float | None, adapted: float | None) -> tuple[str, str, Text]:
    gain = Text("-") if frozen is None or adapted is None else gain_text(adapted - frozen)
    return _cell(frozen), _cell(adapted), gain


def _frames_text(summary: dict[str, Any]) -> str:
    frames, fps = summary["frames"], summary["fps"]
    reasons = ", ".join(f"{number} {reason}" for reason, number in frames["dropped"].items()) or "none"
    faults = ", ".join(f"{number} {reason}" for reason, number in frames["stream_faults"].items())
    unusable = f"   unusable: {faults}" if faults else ""
    counts = f"{frames['captured']} captured   {frames['predicted']} predicted   dropped: {reasons}"
    return f"{counts}{unusable}   {_cell(fps['end_to_end'])} fps"


def _learning_text(adaptation: dict[str, Any]) -> str:
    if adaptation["step_ms"]["p50"] is None:
        return f"no steps   version {adaptation['last_version']}"
    duty = adaptation["duty"]
    return (
        f"{adaptation['steps_applied']} steps   {adaptation['steps_refused']} refused   "
        f"{adaptation['rollbacks']} rollbacks   p50 {_cell(adaptation['step_ms']['p50'])} ms   "
        f"busy {_cell(None if duty is None else 100 * duty, 0)} %   version {adaptation['last_version']}"
    )


def _shifts_text(shifts: list[dict[str, Any]]) -> str:
    if not shifts:
        return "none detected"
    shown = ", ".join(f"{shift['kind']} at {shift['frame']}" for shift in shifts[:MAX_SHIFTS_SHOWN])
    more = len(shifts) - MAX_SHIFTS_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _cell(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _started_text(event: events.RunStarted, url: str | None) -> str:
    where = f"  page {url}" if url else ""
    return f"{event.stream}  {event.method}  {event.model}  {event.device}  {event.pace}{where}"


def _notice(event: Event) -> str | None:
    match event:
        case events.ShiftEvent():
            return f"shift: {event.kind} at frame {event.frame_index} (score {event.score:.2f})"
        case events.TrustChanged(is_adapted=True):
            return f"adapted model serves from frame {event.frame_index} ({event.agreement:.0%} as frozen)"
        case events.TrustChanged():
            return f"frozen model serves from frame {event.frame_index}: nothing to win by what was learnt"
        case events.Recall(refusal=refusal) if refusal:
            return f"domain {event.domain} not recalled at frame {event.frame_index}, and forgotten: {refusal}"
        case events.Recall():
            return f"domain {event.domain} recalled at frame {event.frame_index} (distance {event.distance:.2f})"
        case events.Rollback():
            return f"rollback to version {event.version} at frame {event.frame_index}: {event.reason}"
        case events.Fault():
            return f"fault: {event.component}: {event.detail}"
        case events.CheckpointSaved(error=error) if error:
            return f"checkpoint not saved: {error}"
        case events.RunResumed():
            where = f"resumed at frame {event.frame} with version {event.version}"
            return f"{where}: {event.detail}" if event.detail else where
    return None
