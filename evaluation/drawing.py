"""How the drawings of a report look, and the pieces they share: style, shaded visits, thinned curves, SVG text.

Text stays text in the SVG, and names from outside are never read as formulas. Decides nothing about what is drawn.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation.thinning import Curve, Marks, Span

INK = "#2b3038"
GRID = "#e6e9ee"
OTHER_MARK = "#8d3fb0"
SHADES = ("#4a90d9", "#8d7bd6", "#7d8794", "#3aa6a0", "#c9973f", "#c0699b")
MAX_POINTS = 1500  # per curve: more than a page is wide, and a report of a long run stays small


def style(salt: str) -> AbstractContextManager[None]:
    """Settings of every drawing; `salt` keeps the ids inside one SVG apart from those of another on the same page."""
    return matplotlib.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": salt,
            "text.parse_math": False,
            "font.family": "sans-serif",
            "font.size": 9.0,
            "text.color": INK,
            "axes.labelcolor": INK,
            "axes.edgecolor": "#c9ced6",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "xtick.color": "#5d6570",
            "ytick.color": "#5d6570",
            "legend.frameon": False,
            "legend.fontsize": 8.5,
        }
    )


def svg(figure: Figure) -> str:
    """The figure as an <svg> element that scales with the page; no date in it, so equal runs give equal text."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    return text.getvalue()[text.getvalue().index("<svg") :]


def shades(names: Sequence[str]) -> dict[str, tuple[str, float]]:
    """Colour and opacity by domain name: one hue per kind (the part before `_`), stronger with each further one of it.

    The first domain of a run stays white.
    """
    kinds: dict[str, list[str]] = {}
    for name in dict.fromkeys(names[1:]):
        if name != names[0]:
            kinds.setdefault(name.split("_")[0], []).append(name)
    shading = {names[0]: ("#ffffff", 0.0)} if names else {}
    for order, members in enumerate(kinds.values()):
        for rank, name in enumerate(members):
            shading[name] = (SHADES[order % len(SHADES)], min(0.10 + 0.06 * rank, 0.40))
    return shading


def shade(axes: Axes, spans: Sequence[Span]) -> None:
    shading = shades([span.name for span in spans])
    for span in spans:
        color, opacity = shading[span.name]
        if opacity:
            axes.axvspan(span.first - 0.5, span.last + 0.5, color=color, alpha=opacity, linewidth=0)


def name_visits(axes: Axes, spans: Sequence[Span]) -> None:
    """A strip that holds nothing but the visits' names; upright where visits are narrow."""
    axes.set_axis_off()
    axes.set_ylim(0, 1)
    for span in spans:
        axes.annotate(
            span.name,
            ((span.first + span.last) / 2, 0.5),
            ha="center",
            va="center",
            rotation=90 if are_narrow(spans) else 0,
            fontsize=8,
        )


def are_narrow(spans: Sequence[Span]) -> bool:
    """Whether a name is wider than its visit; some 190 characters of this size fit the width of a drawing."""
    total = spans[-1].last - spans[0].first + 1
    return any(len(span.name) + 1 > 190 * (span.last - span.first + 1) / total for span in spans)


def legend_above(axes: Axes, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    """Outside the drawing, where it hides nothing."""
    axes.legend(handles, labels, loc="lower right", bbox_to_anchor=(1.0, 0.97), ncols=6, borderaxespad=0.0)


def line(axes: Axes, curve: Curve, color: str, label: str) -> None:
    measured = curve.only_measured()
    if measured.is_empty:
        return
    thin = bucketed(measured, np.median)
    axes.plot(thin.frames, thin.values, color=color, linewidth=1.2, label=label)


def mark(axes: Axes, marks: Marks, colors: Mapping[str, str]) -> None:
    for kind, count in marks.counts.items():
        color = colors.get(kind, OTHER_MARK)
        for mark in marks.listed:
            if mark.kind == kind:
                axes.axvline(mark.frame, color=color, linewidth=1.0, alpha=0.75)
        axes.plot([], [], color=color, label=f"{kind} ({count})")


def thinned(num_values: int) -> np.ndarray:
    """Indices of at most MAX_POINTS values, evenly spaced, the last always among them."""
    return np.unique(np.linspace(0, num_values - 1, min(num_values, MAX_POINTS)).astype(np.int64))


def bucketed(curve: Curve, reduce: Callable[[np.ndarray], float]) -> Curve:
    """At most MAX_POINTS points, each `reduce` of a stretch of values at the stretch's first frame."""
    if len(curve.values) <= MAX_POINTS:
        return curve
    stretches = np.array_split(np.arange(len(curve.values)), MAX_POINTS)
    return Curve(
        np.array([curve.frames[stretch[0]] for stretch in stretches]),
        np.array([float(reduce(curve.values[stretch])) for stretch in stretches]),
        curve.peak,
    )
