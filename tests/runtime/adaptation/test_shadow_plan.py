"""The frozen model answers its share of frames."""

import pytest

from runtime.adaptation.shadow_plan import ShadowPlan
from tests.runtime.adaptation.cycles import Repeating, answers


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.25, 1 / 3, 0.5, 0.9, 1.0])
def test_shadows_are_spread_evenly(share) -> None:
    plan = ShadowPlan(Repeating(), share=share)
    shadowed = [bool(list(plan.events(prediction))) for prediction in answers(range(60))]
    assert sum(shadowed) == pytest.approx(60 * share, abs=1)
    for length in (10, 20, 30):
        counts = [sum(shadowed[first : first + length]) for first in range(60 - length)]
        assert max(counts) - min(counts) <= 1
