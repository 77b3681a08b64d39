"""The report of a run: `report.html`, rebuilt from the run folder alone.

`write_report` needs no running program, no data set and no network, and the page it writes needs none either. A run
that is still going or was cut short is reported as far as it got, and the report says so.
"""

import os
import sys
from pathlib import Path

from evaluation import findings, page, tables
from evaluation.plots import draw_latency_cdf, draw_over_time
from evaluation.previews import preview_strips
from evaluation.run_folder import NotARunFolder, RunFolder, lookup, read_run
from evaluation.timeline import Timeline, read_timeline

REPORT_NAME = "report.html"
EXIT_USAGE = 2


def main(run_dir: Path) -> int:
    """`udaseg-runtime report RUN_DIR`: write the report, print its path; the exit code."""
    try:
        print(write_report(run_dir))
    except NotARunFolder as error:
        print(f"report {error}", file=sys.stderr)
        return EXIT_USAGE
    except OSError as error:
        print(f"report {run_dir}: {REPORT_NAME} cannot be written ({error.strerror}); check the disk", file=sys.stderr)
        return EXIT_USAGE
    return 0


def write_report(run_dir: Path) -> Path:
    """Write `report.html` into the run folder and return its path; an older report is replaced whole.

    Raises:
        NotARunFolder: there is nothing to report.
        OSError: the folder cannot be written.
    """
    run_dir = Path(run_dir)
    target = run_dir / REPORT_NAME
    partial = run_dir / f".{REPORT_NAME}.partial"
    partial.write_text(render(read_run(run_dir)), encoding="utf-8", errors="replace")  # a folder's name may be no text
    os.replace(partial, target)
    return target


def render(run: RunFolder) -> str:
    """The whole report as HTML text."""
    timeline = read_timeline(run)
    domains = lookup(run.summary, "quality.domains") or []
    is_scored = bool(domains) or not timeline.miou.is_empty
    over_time = draw_over_time(timeline, domains)
    return page.page(
        f"{tables.value_of(run, 'stream')}, {tables.value_of(run, 'method')}",
        [
            tables.heading(run),
            *tables.notices(run, timeline),
            tables.tiles(run, timeline),
            page.section("Accuracy by visit", tables.visit_table(run), note=tables.VISIT_NOTE),
            page.section("Over time", over_time, note=_over_time_note(timeline, is_scored=is_scored)),
            page.section("What the camera saw", *preview_strips(run.previews)),
            page.columns(
                [
                    page.section("Accuracy by class", tables.class_table(run), note=tables.CLASS_NOTE),
                    findings.rounds_section(run),
                    findings.recurrence_section(run),
                    page.section("Adaptation", tables.adaptation_table(run, timeline)),
                ],
                [
                    findings.source_section(run),
                    findings.calibration_section(run),
                    findings.timed_section(run),
                    page.section("Latency", draw_latency_cdf(timeline), tables.latency_table(run, timeline)),
                    page.section("Detected shifts", tables.shift_table(run, timeline)),
                ],
            ),
            page.columns(
                [page.section("Environment", tables.environment_table(run))],
                [page.section("Configuration", tables.config_block(run))],
            ),
        ],
    )


def _over_time_note(timeline: Timeline, *, is_scored: bool) -> str:
    shaded = "Shading marks the domain visits. " if any(span.name for span in timeline.spans) else ""
    if is_scored:
        return (
            f"{shaded}Thin lines: mIoU over the last frames; broad lines: over the whole visit. "
            "Green where the adapted model leads, red where the frozen one does. Shift score 1 is the source's edge."
        )
    return (
        f"{shaded}The stream carries no labels, so health stands in for accuracy: mean confidence and entropy of the "
        "answers, and how far the adapted model agrees with the frozen one. Shift score 1 is the edge of the source."
    )
