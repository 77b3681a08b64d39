"""The drawings of a comparison, each as SVG text: gains with intervals, gain against cost, mIoU by visit and by window.

Text stays text and methods keep one colour in all drawings of a page. Empty text where there is nothing to draw.
"""

import math
from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation.compare import Comparison, with_track
from evaluation.drawing import GRID, INK, style, svg

COLORS = ("#0f6fb3", "#c77700", "#1d8a4b", "#8d3fb0", "#c8322b", "#3aa6a0", "#7a5c2e", "#c0699b", "#4a6fd9", "#5d6570")
FROZEN = "#8a8f98"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")  # with ten colours, eighty methods are told apart


def draw_gains(comparison: Comparison) -> str:
    """One line for each method, best on top: gain over frozen in points, with its interval."""
    rows = [row for row in comparison.methods if math.isfinite(row.figures["gain"].mean)]
    if not rows:
        return ""
    colors = _colors(comparison)
    with style("gains"):
        figure = Figure(figsize=(5.6, max(3.2, 0.7 + 0.34 * len(rows))), layout="constrained")
        axes = figure.subplots()
        for place, row in enumerate(reversed(rows)):
            gain, color = row.figures["gain"].mean, colors[row.method]
            if (bounds := row.intervals.get("gain")) is not None and math.isfinite(bounds.low):
                axes.plot([bounds.low, bounds.high], [place, place], color=color, linewidth=2.2, alpha=0.55)
            axes.plot([gain], [place], "o", color=color, markersize=6)
        axes.axvline(0.0, color=FROZEN, linewidth=1.0)
        axes.set_yticks(range(len(rows)), [with_track(row.method, row.track) for row in reversed(rows)])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlabel("gain over frozen (points of hmean)")
        _finish(axes, axis="x")
        return svg(figure)


def draw_cost(comparison: Comparison) -> str:
    """Gain over frozen against forwards per frame, a point for each method that learns."""
    rows = [
        row
        for row in comparison.methods
        if all(math.isfinite(row.figures[name].mean) for name in ("gain", "forwards_per_frame"))
    ]
    if not rows:
        return ""
    colors = _colors(comparison)
    with style("cost"):
        figure = Figure(figsize=(5.6, 3.2), layout="constrained")
        axes = figure.subplots()
        axes.axhline(0.0, color=FROZEN, linewidth=1.0)
        for number, row in enumerate(rows):
            cost, gain = row.figures["forwards_per_frame"].mean, row.figures["gain"].mean
            marker = MARKERS[number % len(MARKERS)]
            axes.plot([cost], [gain], marker, color=colors[row.method], markersize=7, label=row.method, linestyle="")
        axes.set_xscale("symlog", linthresh=0.1)
        axes.set_xlim(left=0.0)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xlabel("learning, in forwards per frame (F)")
        axes.set_ylabel("gain (points)")
        _finish(axes, axis="both")
        figure.legend(loc="outside upper center", ncols=4)
        return svg(figure)


def draw_visits(comparison: Comparison) -> str:
    """mIoU by visit, in the order of the stream: frozen in grey, each method a line."""
    if not comparison.visits:
        return ""
    colors, places = _colors(comparison), range(len(comparison.visits))
    with style("visits"):
        figure = Figure(figsize=(11.5, 3.4), layout="constrained")
        axes = figure.subplots()
        frozen = [spread.mean for spread in comparison.frozen_visits]
        axes.plot(places, frozen, color=FROZEN, linewidth=4.0, alpha=0.45, label="frozen (shadow)")
        for number, row in enumerate(comparison.methods):
            values = [spread.mean for spread in row.visits]
            marker = MARKERS[number % len(MARKERS)]
            axes.plot(
                places, values, color=colors[row.method], marker=marker, markersize=4.5, linewidth=1.4, label=row.method
            )
        is_crowded = len(places) > 9 or max(len(name) for name in comparison.visits) > 12
        axes.set_xticks(
            places, comparison.visits, rotation=30 if is_crowded else 0, ha="right" if is_crowded else "center"
        )
        axes.set_ylim(bottom=0)
        axes.set_ylabel("mIoU (points)")
        _finish(axes, axis="y")
        figure.legend(loc="outside upper center", ncols=8)
        return svg(figure)


def draw_windowed(comparison: Comparison) -> str:
    """mIoU over windows along the stream: frozen in grey, each method a line."""
    known = [(row, row.windowed) for row in comparison.methods if row.windowed is not None]
    if not known:
        return ""
    colors = _colors(comparison)
    with style("windowed"):
        figure = Figure(figsize=(11.5, 3.2), layout="constrained")
        axes = figure.subplots()
        _, first = known[0]
        axes.plot(first.frames, first.frozen, color=FROZEN, linewidth=4.0, alpha=0.45, label="frozen (shadow)")
        for row, curve in known:
            axes.plot(curve.frames, curve.served, color=colors[row.method], linewidth=1.4, label=row.method)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("frame")
        axes.set_ylabel("mIoU (points)")
        _finish(axes, axis="y")
        figure.legend(loc="outside upper center", ncols=8)
        return svg(figure)


def _colors(comparison: Comparison) -> Mapping[str, str]:
    """By method; one that needs nothing learns nothing, and is grey."""
    learning = [row.method for row in comparison.methods if row.track != "none"]
    colors = {method: COLORS[number % len(COLORS)] for number, method in enumerate(learning)}
    return {row.method: colors.get(row.method, FROZEN) for row in comparison.methods}


def _finish(axes: Axes, *, axis: str) -> None:
    axes.grid(axis="both" if axis == "both" else "x" if axis == "x" else "y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelcolor=INK)
