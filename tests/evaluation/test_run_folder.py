import numpy as np

from evaluation.run_folder import lookup
from evaluation.thinning import Curve
from evaluation.timeline import percentiles


def test_percentiles_pass_over_what_was_not_measured():
    values = np.array([np.nan, *range(1, 102)])
    found = percentiles(Curve(np.arange(102.0), values, peak=300.0))
    assert (found["p50"], found["p95"], found["p99"], found["max"]) == (51.0, 96.0, 100.0, 300.0)
    assert np.isnan(percentiles(Curve(np.zeros(1), np.array([np.nan]), peak=-np.inf))["p99"])


def test_lookup_stops_where_a_part_is_missing():
    assert lookup({"a": {"b": 3}}, "a.b") == 3
    assert lookup({"a": None}, "a.b") is None
    assert lookup(None, "a") is None
