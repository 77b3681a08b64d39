from evaluation.online import OnlineScore
from evaluation.report import write_report
from evaluation.run_folder import read_run
from evaluation.timeline import read_timeline
from runtime.events import Rollback, ShiftEvent, ShiftScore
from runtime.record import RunRecord
from runtime.summary import SummaryBuilder
from tests.fakes import (
    CLASSES,
    make_frame,
    make_governor_changed,
    make_prediction,
    make_run_finished,
    make_run_started,
    make_shadow,
    make_step,
)


def test_report_of_what_the_runtime_records(tmp_path):
    """Events through the real scorer, record and summary: the report finds every field where they put it."""
    scorer, summary = OnlineScore(CLASSES), SummaryBuilder({"python": "3.11"})
    record = RunRecord(tmp_path / "run", config_toml="[run]\n", scores=scorer.scores)
    for event in recorded_events():
        for observer in (scorer, summary, record):
            observer.observe(event)
    record.close()
    record.write_summary(summary.build(scorer.scores()))
    run = read_run(tmp_path / "run")
    timeline = read_timeline(run)
    curves = (timeline.miou, timeline.miou_frozen, timeline.confidence, timeline.agreement, timeline.latency)
    assert not any(curve.is_empty for curve in (*curves, timeline.loss, timeline.shift_score, timeline.version))
    assert [(span.name, span.first, span.last) for span in timeline.spans] == [("clear", 0, 9), ("fog_75m", 10, 19)]
    assert [(mark.frame, mark.kind, mark.detail) for mark in timeline.shifts.listed] == [(11, "away", "fog_75m")]
    assert [(mark.frame, mark.kind, mark.value) for mark in timeline.efforts.listed] == [
        (9, "learning shed", 2),
        (9, "resumed", 1),
    ]
    assert [mark.kind for mark in timeline.troubles.listed] == ["nonfinite", "rollback"]
    html = write_report(tmp_path / "run").read_text(encoding="utf-8")
    assert html.count("data:image/") == 8
    assert html.count("fog_75m</td>") == 2
    assert "sidewalk</td>" in html


def recorded_events():
    yield make_run_started()
    for index in range(20):
        frame = make_frame(index, at_s=100.0 + index / 10, domain="clear" if index < 10 else "fog_75m")
        prediction = make_prediction(frame, version=index)
        yield from (prediction, make_shadow(prediction))
        yield ShiftScore(index, index / 10, index > 10, prediction.finished_at_s)
        yield make_step(index, outcome="nonfinite" if index == 7 else "applied", version=index + 1)
        if index == 11:
            yield ShiftEvent(index, "away", 1.1, frame.domain, prediction.finished_at_s)
    yield make_governor_changed(2)
    yield make_governor_changed(1, reason="calm")
    yield Rollback(19, 3, "loss above its band", 102.0)
    yield make_run_finished()
