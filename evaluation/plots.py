"""The drawings of a report: a run over its frames and its latencies, each as SVG text to be put into a page.

Draws `evaluation.timeline` records with matplotlib figures of their own (no pyplot, no global state). Knows no HTML
beyond the SVG.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation.drawing import (
    GRID,
    INK,
    are_narrow,
    bucketed,
    legend_above,
    line,
    mark,
    name_visits,
    shade,
    style,
    svg,
    thinned,
)
from evaluation.run_folder import Row, number
from evaluation.timeline import Timeline

ADAPTED = "#0f6fb3"
FROZEN = "#8a8f98"
GOOD = "#1d8a4b"
BAD = "#c8322b"
MAX_NAMED_VISITS = 60
SHIFT_COLORS = {"away": BAD, "change": "#c77700", "return": GOOD}


@dataclass(frozen=True, slots=True)
class _Panel:
    """One row of the drawing over time: how tall, and what draws it."""

    height: float
    draw: Callable[[Axes], None]


def draw_over_time(timeline: Timeline, domains: Sequence[Row]) -> str:
    """Quality or health, shift score, version, loss and latency over the frames, with the visits shaded.

    `domains` are the scored visits of the summary (`quality.domains`), drawn as levels behind the windowed curves; rows
    for which nothing was measured are left out. Empty text where nothing at all was.
    """
    panels = _panels(timeline, domains)
    if not panels:
        return ""
    with style("over_time"):
        heights = [panel.height for panel in panels]
        figure = Figure(figsize=(11.5, 1.15 * sum(heights)), layout="constrained")
        grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights})
        for axes, panel in zip(grid[:, 0], panels, strict=True):
            shade(axes, timeline.spans)
            panel.draw(axes)
            axes.grid(axis="y", color=GRID, linewidth=0.7)
            axes.set_axisbelow(True)
            axes.margins(x=0.005)
        grid[-1, 0].set_xlabel("frame")
        figure.align_ylabels(list(grid[:, 0]))
        return svg(figure)


def draw_latency_cdf(timeline: Timeline) -> str:
    """Cumulative distributions of capture-to-result, inference and frozen inference; empty text without any."""
    curves = [
        ("capture to result", timeline.latency.only_measured().values, ADAPTED, "-"),
        ("inference", timeline.inference.only_measured().values, "#5aa9dd", "--"),
        ("frozen inference", timeline.frozen_inference.only_measured().values, FROZEN, ":"),
    ]
    measured = [(name, np.sort(values), color, line) for name, values, color, line in curves if values.size]
    if not measured:
        return ""
    with style("latency_cdf"):
        figure = Figure(figsize=(5.6, 3.1), layout="constrained")
        axes = figure.subplots()
        for name, values, color, line in measured:
            p99 = float(np.percentile(values, 99))
            shares = np.arange(1, len(values) + 1) / len(values)
            keep = thinned(len(values))
            axes.step(values[keep], shares[keep], line, where="post", color=color, label=f"{name}, p99 {p99:.1f} ms")
            axes.plot([p99], [0.99], "o", color=color, markersize=4)
        if max(values[-1] for _, values, _, _ in measured) > 8 * min(float(np.median(v)) for _, v, _, _ in measured):
            axes.set_xscale("log")
        axes.set_xlabel("ms")
        axes.set_ylabel("share of frames")
        axes.set_ylim(0, 1.02)
        axes.grid(color=GRID, linewidth=0.7)
        axes.legend(loc="lower right")
        return svg(figure)


def _panels(timeline: Timeline, domains: Sequence[Row]) -> list[_Panel]:
    panels = []
    if any(span.name for span in timeline.spans) and len(timeline.spans) <= MAX_NAMED_VISITS:
        height = 0.8 if are_narrow(timeline.spans) else 0.25
        panels.append(_Panel(height, lambda axes: name_visits(axes, timeline.spans)))
    has_labels = not timeline.miou.is_empty or bool(domains)
    if has_labels:
        panels.append(_Panel(2.6, lambda axes: _draw_quality(axes, timeline, domains)))
    if not timeline.confidence.is_empty:
        panels.append(_Panel(1.3 if has_labels else 1.8, lambda axes: _draw_health(axes, timeline)))
    if not timeline.shift_score.is_empty or timeline.shifts.listed:
        panels.append(_Panel(1.3, lambda axes: _draw_shift(axes, timeline)))
    if not timeline.version.is_empty:
        panels.append(_Panel(1.1, lambda axes: _draw_version(axes, timeline)))
    if not timeline.loss.is_empty:
        panels.append(_Panel(1.1, lambda axes: _draw_loss(axes, timeline)))
    if not timeline.latency.is_empty:
        panels.append(_Panel(1.3, lambda axes: _draw_latency(axes, timeline)))
    return panels


def _draw_quality(axes: Axes, timeline: Timeline, domains: Sequence[Row]) -> None:
    measured = np.flatnonzero(np.isfinite(timeline.miou.values))  # the record scores one frame in a few
    measured = measured[thinned(len(measured))]
    frames = timeline.miou.frames[measured]
    ours, theirs = timeline.miou.values[measured], timeline.miou_frozen.values[measured]
    both = np.isfinite(ours) & np.isfinite(theirs)
    if both.any():
        better = both & (ours >= theirs)
        for where, color in ((better, GOOD), (both & ~better, BAD)):
            axes.fill_between(frames, ours, theirs, where=where, color=color, alpha=0.18, linewidth=0, interpolate=True)
    for row, span in zip(domains, _domain_extents(timeline, domains), strict=True):
        for key, color in (("miou_frozen", FROZEN), ("miou", ADAPTED)):
            axes.plot(span, [number(row.get(key))] * 2, color=color, linewidth=3.5, alpha=0.3, solid_capstyle="butt")
    axes.plot(frames, theirs, color=FROZEN, linewidth=1.4, label="frozen")
    axes.plot(frames, ours, color=ADAPTED, linewidth=1.6, label="adapted")
    axes.set_ylabel("mIoU (points)")
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower left", ncols=2)


def _draw_health(axes: Axes, timeline: Timeline) -> None:
    line(axes, timeline.confidence, ADAPTED, "confidence")
    line(axes, timeline.agreement, GOOD, "agreement with frozen")
    axes.set_ylim(0, 1.03)
    axes.set_ylabel("share")
    handles, labels = axes.get_legend_handles_labels()
    if not timeline.entropy.is_empty:
        twin = axes.twinx()
        line(twin, timeline.entropy, "#c77700", "entropy (right)")
        twin.set_ylabel("nats")
        twin.set_ylim(bottom=0)
        twin.tick_params(axis="y", length=0)
        more_handles, more_labels = twin.get_legend_handles_labels()
        handles, labels = handles + more_handles, labels + more_labels
    legend_above(axes, handles, labels)


def _draw_shift(axes: Axes, timeline: Timeline) -> None:
    line(axes, timeline.shift_score, INK, "shift score")
    axes.axhline(1.0, color="#5d6570", linewidth=0.9, linestyle=(0, (4, 3)))
    mark(axes, timeline.shifts, SHIFT_COLORS)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("shift score")
    legend_above(axes, *axes.get_legend_handles_labels())


def _draw_version(axes: Axes, timeline: Timeline) -> None:
    version = timeline.version.only_measured()
    keep = thinned(len(version.frames))
    axes.step(version.frames[keep], version.values[keep], where="post", color=ADAPTED, linewidth=1.4)
    mark(axes, timeline.troubles, {"rollback": BAD})
    axes.set_ylabel("version")
    axes.set_ylim(bottom=0)
    if timeline.troubles.listed:
        legend_above(axes, *axes.get_legend_handles_labels())


def _draw_loss(axes: Axes, timeline: Timeline) -> None:
    loss = timeline.loss.only_measured()
    keep = thinned(len(loss.frames))
    axes.plot(loss.frames[keep], loss.values[keep], ".", color=ADAPTED, markersize=2.5, alpha=0.6)
    axes.set_ylabel("loss")
    axes.set_ylim(bottom=min(0.0, float(loss.values.min())))


def _draw_latency(axes: Axes, timeline: Timeline) -> None:
    latency = timeline.latency.only_measured()
    middle = bucketed(latency, np.median)
    if len(middle.values) < len(latency.values):
        peak = bucketed(timeline.slowest, np.max)
        axes.plot(peak.frames, peak.values, ".", color="#c77700", markersize=2.2, alpha=0.7, label="slowest nearby")
    axes.plot(middle.frames, middle.values, color=ADAPTED, linewidth=1.0, label="capture to result")
    p99 = float(np.percentile(latency.values, 99))
    axes.axhline(p99, color=BAD, linewidth=0.9, linestyle=(0, (4, 3)), label=f"p99 {p99:.1f} ms")
    mark(axes, timeline.efforts, {"learning shed": BAD, "resumed": GOOD})
    if latency.peak > 20 * np.median(latency.values):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_ylabel("latency (ms)")
    legend_above(axes, *axes.get_legend_handles_labels())


def _domain_extents(timeline: Timeline, domains: Sequence[Row]) -> list[tuple[float, float]]:
    """First and last frame of each scored visit; a visit lasts until the next one begins."""
    firsts = [number(row.get("first_frame")) for row in domains]
    end = timeline.spans[-1].last if timeline.spans else max(firsts, default=0.0)
    return list(zip(firsts, [*firsts[1:], end][: len(firsts)], strict=True))
