"""Rule 2: every prediction comes from exactly one published version (`witness.py` says how that is proved)."""

import pytest

from runtime.weights import VersionedWeights
from tests.runtime.witness import FoldedWitness, Learning, Witness, copied, filled, folded, predict_under_fire, swapped

WAYS = [(swapped, Witness, 400), (folded, FoldedWitness, 100), (copied, Witness, 400)]


@pytest.mark.parametrize(("make", "make_witness", "num"), WAYS)
def test_every_prediction_comes_from_exactly_one_version(make, make_witness, num) -> None:
    weights = VersionedWeights(filled(0))
    verdict = predict_under_fire(num, make(weights), Learning(weights).publish, make_witness=make_witness)
    assert verdict.num_torn == 0
    learnt = [version for version in verdict.versions if version]
    assert learnt == sorted(learnt)
    assert learnt[-1] >= 0.75 * num  # in every frame a turn of the writer, one in 14 to version 0


LONG = [(swapped, Witness, 25_000, interval_s) for interval_s in (5e-5, 2e-4, 1e-3, 5e-3)]
LONG += [(folded, FoldedWitness, 10_000, 2e-4), (copied, Witness, 20_000, 2e-4)]


@pytest.mark.faults
@pytest.mark.timeout(570)
@pytest.mark.parametrize(("make", "make_witness", "num", "interval_s"), LONG)
def test_so_do_a_hundred_thousand(make, make_witness, num, interval_s) -> None:
    """A publication ends within every forward pass, and the next begins; threads take turns at four paces."""
    weights = VersionedWeights(filled(0))
    publish = Learning(weights).publish
    verdict = predict_under_fire(
        num, make(weights), publish, num_ahead=1, interval_s=interval_s, make_witness=make_witness
    )
    assert verdict.num_torn == 0
    learnt = [version for version in verdict.versions if version]
    assert learnt == sorted(learnt) and len(set(learnt)) >= num // 2 and 0 in verdict.versions


@pytest.mark.parametrize("make", [swapped, copied])
def test_a_late_writer_reaches_no_prediction(make) -> None:
    """Declared hung and retired in the midst of publishing, it goes on trying all the while."""
    weights, final = VersionedWeights(filled(0)), []
    at = {100: lambda: final.append(weights.retire_writer().number)}
    verdict = predict_under_fire(300, make(weights), Learning(weights).publish, at=at)
    assert verdict.num_torn == 0 and verdict.num_refused >= 200
    assert final == [0] and set(verdict.versions[100:]) == {0}  # the source, whatever was learnt
    assert max(verdict.versions[:100]) > 0
