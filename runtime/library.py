"""The domain library: what was learnt, kept by the look of the frames it was learnt for.

    library = DomainLibrary(source_appearance, capacity_bytes=64 * 2**20)
    number = library.remember(appearance_F, tensors, agreement=0.6, num_frames=10)      # copies; merges or adds
    found = library.find(features_F)                                                    # of one frame; None: unknown

Appearances are kept as raw features, and compared as whitened by the source samples of the run at hand: whitened axes
are eigenvectors, whose order and sign mean nothing to another run, while raw features are the same photometry
everywhere. It never holds more than its bound: the domain worth least goes first. Knows neither models nor files.
"""

# F features

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import cast

import numpy as np
from torch import Tensor

from runtime.shift.calibration import SourceAppearance
from runtime.state import State, kept, kept_array

MERGE_SHARE = 0.5  # of the source's edge: nearer than this, two appearances are one domain's; revisits lie 0.2 to 0.7


@dataclass(frozen=True, slots=True, eq=False)
class KeptDomain:
    """Weights of a domain, in host memory, owned by nobody and never written again. `number` is never used twice.

    `agreement` is the share of pixels of its frames that they answer as the frozen model does, nan where unknown: the
    evidence that they are worth serving. `num_frames` were seen while they were learnt or had been recalled.
    """

    number: int
    appearance_F: np.ndarray
    tensors: Mapping[str, Tensor]
    agreement: float
    num_frames: int
    num_recalls: int = 0

    @property
    def num_bytes(self) -> int:
        held = (tensor.numel() * tensor.element_size() for tensor in self.tensors.values())
        return self.appearance_F.nbytes + sum(held)

    @property
    def value(self) -> float:
        """Frames it was there for, by the share of pixels it answers otherwise than frozen; returning counts again."""
        gain = 1.0 if np.isnan(self.agreement) else 1.0 - self.agreement
        return gain * self.num_frames * (1 + self.num_recalls)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A kept domain, its distance from the frame that was asked about and from the source, in units of its edge."""

    domain: KeptDomain
    distance: float
    from_source: float


class DomainLibrary:
    """One thread changes it; `domains` may be read by any, for what it gives is never changed."""

    def __init__(self, source: SourceAppearance, *, capacity_bytes: int) -> None:
        if capacity_bytes < 0:
            raise ValueError(f"library.capacity_bytes must be 0 or more, got {capacity_bytes}; 0 keeps nothing")
        self._source = source
        self._capacity_bytes = capacity_bytes
        self._domains: tuple[KeptDomain, ...] = ()
        self._next_number = 1

    @property
    def domains(self) -> tuple[KeptDomain, ...]:
        """Least recently used first."""
        return self._domains

    @property
    def num_bytes(self) -> int:
        return sum(domain.num_bytes for domain in self._domains)

    def find(self, features_F: np.ndarray) -> Found | None:
        """The domain nearest to a frame's features, if no further away than the edge is from the source.

        None for a frame that is no further from the source: what is found is nearer to it than the source is.
        """
        nearest = next(iter(self._by_distance(features_F)), None)
        is_known = nearest is not None and nearest.distance <= 1.0 and not self.is_of_source(features_F)
        return nearest if is_known else None

    def is_of_source(self, features_F: np.ndarray) -> bool:
        """Whether a single frame like this lies within the edge of the source."""
        return self._from_source(features_F) <= 1.0

    def is_near(self, first_F: np.ndarray, second_F: np.ndarray) -> bool:
        """Whether two appearances are no further apart than source samples from the source: maybe the same domain."""
        return self._separation(first_F, second_F) <= 1.0

    def remember(
        self, appearance_F: np.ndarray, tensors: Mapping[str, Tensor], *, agreement: float, num_frames: int
    ) -> int | None:
        """Keep copies of `tensors` for frames that look like this, seen `num_frames` times since the last call.

        The newer replaces what is kept of the same domain, so no two kept are one. Returns the domain's number, None
        where it alone is larger than the bound.
        """
        copies = MappingProxyType({name: kept(tensor) for name, tensor in tensors.items()})
        same = [found.domain for found in self._by_distance(appearance_F) if found.distance <= MERGE_SHARE]
        domain = KeptDomain(
            number=same[0].number if same else self._next_number,
            appearance_F=appearance_F.copy(),
            tensors=copies,
            agreement=same[0].agreement if same and np.isnan(agreement) else agreement,
            num_frames=num_frames + sum(known.num_frames for known in same),
            num_recalls=sum(known.num_recalls for known in same),
        )
        if domain.num_bytes > self._capacity_bytes:
            return None
        self._next_number = max(self._next_number, domain.number + 1)
        others = [other for other in self._domains if other not in same]
        self._domains = (*_most_valuable(others, self._capacity_bytes - domain.num_bytes), domain)
        return domain.number

    def note_recall(self, number: int) -> None:
        """The domain returned."""
        self._replace(number, lambda domain: replace(domain, num_recalls=domain.num_recalls + 1))

    def note_agreement(self, number: int, agreement: float) -> None:
        """How far its weights agree with the frozen model, by the newest readings; nan tells nothing."""
        if not np.isnan(agreement):
            self._replace(number, lambda domain: replace(domain, agreement=agreement))

    def forget(self, number: int) -> None:
        """Keep the domain no longer."""
        self._domains = tuple(domain for domain in self._domains if domain.number != number)

    def state(self) -> State:
        """Every domain. Weights are given as they are: they never change."""
        return {"next_number": self._next_number, "domains": [_state_of(domain) for domain in self._domains]}

    def load_state(self, state: State) -> None:
        """Hold what `state` holds, the least valuable left out where that is more than the bound."""
        match state:
            case {"next_number": int(next_number), "domains": list(states)}:
                domains = [_from_state(cast(State, one)) for one in states]
            case _:
                raise ValueError(f"not the state of a domain library: it has the keys {sorted(state)}")
        self._domains = tuple(_most_valuable(domains, self._capacity_bytes))
        self._next_number = next_number

    def _replace(self, number: int, change: Callable[[KeptDomain], KeptDomain]) -> None:
        """Change a domain, if it is still kept; it becomes the one used last."""
        for domain in self._domains:
            if domain.number == number:
                self._domains = (*(other for other in self._domains if other is not domain), change(domain))

    def _by_distance(self, features_F: np.ndarray) -> list[Found]:
        """All domains, the nearest first."""
        found = [
            Found(domain, self._separation(features_F, domain.appearance_F), self._from_source(domain.appearance_F))
            for domain in self._domains
        ]
        return sorted(found, key=lambda one: one.distance)

    def _from_source(self, features_F: np.ndarray) -> float:
        return self._source.distance(features_F) / self._source.threshold

    def _separation(self, first_F: np.ndarray, second_F: np.ndarray) -> float:
        return self._source.separation(first_F, second_F) / self._source.threshold


def _most_valuable(domains: list[KeptDomain], capacity_bytes: int) -> list[KeptDomain]:
    """What fits, in the order given; of two worth the same the one used earlier goes first."""
    left = list(domains)
    while sum(domain.num_bytes for domain in left) > capacity_bytes:
        left.remove(min(left, key=lambda domain: domain.value))
    return left


def _state_of(domain: KeptDomain) -> State:
    return {
        "number": domain.number,
        "appearance": kept_array(domain.appearance_F),
        "tensors": dict(domain.tensors),
        "agreement": domain.agreement,
        "num_frames": domain.num_frames,
        "num_recalls": domain.num_recalls,
    }


def _from_state(state: State) -> KeptDomain:
    match state:
        case {
            "number": int(number),
            "appearance": Tensor() as appearance_F,
            "tensors": dict(tensors),
            "agreement": float(agreement),
            "num_frames": int(num_frames),
            "num_recalls": int(num_recalls),
        }:
            weights = MappingProxyType(cast(dict[str, Tensor], tensors))
            return KeptDomain(number, appearance_F.numpy(), weights, agreement, num_frames, num_recalls)
    raise ValueError(f"not the state of a kept domain: it has the keys {sorted(state)}")
