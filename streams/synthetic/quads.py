"""Quads: flat textured parallelograms in the world, the one shape every object is made of.

`QuadList` collects them while a thing is being built; `Quads` is the packed form that a frame is drawn from.
"""

# N quads; vectors are (x right, y down, z forward) in metres

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streams.synthetic.sprites import Sprite, shade_index

Vector = tuple[float, float, float] | np.ndarray
NO_SIDE = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Quads:
    """Packed quads: top-left corner, edge to the right, edge down, the side they are seen from (0: both) and looks.

    `reach_N` is the distance in metres beyond which a quad is not drawn (for a picture 512 pixels wide).
    """

    origin_N3: np.ndarray
    across_N3: np.ndarray
    down_N3: np.ndarray
    normal_N3: np.ndarray
    reach_N: np.ndarray
    shade_N: np.ndarray
    sprites: tuple[Sprite, ...]

    def __len__(self) -> int:
        return len(self.sprites)

    def placed(self, *, at_3: np.ndarray, yaw: float) -> "Quads":
        """The same quads turned by `yaw` to the right and moved to `at_3`."""
        cos, sin = np.cos(yaw), np.sin(yaw)
        turn = np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]])
        return Quads(
            self.origin_N3 @ turn + at_3,
            self.across_N3 @ turn,
            self.down_N3 @ turn,
            self.normal_N3 @ turn,
            self.reach_N,
            self.shade_N,
            self.sprites,
        )


class QuadList:
    """Quads under construction."""

    def __init__(self) -> None:
        self._vectors: list[tuple[Vector, Vector, Vector, Vector]] = []
        self._looks: list[tuple[float, int]] = []
        self._sprites: list[Sprite] = []

    def add(
        self,
        sprite: Sprite,
        *,
        origin: Vector,
        across: Vector,
        down: Vector,
        look: tuple[float, float],
        normal: Vector = NO_SIDE,
    ) -> None:
        """Add one quad; `look` is (reach in metres, brightness gain)."""
        self._vectors.append((origin, across, down, normal))
        self._looks.append((look[0], shade_index(look[1])))
        self._sprites.append(sprite)

    def pack(self) -> Quads:
        """The packed form."""
        vectors = np.array(self._vectors, np.float64).reshape(-1, 4, 3)
        looks = np.array(self._looks, np.float64).reshape(-1, 2)
        return Quads(
            vectors[:, 0],
            vectors[:, 1],
            vectors[:, 2],
            vectors[:, 3],
            looks[:, 0],
            looks[:, 1].astype(np.int64),
            tuple(self._sprites),
        )


def join(parts: Sequence[Quads]) -> Quads:
    """All quads of `parts` in order; `parts` must not be empty."""
    return Quads(
        np.concatenate([part.origin_N3 for part in parts]),
        np.concatenate([part.across_N3 for part in parts]),
        np.concatenate([part.down_N3 for part in parts]),
        np.concatenate([part.normal_N3 for part in parts]),
        np.concatenate([part.reach_N for part in parts]),
        np.concatenate([part.shade_N for part in parts]),
        tuple(sprite for part in parts for sprite in part.sprites),
    )
