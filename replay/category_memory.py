"""CategoryMemory: a few recent, sure target images, balanced over what was seen in them.

The bank of RoTTA (Yuan et al. 2023, arXiv 2303.13899, "category-balanced sampling with timeliness and uncertainty").
Each category may fill its share of the capacity. Who comes in while the memory or that share is full takes the place of
the worst item of the largest categories, or of its own category, if that one is worse than itself:

    badness = timeliness / (1 + exp(-age / capacity)) + uncertainty * entropy / log K

Images are uint8 in storage allocated once. It knows nothing of models; chance is an argument.
"""

# N capacity, B images drawn, H height, W width, C channels (RGB), K categories

import math
from collections.abc import Mapping
from typing import Any  # what a state holds

import torch
from torch import Tensor

EMPTY = -1


class CategoryMemory:
    """Bounded in images and so in bytes. One owner.

    `timeliness` and `uncertainty` are the paper's lambdas, 1 each. Ages count what was offered since.
    """

    def __init__(
        self,
        size_HW: tuple[int, int],
        *,
        capacity: int,
        num_categories: int,
        timeliness: float = 1.0,
        uncertainty: float = 1.0,
    ) -> None:
        if capacity < 1 or num_categories < 2:
            raise ValueError(
                f"a category memory needs a capacity of at least 1 and two categories, got {capacity}, {num_categories}"
            )
        self._num_categories = num_categories
        self._timeliness = timeliness
        self._uncertainty = uncertainty
        self._images_NHWC = torch.empty((capacity, *size_HW, 3), dtype=torch.uint8)
        self._categories_N = torch.full((capacity,), EMPTY)
        self._entropies_N = torch.zeros(capacity, dtype=torch.float64)
        self._ages_N = torch.zeros(capacity, dtype=torch.int64)

    def __len__(self) -> int:
        return int((self._categories_N != EMPTY).sum())

    @property
    def capacity(self) -> int:
        return self._categories_N.numel()

    @property
    def num_bytes(self) -> int:
        """Of image storage, touched or not."""
        return self._images_NHWC.numel()

    @property
    def counts_K(self) -> Tensor:
        """Images held of each category, int64."""
        return torch.bincount(self._categories_N[self._categories_N != EMPTY], minlength=self._num_categories)

    def add(self, image_HWC: Tensor, *, category: int, entropy: float) -> bool:
        """Offers an image (uint8, copied); whether it was taken. `entropy` is in nats, at most log K."""
        place = self._place(category, entropy)
        if place is not None:
            self._images_NHWC[place] = image_HWC
            self._categories_N[place], self._entropies_N[place], self._ages_N[place] = category, entropy, 0
        self._ages_N[self._categories_N != EMPTY] += 1  # the newest too, as in the authors' code
        return place is not None

    def draw(self, num: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Up to `num` different images (B, H, W, 3), uint8, and their ages (B,) in capacities; all if `num` is more."""
        held = torch.nonzero(self._categories_N != EMPTY).flatten()
        chosen = held[torch.randperm(held.numel(), generator=generator)[:num]]
        return self._images_NHWC[chosen], self._ages_N[chosen].float() / self.capacity

    def state(self) -> dict[str, Any]:
        """Copies of everything, images of empty places left out."""
        held = self._categories_N != EMPTY
        return {
            "images": self._images_NHWC[held],
            "categories": self._categories_N.clone(),
            "entropies": self._entropies_N.clone(),
            "ages": self._ages_N.clone(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state`; ValueError where it is of another memory."""
        if (
            state["categories"].shape != self._categories_N.shape
            or state["images"].shape[1:] != self._images_NHWC.shape[1:]
        ):
            raise ValueError("the state is that of a category memory of another capacity or image size")
        self._categories_N.copy_(state["categories"])
        self._entropies_N.copy_(state["entropies"])
        self._ages_N.copy_(state["ages"])
        self._images_NHWC[self._categories_N != EMPTY] = state["images"]

    def _place(self, category: int, entropy: float) -> int | None:
        """Where the newcomer goes: a free place, the place of what is worse, or nowhere."""
        counts_K = self.counts_K
        if int(counts_K[category]) >= self.capacity / self._num_categories:
            rivals_N = self._categories_N == category
        elif int(counts_K.sum()) < self.capacity:
            return int((self._categories_N == EMPTY).nonzero()[0])
        else:
            largest_K = torch.nonzero(counts_K == counts_K.max()).flatten()
            rivals_N = torch.isin(self._categories_N, largest_K)
        badness_N = self._badness().masked_fill(~rivals_N, -math.inf)
        worst = int(badness_N.argmax())
        own = self._timeliness / 2.0 + self._uncertainty * entropy / math.log(self._num_categories)
        return worst if float(badness_N[worst]) > own else None

    def _badness(self) -> Tensor:
        """(N,), also of empty places."""
        recency_N = torch.sigmoid(self._ages_N.double() / self.capacity)
        unsureness_N = self._entropies_N / math.log(self._num_categories)
        return self._timeliness * recency_N + self._uncertainty * unsureness_N
