"""How a status snapshot reads in a terminal: as a panel, or as one plain line. Pure functions of the snapshot."""

import math

from rich.console import RenderableType
from rich.constrain import Constrain
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from runtime.scores import POINTS
from runtime.status import Snapshot

RECENT = "over the last frames"
WIDTH = 100  # columns, fewer where the terminal has no more


def render_panel(snapshot: Snapshot, *, url: str | None) -> RenderableType:
    """The live panel."""
    run = snapshot.run
    if run is None:
        return _framed("starting", "udaseg-runtime")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", justify="right")
    grid.add_column()
    end = "" if run.num_frames is None else f" of {run.num_frames}"
    grid.add_row("domain", Text.assemble((snapshot.domain or "no name", "bold"), f"   frame {snapshot.frame + 1}{end}"))
    grid.add_row(*_quality_row(snapshot))
    latency = f"   p99 {_figure(snapshot.latency_p99_ms, 0)} ms   p50 {_figure(snapshot.latency_p50_ms, 0)} ms"
    drops = f"   {snapshot.num_dropped} dropped" + _parts(snapshot)
    grid.add_row("rate", Text.assemble((f"{_figure(snapshot.fps)} fps", "bold"), latency, drops))
    grid.add_row("learning", _learning(snapshot))
    if snapshot.governor is not None and snapshot.governor_level:
        change = snapshot.governor
        grid.add_row("governor", Text(f"level {change.level} ({change.name}): {change.detail}", style="yellow"))
    grid.add_row("shift", _shift(snapshot))
    if snapshot.num_faults:
        newest = snapshot.faults[-1]
        grid.add_row("faults", Text(f"{snapshot.num_faults}, newest {newest.component}: {newest.detail}", style="red"))
    if url is not None:
        grid.add_row("page", Text(url, style="cyan"))
    title = f"[bold]{run.stream}[/]  {run.method}  {run.model}  {run.device}  {run.pace}"
    return _framed(grid, title)


def _framed(content: RenderableType, title: str) -> RenderableType:
    """Of one width, however long the lines in it are: a frame that moved with every figure would be hard to read."""
    return Constrain(Panel(content, title=title, title_align="left", border_style="dim"), WIDTH)


def plain_line(snapshot: Snapshot) -> str:
    """The same in one line without markup."""
    parts = [f"frame {snapshot.frame + 1}", snapshot.domain or "no domain"]
    scores = snapshot.scores
    if scores is not None:
        adapted, frozen = scores.recent_miou * POINTS, scores.recent_miou_frozen * POINTS
        parts.append(f"mIoU {_figure(adapted)} (frozen {_figure(frozen)})")
    else:
        parts.append(f"confidence {_figure(snapshot.confidence, 2)} entropy {_figure(snapshot.entropy_nats, 2)}")
    parts += [
        f"{_figure(snapshot.fps)} fps",
        f"p99 {_figure(snapshot.latency_p99_ms, 0)} ms",
        f"{snapshot.steps_applied} steps",
        f"version {snapshot.version}",
        f"shift {_figure(snapshot.shift_score, 2)}",
        f"{snapshot.num_dropped} dropped",
    ]
    return "  ".join(parts)


def gain_text(gain: float) -> Text:
    """A difference in points with its sign, green when positive."""
    if math.isnan(gain):
        return Text("-")
    return Text(f"{gain:+.1f}", style="green" if gain >= 0 else "red")


def _quality_row(snapshot: Snapshot) -> tuple[str, Text]:
    scores = snapshot.scores
    if scores is None:
        known = f"confidence {_figure(snapshot.confidence, 2)}   entropy {_figure(snapshot.entropy_nats, 2)} nats"
        return "health", Text(f"{known}   agreement with frozen {_figure(100 * snapshot.agreement, 0)} %")
    adapted, frozen = scores.recent_miou * POINTS, scores.recent_miou_frozen * POINTS
    text = Text.assemble(("adapted " + _figure(adapted), "bold green"), "   frozen ", (_figure(frozen), "blue"), "   ")
    return "mIoU", text + gain_text(adapted - frozen) + Text(f"   {RECENT}", style="dim")


def _learning(snapshot: Snapshot) -> Text:
    text = Text.assemble((f"{snapshot.steps_applied} steps", "bold"), f"   version {snapshot.version}")
    if not math.isnan(snapshot.loss):
        text.append(f"   loss {snapshot.loss:.2f}   {_figure(snapshot.step_p50_ms, 0)} ms a step")
    if snapshot.rollbacks:
        text.append(f"   {snapshot.rollbacks} rollbacks", style="yellow")
    if snapshot.cost_share:
        text.append(f"   {100 * snapshot.cost_share:.0f} % of the time")
    return text


def _shift(snapshot: Snapshot) -> Text:
    score = (_figure(snapshot.shift_score, 2), "bold red" if snapshot.is_shifted else "bold")
    if not snapshot.shifts:
        return Text.assemble(score, ("   none detected", "dim"))
    last = snapshot.shifts[-1]
    text = Text.assemble(score, f"   last: {last.kind} at frame {last.frame_index}   {snapshot.num_shifts} in all")
    if snapshot.last_recall is not None:
        recall = snapshot.last_recall
        text.append(f"   domain {recall.domain} recalled at frame {recall.frame_index}   {snapshot.num_recalls} in all")
    return text


def _parts(snapshot: Snapshot) -> str:
    reasons = ", ".join(f"{number} {reason}" for reason, number in snapshot.dropped.items())
    return f" ({reasons})" if reasons else ""


def _figure(value: float, digits: int = 1) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"
