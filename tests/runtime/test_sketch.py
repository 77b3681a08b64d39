import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.sketch import LARGEST, RELATIVE_ERROR, SMALLEST, QuantileSketch

TIMES_MS = st.lists(st.floats(2 * SMALLEST, LARGEST / 2), min_size=1, max_size=200)
SHARES = st.floats(0, 1)


def filled(samples):
    sketch = QuantileSketch()
    for sample in samples:
        sketch.add(sample)
    return sketch


@given(samples=TIMES_MS, share=SHARES)
def test_every_quantile_is_within_the_promised_error_of_the_one_over_all_samples(samples, share):
    assert filled(samples).quantile(share) == pytest.approx(np.quantile(samples, share), rel=RELATIVE_ERROR + 1e-9)


@pytest.mark.parametrize("draw", ["lognormal", "uniform", "exponential"])
def test_percentiles_of_many_samples(draw):
    samples = getattr(np.random.default_rng(0), draw)(size=20_000) * 40 + 1
    sketch = filled(samples.tolist())
    for share in (0.01, 0.5, 0.95, 0.99, 0.999):
        assert sketch.quantile(share) == pytest.approx(np.quantile(samples, share), rel=RELATIVE_ERROR)
    assert sketch.max == samples.max() and len(sketch) == 20_000
    assert sketch.sum == pytest.approx(samples.sum())


@given(samples=TIMES_MS, more=TIMES_MS, share=SHARES)
def test_going_on_from_a_state_is_as_if_never_interrupted(samples, more, share):
    resumed, whole = QuantileSketch(), filled([*samples, *more])
    resumed.load_state(filled(samples).state())
    for sample in more:
        resumed.add(sample)
    assert resumed.quantile(share) == whole.quantile(share)
    assert (resumed.max, resumed.sum, len(resumed)) == (whole.max, whole.sum, len(whole))


def test_a_state_is_a_copy():
    sketch = filled([1.0, 2.0])
    before = sketch.state()
    sketch.add(3.0)
    restored = QuantileSketch()
    restored.load_state(before)
    assert (len(restored), restored.max) == (2, 2.0)


def test_nothing_is_known_of_no_samples():
    empty = QuantileSketch()
    assert (empty.quantile(0.5), empty.max, empty.sum, len(empty)) == (None, None, 0.0, 0)
    empty.load_state(empty.state())
    assert empty.quantile(0.5) is None


@pytest.mark.parametrize("sample", [0.0, -1.0, 1e-9, 1e12])
def test_samples_out_of_range_count_at_the_nearer_end(sample):
    sketch = filled([sample])
    assert len(sketch) == 1 and sketch.quantile(0.5) <= LARGEST * (1 + RELATIVE_ERROR)


def test_a_state_of_something_else_is_refused():
    with pytest.raises(ValueError, match="not the state of a quantile sketch"):
        QuantileSketch().load_state({"counts": 3})
