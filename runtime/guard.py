"""The guard: whether freshly learnt weights may serve.

A candidate must be finite, near the source weights, and answer source samples much as the frozen model does. It judges
only; what happens to a refused candidate is the learner's business. Whether an accepted one is worth serving is another
question, see `runtime/trust.py`.
"""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from runtime.probe import Probe, ProbeReading
from runtime.state import State, restore, state_of

MAX_DRIFT = 0.5  # of the network's norm; 0.08 after a storm up to 200 mm/h
LEAST_AGREEMENT = 0.8  # with the frozen model over the probe; healthy learning stays above 0.9
LEAST_NEWEST_AGREEMENT = 0.5  # on the sample just seen: a collapse need not wait for all of them
LEAST_MIOU_SHARE = 0.6  # of the frozen model's mIoU on the probe; healthy learning stays above 0.8


class Guard:
    """Checks candidates against the source weights and the probe.

    How far weights may move is told in shares of the norm of all parameters of `network`, frozen ones too, for adapters
    begin at nothing; without one, in shares of the norm of `source`.
    """

    def __init__(
        self,
        source: Mapping[str, Tensor],
        *,
        network: nn.Module | None = None,
        probe: Probe | None = None,
        max_drift: float = MAX_DRIFT,
    ) -> None:
        if max_drift <= 0:
            raise ValueError(f"guard.max_drift must be above 0, got {max_drift}; {MAX_DRIFT} is the default")
        self._source = source
        self._norm = _norm(list(source.values() if network is None else network.parameters()))
        self._probe = probe
        self._max_drift = max_drift

    def refusal(self, candidate: Mapping[str, Tensor], model: nn.Module) -> str:
        """Why the candidate, and `model` that computes with it, must not serve; empty when it may."""
        drift = self.drift(candidate)
        if not torch.isfinite(torch.tensor(drift)):
            return "non-finite weights"
        if drift > self._max_drift:
            return f"weights drifted by {drift:.2f} of the network's norm, limit {self._max_drift}"
        return "" if self._probe is None else _fault(self._probe.read(model))

    def drift(self, candidate: Mapping[str, Tensor]) -> float:
        """||w - w0|| in shares of that norm; nan or inf when any weight is."""
        offsets = [candidate[name] - tensor for name, tensor in self._source.items()]
        return _norm(offsets) / self._norm

    def reset(self) -> None:
        """The next candidate starts from the source again."""
        if self._probe is not None:
            self._probe.reset()

    def state(self) -> State:
        """What the probe remembers of candidates."""
        return {"probe": state_of(self._probe)}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        restore(self._probe, cast(State, state["probe"]))


def _fault(reading: ProbeReading) -> str:
    """What is wrong with a candidate that answers source samples like this."""
    if reading.newest_agreement < LEAST_NEWEST_AGREEMENT:
        return f"agrees with frozen on {reading.newest_agreement:.0%} of one source sample"
    if reading.agreement < LEAST_AGREEMENT:
        return f"agrees with frozen on {reading.agreement:.0%} of source samples"
    if reading.lost_class is not None:
        return f"class {reading.lost_class} is gone from its answers to source samples"
    if reading.miou < LEAST_MIOU_SHARE * reading.miou_frozen:
        return f"{100 * reading.miou:.1f} mIoU on source samples, frozen {100 * reading.miou_frozen:.1f}"
    return ""


def _norm(tensors: list[Tensor]) -> float:
    with torch.no_grad():
        return float(torch.stack(torch._foreach_norm(tensors)).norm())
