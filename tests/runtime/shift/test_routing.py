"""A frame goes to the weights of the frames it looks like."""

import numpy as np
import pytest

from runtime.shift.routing import Router
from tests.fakes import make_source

SOURCE = make_source(np.zeros(2), np.diag([1.0, 0.1]))
RAIN = np.array([4.0, 0.0])


@pytest.mark.parametrize(
    ("features", "is_of_source"),
    [
        ([0.0, 0.0], True),
        ([4.0, 0.0], False),
        ([1.9, 0.0], True),
        ([2.1, 0.0], False),
        ([1.9, 30.0], True),  # far along what scenery does, which the whitening discounts
        ([9.0, 0.0], False),  # worse rain than was ever learnt
    ],
)
def test_the_nearer_appearance_decides(features: list[float], is_of_source: bool) -> None:
    assert Router(SOURCE).is_of_source(np.array(features), RAIN) == is_of_source
