"""Random draws by place: every drawn thing has its own generator, keyed by integers.

A world that must look the same whichever frame is asked for first cannot share one generator between its parts.
Here each chunk of street, vehicle or texture draws from `generator(seed, kind, index)`. `Recent` keeps the few
things that were built last, so that purity does not cost a rebuild per frame.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

V = TypeVar("V")

_OFFSET = 1 << 31


def generator(*keys: int) -> np.random.Generator:
    """Independent generator for these integers; each key must lie in [-2**31, 2**63)."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([int(key) + _OFFSET for key in keys])))


class Recent(Generic[V]):
    """The `capacity` values used last, by key.

    It holds no reference to what makes them, which is the owner's method as a rule: owner and values would wait for a
    full collection together, 30 MB for a street: 340 MB of them lay about once the replay of a run was rendered.
    """

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        self._values: OrderedDict[int, V] = OrderedDict()

    def get(self, key: int, make: Callable[[int], V]) -> V:
        """Return the value of `key`; `make(key)`, which must be pure, makes it where it is not at hand."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        value = make(key)
        self._values[key] = value
        if len(self._values) > self._capacity:
            self._values.popitem(last=False)
        return value
