"""Rule 2: every prediction comes from exactly one published version (`witness.py` says how that is proved)."""

import pytest

from runtime.weights import VersionedWeights
from tests.runtime.witness import Learning, copied, filled, predict_under_fire, swapped


@pytest.mark.parametrize("make", [swapped, copied])
def test_every_prediction_comes_from_exactly_one_version(make) -> None:
    weights = VersionedWeights(filled(0))
    verdict = predict_under_fire(400, make(weights), Learning(weights).publish)
    assert verdict.num_torn == 0
    learnt = [version for version in verdict.versions if version]
    assert learnt == sorted(learnt) and learnt[-1] >= 300  # in every frame a turn of the writer, one in 14 to version 0


@pytest.mark.faults
@pytest.mark.timeout(570)
@pytest.mark.parametrize(("make", "num"), [(swapped, 100_000), (copied, 20_000)])
def test_so_do_a_hundred_thousand(make, num) -> None:
    """Threads switch where they will; a publication ends within every twentieth forward pass for certain."""
    weights = VersionedWeights(filled(0))
    verdict = predict_under_fire(num, make(weights), Learning(weights).publish, every=20)
    assert verdict.num_torn == 0
    learnt = [version for version in verdict.versions if version]
    assert learnt == sorted(learnt) and len(set(learnt)) >= num // 30 and 0 in verdict.versions


@pytest.mark.parametrize("make", [swapped, copied])
def test_a_late_writer_reaches_no_prediction(make) -> None:
    """Declared hung and retired in the midst of publishing, it goes on trying all the while."""
    weights, final = VersionedWeights(filled(0)), []
    at = {100: lambda: final.append(weights.retire_writer().number)}
    verdict = predict_under_fire(300, make(weights), Learning(weights).publish, at=at)
    assert verdict.num_torn == 0 and verdict.num_refused >= 200
    assert final == [0] and set(verdict.versions[100:]) == {0}  # the source, whatever was learnt
    assert max(verdict.versions[:100]) > 0
