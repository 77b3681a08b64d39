"""The figures of a report: headline tiles and tables, from a run folder and its timeline.

Prefers what the summary says; where a run left none, counts are taken from its events. Markup comes from
`evaluation.page`.
"""

import math
from collections.abc import Iterator
from typing import Any

from evaluation import page
from evaluation.compare import with_track
from evaluation.page import Cell
from evaluation.run_folder import Row, RunFolder, lookup, number
from evaluation.timeline import EFFECTIVE_OUTCOMES, Timeline, percentiles

DEAD_BELOW = 5.0  # IoU in points under which a class counts as lost, if the frozen model still had twice as much
MAX_SHIFT_ROWS = 40
VISIT_COLUMNS = (
    *("visit", "from frame", "frames", "compared", "frozen", "adapted", "difference"),
    *("detected", "served", "recovery"),
)
HARMFUL_DROP = 0.5  # points below frozen from which a worst drop is shown as bad
VISIT_NOTE = (
    "mIoU in points. Compared are the frames that the frozen model answered too; where there are any, both models are "
    "scored on those. Frames from the visit's first until it was detected as a shift, until a version answered that "
    "was learnt in this visit or recalled for it, and until it reached 95 % of its own plateau (recovery)."
)
CLASS_NOTE = (
    f"IoU in points over the whole run, adapted above frozen. Marked: classes the adapted model has lost (below "
    f"{DEAD_BELOW:g}, frozen at least twice that), and classes hurt (more than 10 points below frozen)."
)


def value_of(run: RunFolder, key: str) -> str:
    """A fact about the run, from its summary or its first event."""
    value = lookup(run.summary, key)
    if value is None:
        value = lookup(run.started, key)
    return "unknown" if value is None else str(value)


def heading(run: RunFolder) -> str:
    facts = [f"{value_of(run, 'model')} on {value_of(run, 'device')}", f"seed {value_of(run, 'seed')}"]
    facts.append(f"pace {value_of(run, 'pace')}")
    if (wall_s := number(lookup(run.summary, "wall_s"))) >= 0:
        facts.append(f"{wall_s:.0f} s")
    facts.append(run.path.resolve().name)
    method = with_track(value_of(run, "method"), str(lookup(run.summary, "track") or ""))
    title = f"{value_of(run, 'stream')}, method {method}"
    return page.title(title, " \u00b7 ".join(facts))


def notices(run: RunFolder, timeline: Timeline) -> Iterator[str]:
    """What a reader must know before reading on."""
    if not run.is_finished:
        yield page.notice(
            "This run has no summary: it is still going or was cut short. The figures below come from its events."
        )
    if timeline.num_torn:
        yield page.notice(f"Lines of events.jsonl that could not be read and are left out: {timeline.num_torn}.")
    if timeline.num_lost:
        yield page.notice(f"Events the disk had no room for, which are missing here: {timeline.num_lost}.")
    if skipped := lookup(run.summary, "frames.stream_faults"):
        counts = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
        yield page.notice(f"The stream held items that could not be used and were passed over: {counts}.")
    if timeline.faults:
        yield page.notice(f"Faults survived: {timeline.faults.total()}. " + "; ".join(sorted(timeline.faults)[:5]))


def tiles(run: RunFolder, timeline: Timeline) -> str:
    """Headline figures: accuracy, worst drop, latency, drops, steps, shifts."""
    found = [*_quality_tiles(run, timeline), *_health_tiles(run, timeline)]
    latency = lookup(run.summary, "latency_ms.capture_to_result") or percentiles(timeline.latency)
    found.append(page.tile("p99 latency", _ms(latency.get("p99")), f"p50 {_ms(latency.get('p50'))}"))
    dropped = lookup(run.summary, "frames.dropped") or dict(timeline.drops)
    predicted = lookup(run.summary, "frames.predicted") or timeline.num_predicted
    reasons = ", ".join(f"{reason} {count}" for reason, count in dropped.items()) or f"of {predicted} predicted"
    found.append(page.tile("frames dropped", str(sum(dropped.values())), reasons))
    applied, refused, rollbacks = _steps(run, timeline)
    found.append(page.tile("steps applied", str(applied), f"{refused} refused, {rollbacks} rolled back"))
    shifts = lookup(run.summary, "num_shifts")
    found.append(page.tile("shifts detected", str(timeline.shifts.counts.total() if shifts is None else shifts)))
    return page.tiles(found)


def visit_table(run: RunFolder) -> str:
    """Frozen, adapted and their difference by visit, harmonic means below; empty without labels."""
    quality = lookup(run.summary, "quality")
    domains = lookup(quality, "domains") or []
    if not domains:
        return ""
    recovery = [None, *(lookup(quality, "recovery_frames") or [])]
    lags = {lag.get("visit"): lag for lag in lookup(quality, "lags") or []}
    header = [Cell(name, "number" if name != "visit" else "") for name in VISIT_COLUMNS] + [Cell("")]
    rows = []
    for position, row in enumerate(domains):
        ours, theirs = number(row.get("miou")), number(row.get("miou_frozen"))
        recovered = recovery[position] if position < len(recovery) else None
        lag = lags.get(row.get("visit"), {})
        delays = [number(value) for value in (lag.get("detected"), lag.get("served"), recovered)]
        rows.append(
            [
                page.text(row.get("name")),
                *(page.figure(number(row.get(key)), digits=0) for key in ("first_frame", "frames", "compared")),
                page.figure(theirs),
                page.figure(ours),
                page.difference(ours - theirs),
                *(page.figure(delay, digits=0) for delay in delays),
                page.bars(ours, theirs),
            ]
        )
    for name, suffix in (("harmonic mean", "hmean"), ("all frames", "miou")):
        ours, theirs = number(quality.get(suffix)), number(quality.get(f"{suffix}_frozen"))
        total = [page.text(name), *[Cell("")] * 3, page.figure(theirs), page.figure(ours)]
        rows.append([*total, page.difference(ours - theirs), *[Cell("")] * 3, page.bars(ours, theirs)])
    return page.table(header, rows, row_kinds=[""] * len(domains) + ["total", "total"])


def class_table(run: RunFolder) -> str:
    """IoU by class, with lost classes marked, and its means over subsets asked for; empty without labels."""
    rows, kinds = [], []
    hurt = lookup(run.summary, "quality.unsafe_classes") or []
    for row in lookup(run.summary, "quality.classes") or []:
        ours, theirs = number(row.get("iou")), number(row.get("iou_frozen"))
        is_dead = ours < DEAD_BELOW and theirs >= 2 * DEAD_BELOW
        name = page.text(str(row.get("name")).replace("_", " ")).html
        badge = "lost" if is_dead else "hurt" if row.get("name") in hurt else ""
        named = Cell(f'{name}<span class="badge">{badge}</span>' if badge else name)
        figures = [page.figure(theirs), page.figure(ours), page.difference(ours - theirs)]
        rows.append([named, *figures, page.bars(ours, theirs)])
        kinds.append("dead" if is_dead else "")
    for row in lookup(run.summary, "quality.subsets") or []:
        ours, theirs = number(row.get("miou")), number(row.get("miou_frozen"))
        figures = [page.figure(theirs), page.figure(ours), page.difference(ours - theirs)]
        rows.append([page.text(f"{row.get('name')}, {row.get('classes')} classes"), *figures, page.bars(ours, theirs)])
        kinds.append("total")
    if not rows:
        return ""
    header = [Cell("class"), *(Cell(name, "number") for name in ("frozen", "adapted", "difference")), Cell("")]
    return page.table(header, rows, row_kinds=kinds)


def latency_table(run: RunFolder, timeline: Timeline) -> str:
    """Percentiles of each latency in ms."""
    rows = []
    for name, key, values in (
        ("capture to result", "capture_to_result", timeline.latency),
        ("inference", "inference", timeline.inference),
        ("frozen inference", "frozen_inference", timeline.frozen_inference),
    ):
        found = lookup(run.summary, f"latency_ms.{key}") or percentiles(values)
        figures = [number(found.get(part)) for part in ("p50", "p95", "p99", "max")]
        if any(math.isfinite(value) for value in figures):
            rows.append([page.text(name), *(page.figure(value) for value in figures)])
    if not rows:
        return ""
    return page.table([Cell("ms"), *(Cell(part, "number") for part in ("p50", "p95", "p99", "max"))], rows)


def adaptation_table(run: RunFolder, timeline: Timeline) -> str:
    """What learning did and cost."""
    adaptation = lookup(run.summary, "adaptation")
    if adaptation is None:
        counts = [(outcome, count) for outcome, count in sorted(timeline.outcomes.items())]
        return page.pairs(counts) if counts else ""
    before, after = (adaptation.get(f"frozen_digest_{when}") for when in ("before", "after"))
    frozen = "not compared" if before is None or after is None else "unchanged" if before == after else "CHANGED"
    shown = {key: value for key, value in adaptation.items() if not key.startswith("frozen_digest")}
    return page.pairs([*_flattened(shown), ("frozen weights", frozen)])


def shift_table(run: RunFolder, timeline: Timeline) -> str:
    """Detected shifts in order, the first `MAX_SHIFT_ROWS` of them."""
    rows = [
        [
            page.figure(mark.frame, digits=0),
            page.text(mark.kind),
            page.figure(mark.value, digits=2),
            page.text(mark.detail or "-"),
        ]
        for mark in timeline.shifts.listed[:MAX_SHIFT_ROWS]
    ]
    if not rows:
        return page.paragraph("No shift was detected.") if run.is_finished else ""
    header = [Cell("frame", "number"), Cell("kind"), Cell("score", "number"), Cell("domain then shown")]
    more = timeline.shifts.counts.total() - len(rows)
    return page.table(header, rows) + (page.paragraph(f"and {more} more") if more else "")


def environment_table(run: RunFolder) -> str:
    """Machine and versions, frames and memory."""
    summary = run.summary or {}
    keys = ("environment", "frames", "fps", "memory", "size", "wall_s", "ended")
    wanted = {key: summary[key] for key in keys if key in summary}
    return page.pairs(_flattened(wanted)) if wanted else ""


def config_block(run: RunFolder) -> str:
    return page.preformatted(run.config_text) if run.config_text else ""


def _quality_tiles(run: RunFolder, timeline: Timeline) -> Iterator[str]:
    quality = lookup(run.summary, "quality")
    if quality is None:
        if not timeline.miou.is_empty:
            recent, frozen = (curve.only_measured().values for curve in (timeline.miou, timeline.miou_frozen))
            note = f"frozen {page.decimal(frozen[-1])}" if frozen.size else "so far"
            yield page.tile("recent mIoU", page.decimal(recent[-1]), note)
        return
    ours, theirs = number(quality.get("hmean")), number(quality.get("hmean_frozen"))
    yield page.tile("hmean mIoU", page.decimal(ours), f"frozen {page.decimal(theirs)}")
    if math.isfinite(ours - theirs):
        gain = page.signed(ours - theirs)
        yield page.tile("gain over frozen", gain, "points over the visits", kind=page.tone(ours - theirs))
        drop = number(quality.get("worst_drop"))
        kind = "bad" if drop > HARMFUL_DROP else ""
        note = "points, worst visit" if drop > 0 else "no visit below frozen"
        yield page.tile("worst drop", page.decimal(max(drop, 0.0)), note, kind=kind)
    if math.isfinite(share := number(quality.get("negative_window_share"))):
        shortfall = number(quality.get("worst_window"))
        note = f"worst {page.decimal(max(shortfall, 0.0))} below frozen" if math.isfinite(shortfall) else "below frozen"
        yield page.tile("harmed windows", f"{100 * share:.0f} %", note)
    if lookup(quality, "streaming") is not None:
        late = page.decimal(number(lookup(quality, "deadline.hmean")))
        yield page.tile("streaming mIoU", page.decimal(number(lookup(quality, "streaming.hmean"))), f"deadline {late}")
    if lookup(quality, "forgetting") is not None:
        lost = number(lookup(quality, "forgetting.points_lost"))
        kind = "bad" if lost > HARMFUL_DROP else ""
        yield page.tile("forgotten", page.decimal(lost), "points on held-out source", kind=kind)


def _health_tiles(run: RunFolder, timeline: Timeline) -> Iterator[str]:
    if lookup(run.summary, "quality") is not None or not timeline.miou.is_empty or timeline.confidence.is_empty:
        return
    confidence = timeline.confidence.only_measured().values.mean()
    yield page.tile("mean confidence", f"{100 * confidence:.1f} %", "no labels: health only")
    if not timeline.agreement.is_empty:
        agreement = timeline.agreement.only_measured().values.mean()
        yield page.tile("agreement with frozen", f"{100 * agreement:.1f} %", "of shadowed pixels")


def _steps(run: RunFolder, timeline: Timeline) -> tuple[int, int, int]:
    """Steps applied, refused, and rollbacks."""
    adaptation = lookup(run.summary, "adaptation")
    if adaptation is not None:
        return adaptation.get("steps_applied", 0), adaptation.get("steps_refused", 0), adaptation.get("rollbacks", 0)
    refused = sum(count for outcome, count in timeline.outcomes.items() if outcome not in EFFECTIVE_OUTCOMES)
    return timeline.outcomes["applied"] + timeline.outcomes["shadowed"], refused, timeline.troubles.counts["rollback"]


def _ms(value: object) -> str:
    return f"{page.decimal(number(value))} ms"


def _flattened(values: Row, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested objects as `outer inner` rows, numbers rounded for reading."""
    for key, value in values.items():
        name = f"{prefix} {key}".strip().replace("_", " ")
        if isinstance(value, dict):
            yield from _flattened(value, name)
        elif isinstance(value, float):
            yield name, f"{value:,.3f}".rstrip("0").rstrip(".")
        elif isinstance(value, int):
            yield name, f"{value:,}"
        else:
            yield name, "-" if value is None else value
