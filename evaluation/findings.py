"""What a report tells beyond accuracy by visit: lateness, calibration, domains that came back, rounds, the source.

Each function reads one section of a run's summary and gives ready markup, empty where the run has nothing to tell.
"""

from evaluation import page
from evaluation.diagrams import draw_deadlines, draw_reliability
from evaluation.page import Cell
from evaluation.run_folder import RunFolder, lookup, number

TIMED_NOTE = (
    "mIoU in points over every captured frame. Streaming: the latest answer there is as a frame is captured, scored "
    "against that frame. Deadline: an answer that takes longer, or never comes, is wrong on every pixel."
)
CALIBRATION_NOTE = (
    "How often answers of a given probability are right, over the frames both models answered; on the dashed line a "
    "model is as sure as it should be. ECE: the mean distance from it, in 15 bins."
)
RECURRENCE_NOTE = (
    "mIoU in points, later visits together. Other places are passed then, so frozen changes too: what is gained beyond "
    "its change is what the first visit was worth. Recovery: frames the second visit took to its plateau."
)


def timed_section(run: RunFolder) -> str:
    """Streaming and deadline scores; runs in which time counts have them."""
    streaming, at_period = lookup(run.summary, "quality.streaming"), lookup(run.summary, "quality.deadline")
    if streaming is None or at_period is None:
        return ""
    rows = [
        [page.text(name), page.figure(number(found.get("miou"))), page.figure(number(found.get("hmean")))]
        for name, found in (
            ("streaming", streaming),
            (f"deadline {number(at_period.get('deadline_ms')):g} ms, one frame", at_period),
        )
    ]
    header = [Cell(""), Cell("all frames", "number"), Cell("harmonic mean", "number")]
    curve = draw_deadlines(lookup(run.summary, "quality.deadlines") or [])
    return page.section("In time", page.table(header, rows), curve, note=TIMED_NOTE)


def calibration_section(run: RunFolder) -> str:
    """Reliability of both models."""
    found = lookup(run.summary, "quality.calibration")
    drawing = draw_reliability(lookup(found, "bins") or [])
    if not drawing:
        return ""
    ece, frozen = (100 * number(lookup(found, key)) for key in ("ece", "ece_frozen"))
    errors = page.paragraph(f"ECE adapted {page.decimal(ece)} %, frozen {page.decimal(frozen)} %")
    return page.section("Calibration", errors, drawing, note=CALIBRATION_NOTE)


def recurrence_section(run: RunFolder) -> str:
    """Domains that came back."""
    rows = []
    for row in lookup(run.summary, "quality.recurrence.domains") or []:
        first, later, frozen_first, frozen_later = (
            number(row.get(key)) for key in ("first", "later", "first_frozen", "later_frozen")
        )
        rows.append(
            [
                page.text(row.get("name")),
                page.figure(number(row.get("visits")), digits=0),
                page.figure(first),
                page.figure(later),
                page.difference(later - first),
                page.figure(frozen_later - frozen_first),
                page.figure(number(row.get("recovery_frames")), digits=0),
            ]
        )
    if not rows:
        return ""
    names = ("visits", "first", "later", "change", "frozen's", "recovery")
    header = [Cell("domain"), *(Cell(name, "number") for name in names)]
    return page.section("Domains that came back", page.table(header, rows), note=RECURRENCE_NOTE)


def rounds_section(run: RunFolder) -> str:
    """Harmonic means round by round; of streams that were played once nothing."""
    rows = []
    for row in lookup(run.summary, "quality.rounds") or []:
        ours, theirs = number(row.get("hmean")), number(row.get("hmean_frozen"))
        figures = [page.figure(theirs), page.figure(ours), page.difference(ours - theirs), page.bars(ours, theirs)]
        rows.append([page.figure(number(row.get("round")) + 1, digits=0), *figures])
    if len(rows) < 2:
        return ""
    header = [Cell(name, "number") for name in ("round", "frozen", "adapted", "difference")] + [Cell("")]
    worst = page.signed(number(lookup(run.summary, "quality.worst_later_round")))
    note = f"Harmonic means over the visits of each round, in points. Worst later round less the first: {worst}."
    return page.section("Rounds", page.table(header, rows), note=note)


def source_section(run: RunFolder) -> str:
    """What was forgotten of the source."""
    found = lookup(run.summary, "quality.forgetting")
    if found is None:
        return ""
    before, after, lost = (number(found.get(key)) for key in ("miou_before", "miou_after", "points_lost"))
    classes = ", ".join(str(name).replace("_", " ") for name in found.get("classes_lost") or []) or "none"
    values = [
        ("mIoU of the source model", page.decimal(before)),
        ("mIoU of the newest version", page.decimal(after)),
        ("points lost", page.decimal(lost)),
        ("classes more than 10 points lower", classes),
    ]
    note = f"Scored after the run on {found.get('samples')} source samples that no replay held."
    return page.section("What was forgotten of the source", page.pairs(values), note=note)
