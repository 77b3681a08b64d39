"""The guard: whether freshly learnt weights may be published.

A candidate must be finite and must not have drifted away from the source weights. It looks at tensors only; what
happens to a refused candidate is the learner's business.
"""

from collections.abc import Mapping

import torch
from torch import Tensor


class Guard:
    """Checks candidates against the source weights; `max_drift` bounds ||w - w0|| / ||w0|| over all tensors."""

    def __init__(self, source: Mapping[str, Tensor], *, max_drift: float = 0.5) -> None:
        if max_drift <= 0:
            raise ValueError(f"guard.max_drift must be above 0, got {max_drift}; 0.5 is the default")
        self._source = source
        self._source_norm = _norm(list(source.values()))
        self._max_drift = max_drift

    def refusal(self, candidate: Mapping[str, Tensor]) -> str:
        """Why the candidate must not serve; empty when it may."""
        drift = self.drift(candidate)
        if not torch.isfinite(torch.tensor(drift)):
            return "non-finite weights"
        if drift > self._max_drift:
            return f"weights drifted by {drift:.2f} of their norm, limit {self._max_drift}"
        return ""

    def drift(self, candidate: Mapping[str, Tensor]) -> float:
        """||w - w0|| / ||w0||; nan or inf when any weight is."""
        offsets = [candidate[name] - tensor for name, tensor in self._source.items()]
        return _norm(offsets) / max(self._source_norm, 1e-12)


def _norm(tensors: list[Tensor]) -> float:
    with torch.no_grad():
        return float(torch.stack(torch._foreach_norm(tensors)).norm())
