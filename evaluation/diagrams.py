"""Two small drawings of a report: how reliable answers are, and what mIoU is left by each deadline."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from evaluation.drawing import GRID, style, svg
from evaluation.plots import ADAPTED, FROZEN
from evaluation.run_folder import Row, number

SIZE = (5.6, 3.1)  # of half a page
MIN_PIXELS_SHARE = 1e-4  # bins with fewer pixels are noise, and left out


def draw_reliability(bins: Sequence[Row]) -> str:
    """Share of right answers over their probability, for both models; empty text without any pixel."""
    curves = []
    for label, color, pixels, accuracy in (
        ("adapted", ADAPTED, "pixels", "accuracy"),
        ("frozen", FROZEN, "pixels_frozen", "accuracy_frozen"),
    ):
        nums = np.array([number(row.get(pixels)) for row in bins])
        shown = nums > MIN_PIXELS_SHARE * np.nansum(nums)
        centres = (np.arange(len(bins)) + 0.5) / max(len(bins), 1)
        shares = np.array([number(row.get(accuracy)) for row in bins])
        curves.append((label, color, centres[shown], shares[shown]))
    if not any(len(centres) for _, _, centres, _ in curves):
        return ""
    with style("reliability"):
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="#5d6570", linewidth=0.9, linestyle=(0, (4, 3)))
        for label, color, centres, shares in curves:
            axes.plot(centres, shares, "o-", color=color, markersize=3.5, linewidth=1.4, label=label)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("probability of the answer")
        axes.set_ylabel("share right")
        axes.grid(color=GRID, linewidth=0.7)
        axes.legend(loc="upper left")
        return svg(figure)


def draw_deadlines(deadlines: Sequence[Row]) -> str:
    """mIoU over the deadline; empty text without any."""
    points = [(number(row.get("deadline_ms")), number(row.get("miou"))) for row in deadlines]
    points = [(deadline_ms, miou) for deadline_ms, miou in points if deadline_ms > 0 and miou == miou]
    if not points:
        return ""
    with style("deadlines"):
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots()
        axes.plot(*zip(*points, strict=True), "o-", color=ADAPTED, markersize=3.5, linewidth=1.4)
        axes.set_xscale("log")
        ticks = [deadline_ms for deadline_ms in (10, 20, 50, 100, 200, 500, 1000) if deadline_ms <= points[-1][0]]
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_xlabel("deadline (ms after capture)")
        axes.set_ylabel("mIoU (points)")
        axes.grid(color=GRID, linewidth=0.7)
        return svg(figure)
