import pytest

from evaluation.lags import MAX_LISTED, LagLog
from runtime.events import Recall, ShiftEvent, StatisticsTaken, TrustChanged
from tests.fakes import make_frame, make_prediction, make_step


def answer(log, index, domain, *, version=0):
    log.observe(make_prediction(make_frame(index, domain=domain), version=version))


def shift(frame, kind="away"):
    return ShiftEvent(frame, kind, 1.2, None, 0.0)


def test_each_part_by_hand():
    log = LagLog()
    answer(log, 0, "clear")
    answer(log, 1, "clear")
    answer(log, 2, "rain")
    answer(log, 4, "rain")  # frame 3 was dropped
    log.observe(shift(4))
    log.observe(make_step(4, outcome="shadowed", version=0))
    answer(log, 5, "rain")
    log.observe(shift(5, "change"))
    log.observe(make_step(5, version=1))
    answer(log, 6, "rain", version=0)  # routed to the source
    answer(log, 7, "rain", version=1)
    answer(log, 8, "rain", version=2)
    clear, rain = log.lags()
    assert (clear.domain, clear.detected, clear.served) == ("clear", None, None)
    assert (rain.domain, rain.visit, rain.first_frame) == ("rain", 1, 2)
    assert (rain.detected, rain.version, rain.served) == (2, 1, 5)


def test_what_was_learnt_before_does_not_count_as_learnt_here():
    log = LagLog()
    answer(log, 0, "rain")
    log.observe(make_step(0, version=7))
    answer(log, 1, "fog", version=7)
    log.observe(make_step(1, outcome="relaxed", version=8))
    answer(log, 2, "fog", version=8)
    log.observe(TrustChanged(2, True, 0.7, 9, 0.0))  # trusted here, but learnt in the rain
    answer(log, 3, "fog", version=9)
    assert log.lags()[1].version is log.lags()[1].served is None
    log.observe(make_step(3, version=10))
    answer(log, 4, "fog", version=10)
    assert log.lags()[1].served == 3


def test_what_was_learnt_here_in_the_shadow_counts_once_it_is_trusted():
    log = LagLog()
    answer(log, 0, "rain")
    log.observe(make_step(0, outcome="shadowed", version=0))
    answer(log, 1, "rain")
    assert log.lags()[0].version is log.lags()[0].served is None
    log.observe(TrustChanged(1, True, 0.7, 1, 0.0))
    answer(log, 2, "rain")  # routed to the source
    answer(log, 3, "rain", version=1)
    assert (log.lags()[0].version, log.lags()[0].served) == (1, 3)


def test_what_is_recalled_into_the_shadow_counts_once_it_is_trusted():
    log = LagLog()
    answer(log, 0, "clear", version=3)
    answer(log, 1, "rain", version=3)
    log.observe(Recall(1, 0, 0.2, 0, 0.0))
    log.observe(TrustChanged(1, False, 0.99, 0, 0.0))
    answer(log, 2, "rain")
    assert log.lags()[1].version is log.lags()[1].served is None
    log.observe(TrustChanged(2, True, 0.7, 4, 0.0))
    answer(log, 3, "rain", version=4)
    assert log.lags()[1].served == 2


def test_what_is_recalled_counts_unless_it_was_refused():
    log = LagLog()
    answer(log, 0, "rain")
    log.observe(Recall(0, 1, 0.2, 3, 0.0, refusal="it lost a class"))
    answer(log, 1, "rain", version=3)
    assert log.lags()[0].served is None
    log.observe(Recall(1, 0, 0.2, 4, 0.0))
    answer(log, 2, "rain", version=4)
    assert log.lags()[0].served == 2


def test_statistics_of_the_visit_count_as_soon_as_they_serve():
    log = LagLog()
    answer(log, 0, "clear")
    answer(log, 1, "night")
    log.observe(StatisticsTaken(1, 1.0, 3, 0.0))
    log.observe(make_step(1, outcome="shadowed", version=4))
    answer(log, 2, "night", version=4)
    assert (log.lags()[1].version, log.lags()[1].served) == (3, 1)


def test_events_that_come_late_belong_to_the_visit_of_their_frame():
    log = LagLog()
    answer(log, 0, "clear")
    answer(log, 1, "rain")
    answer(log, 2, "clear")
    log.observe(shift(1))
    log.observe(make_step(1, version=3))
    clear, rain, back = log.lags()
    assert (rain.detected, rain.version) == (0, 3)
    assert clear.detected is back.detected is back.version is None


def test_memory_is_bounded_and_a_log_goes_on_from_its_state():
    log, again = LagLog(), LagLog()
    for index in range(300):
        answer(log, index, f"domain_{index}")
    log.observe(make_step(299, outcome="shadowed", version=0))
    assert [lag.visit for lag in log.lags()] == list(range(300 - MAX_LISTED, 300))
    again.load_state(log.state())
    assert again.lags() == log.lags() and again.lags()[-1].is_learnt
    answer(again, 300, "domain_300")
    assert again.lags()[-1].visit == 300
    with pytest.raises(ValueError, match="not the state of a log of lags"):
        again.load_state({})
