"""Tones: how bright, how colourful and how contrasty each place of a scene is, in the source and in the stream.

Mean and variance of each opponent colour by place (`layout.py`): over many source samples once, over the frames just
seen as a running sum. Recolouring takes the source's tones to the stream's, place by place (Reinhard et al. 2001,
"Color transfer between images", eq. 10-11, with statistics of domains instead of two images). Domains, because a single
frame's statistics are as much those of its scenery: matched to them, the source takes on the colour of houses that
happen to stand there. In the source's own weather nothing changes, and by depth a veil comes out as a veil.
"""

# H height, W width, C channels (opponent colours), P places, X pixels

from dataclasses import dataclass

import torch
from torch import Tensor

from runtime.adaptation.layout import Places
from runtime.state import State

DECAY = 0.9  # of the stream's sums, per frame learned from
PRIOR_SHARE = 0.002  # of a frame's pixels: a place seen less than that takes its tones from the others
MAX_GAIN = 4.0  # a nearly flat place must not be blown up
LEAST_VARIANCE = 0.5
MAX_GRAIN = 0.9  # share of a place's variance that may be grain


@dataclass(frozen=True, slots=True, eq=False)
class Tones:
    """Sums over pixels by place: the pixels' number (P,), their values and their variances within an image (C, P)."""

    count_P: Tensor
    value_CP: Tensor
    variance_CP: Tensor

    @property
    def mean_CP(self) -> Tensor:
        return self.value_CP / self.count_P.clamp(min=1.0)

    @property
    def spread_CP(self) -> Tensor:
        """Mean variance within an image, by place."""
        return self.variance_CP / self.count_P.clamp(min=1.0)

    def plus(self, other: "Tones", *, decay: float = 1.0) -> "Tones":
        """Both sums, the first shrunk by `decay`."""
        return Tones(
            self.count_P * decay + other.count_P,
            self.value_CP * decay + other.value_CP,
            self.variance_CP * decay + other.variance_CP,
        )

    def state(self) -> State:
        """Copies of the sums."""
        return {
            "count": self.count_P.clone(),
            "value": self.value_CP.clone(),
            "variance": self.variance_CP.clone(),
        }

    @classmethod
    def of_state(cls, state: State) -> "Tones":
        """What gave `state`."""
        match state:
            case {"count": Tensor() as count_P, "value": Tensor() as value_CP, "variance": Tensor() as variance_CP}:
                return cls(count_P.clone(), value_CP.clone(), variance_CP.clone())
        raise ValueError(f"not the state of tones: it has the keys {sorted(state)}")


def tones_of(image_CHW: Tensor, weight_PHW: Tensor) -> Tones:
    """Tones of one image, of whose pixels so much is at each place."""
    pixels_XC, weight_PX = image_CHW.flatten(1).T, weight_PHW.flatten(1)
    count_P = weight_PX.sum(1)
    value_CP = (weight_PX @ pixels_XC).T
    square_CP = (weight_PX @ pixels_XC.square()).T
    mean_CP = value_CP / count_P.clamp(min=1.0)
    return Tones(count_P, value_CP, (square_CP - mean_CP * value_CP).clamp_(min=0.0))


@dataclass(frozen=True, slots=True, eq=False)
class Recolouring:
    """Affine map of each colour at each place: (x - from) * gain + to."""

    from_CP: Tensor
    gain_CP: Tensor
    to_CP: Tensor

    def apply(self, image_CHW: Tensor, places: Places, contrast_CHW: Tensor) -> Tensor:
        """A recoloured copy, its contrast further multiplied by what broadcasts to (C, H, W)."""
        gain_CHW = places.spread(self.gain_CP).mul_(contrast_CHW)
        return (image_CHW - places.spread(self.from_CP)).mul_(gain_CHW).add_(places.spread(self.to_CP))


def recolouring(source: Tones, stream: Tones, *, grain_C: Tensor) -> Recolouring:
    """From the source's tones to the stream's, of whose variance grain has so much everywhere.

    A place the stream has hardly shown is taken to change like the scene as a whole: its share of PRIOR_SHARE of a
    frame's pixels comes from the map between all places' means and spreads, weighted by what both have seen. A place
    the source never showed is taken to look like the scene as a whole.
    """
    common_P = torch.minimum(source.count_P / source.count_P.sum(), stream.count_P / stream.count_P.sum())
    weight_P = common_P / common_P.sum().clamp(min=1e-6)
    is_known_P = source.count_P > 0
    from_CP = torch.where(is_known_P, source.mean_CP, (source.mean_CP * weight_P).sum(1, keepdim=True))
    spread_CP = torch.where(is_known_P, source.spread_CP, (source.spread_CP * weight_P).sum(1, keepdim=True))
    spread_CP = spread_CP.clamp_(min=1.0)
    overall_C1 = (stream.mean_CP * weight_P).sum(1, keepdim=True)
    gain_C1 = ((stream.spread_CP * weight_P).sum(1, keepdim=True) / (spread_CP * weight_P).sum(1, keepdim=True)).sqrt()
    expected_CP = overall_C1 + gain_C1 * (from_CP - (from_CP * weight_P).sum(1, keepdim=True))
    prior = PRIOR_SHARE * float(stream.count_P.sum())
    to_CP = (stream.value_CP + prior * expected_CP) / (stream.count_P + prior)
    variance_CP = (stream.variance_CP + prior * gain_C1.square() * spread_CP) / (stream.count_P + prior)
    scenery_CP = torch.maximum(variance_CP - grain_C[:, None], variance_CP * (1 - MAX_GRAIN))
    gain_CP = (scenery_CP.clamp_(min=LEAST_VARIANCE) / spread_CP).sqrt_().clamp_(max=MAX_GAIN)
    return Recolouring(from_CP, gain_CP, to_CP)
