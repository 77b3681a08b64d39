"""What source data look like, learnt at start: distances and their thresholds, nothing hard-coded.

The distance from the source is Mahalanobis' with a shrunk covariance (Ledoit and Wolf 2004, "A well-conditioned
estimator for large-dimensional covariance matrices", eq. 14 in the simplified form below): scenery varies along few
directions, which the covariance discounts; weather moves the features along others. The threshold is a quantile of
distances of source samples that were left out of the fit (two halves: neighbours show the same place, and a new place
is what the stream will bring), so it carries the cost of having few samples.

How far a stream has moved is measured without the covariance, which is that of places and not of one drive: in each
feature's deviation. The threshold of a jump is what usually lies between two samples: within some seconds the scenery
of a drive moves no further than that, and weather that sets in a quarter further and more, but for the thinnest fog. A
low quantile is enough for a change between shifted domains, where one too many costs a few steps and nothing else
(benchmarks/results/detection_bars.md).
"""

# N samples, F features

from dataclasses import dataclass

import numpy as np

MIN_SAMPLES = 16
JUMP_QUANTILE, CHANGE_QUANTILE = 0.5, 0.15
_LEAST_DEVIATION = 1e-6  # of a feature that never changes


@dataclass(frozen=True, slots=True, eq=False)
class SourceAppearance:
    """Mean, whitening, deviations and thresholds of source features.

    Distances are per root feature, so 1 is typical. `typical` is the median of left-out distances as a share of
    `threshold`, below 1; `jump_threshold` is for `jump` at the source, `change_threshold` for one away from it.
    """

    mean_F: np.ndarray
    whitening_FF: np.ndarray
    threshold: float
    deviation_F: np.ndarray
    jump_threshold: float
    change_threshold: float
    typical: float

    def distance(self, features_F: np.ndarray) -> float:
        return _distance(features_F - self.mean_F, self.whitening_FF)

    def separation(self, first_F: np.ndarray, second_F: np.ndarray) -> float:
        """Distance between two appearances in the same units."""
        return _distance(first_F - second_F, self.whitening_FF)

    def jump(self, first_F: np.ndarray, second_F: np.ndarray) -> float:
        """How far two appearances are apart in deviations, root mean square over features."""
        return float(np.sqrt(np.mean(((first_F - second_F) / self.deviation_F) ** 2)))


def calibrate(features_NF: np.ndarray, *, quantile: float) -> SourceAppearance:
    """Fit to source samples; `quantile` in (0, 1) of left-out distances becomes the threshold.

    Raises ValueError with fewer than MIN_SAMPLES samples.
    """
    if len(features_NF) < MIN_SAMPLES:
        raise ValueError(
            f"shift calibration needs at least {MIN_SAMPLES} source samples, got {len(features_NF)}; raise --replay-mb"
        )
    left_out: list[float] = []
    half = len(features_NF) // 2
    first, second = features_NF[:half], features_NF[half:]
    for fitted, held in ((first, second), (second, first)):
        mean_F, whitening_FF = _fit(fitted)
        left_out.extend(_distance(row_F - mean_F, whitening_FF) for row_F in held)
    mean_F, whitening_FF = _fit(features_NF)
    threshold = float(np.quantile(left_out, quantile))
    deviation_F = features_NF.std(0) + _LEAST_DEVIATION
    apart_NN = np.sqrt((((first[:, None] - second[None]) / deviation_F) ** 2).mean(-1))
    return SourceAppearance(
        mean_F,
        whitening_FF,
        threshold,
        deviation_F,
        jump_threshold=float(np.quantile(apart_NN, JUMP_QUANTILE)),
        change_threshold=float(np.quantile(apart_NN, CHANGE_QUANTILE)),
        typical=float(np.median(left_out)) / threshold,
    )


def _fit(features_NF: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and W with W W^T = inverse of the shrunk covariance."""
    num, dims = features_NF.shape
    mean_F = features_NF.mean(0)
    scale_F = features_NF.std(0) + _LEAST_DEVIATION
    centred_NF = (features_NF - mean_F) / scale_F
    covariance_FF = centred_NF.T @ centred_NF / num
    # Shrink towards the identity (features are scaled): intensity = noise of the estimate / distance from it.
    noise = sum(float(((np.outer(row, row) - covariance_FF) ** 2).sum()) for row in centred_NF) / num**2
    spread = float(((covariance_FF - np.eye(dims)) ** 2).sum())
    intensity = min(1.0, noise / spread) if spread > 0 else 1.0
    shrunk_FF = (1 - intensity) * covariance_FF + intensity * np.eye(dims)
    values, vectors = np.linalg.eigh(shrunk_FF)
    return mean_F, vectors / np.sqrt(values) / scale_F[:, None]


def _distance(offset_F: np.ndarray, whitening_FF: np.ndarray) -> float:
    return float(np.linalg.norm(offset_F @ whitening_FF) / np.sqrt(len(offset_F)))
