import numpy as np

from evaluation.run_folder import lookup
from evaluation.timeline import percentiles


def test_percentiles_pass_over_what_was_not_measured():
    found = percentiles(np.array([np.nan, *range(1, 102)]))
    assert (found["p50"], found["p95"], found["p99"], found["max"]) == (51.0, 96.0, 100.0, 101.0)
    assert np.isnan(percentiles(np.array([np.nan]))["p99"])


def test_lookup_stops_where_a_part_is_missing():
    assert lookup({"a": {"b": 3}}, "a.b") == 3
    assert lookup({"a": None}, "a.b") is None
    assert lookup(None, "a") is None
