"""Class shares: how far what is answered lies from what the source shows, by shares of classes.

The Jensen-Shannon distance (Endres and Schindelin 2003, IEEE Transactions on Information Theory 49), the root of the
divergence in bits: a metric in [0, 1]. A motorway changes it as much as a broken answer does, so it knows more about
scenery than about weather.
"""

# K classes

import numpy as np


def jensen_shannon_distance(first_K: np.ndarray, second_K: np.ndarray) -> float:
    """Between two lots of shares that each sum to one; 0 for equal ones, 1 where no class is in both."""
    middle_K = 0.5 * (first_K + second_K)
    divergence_bits = 0.5 * (_relative_bits(first_K, middle_K) + _relative_bits(second_K, middle_K))
    return float(np.sqrt(max(divergence_bits, 0.0)))


def shares_of(counts_K: np.ndarray) -> np.ndarray:
    """Counts or shares as shares that sum to one; even ones where nothing was counted."""
    total = counts_K.sum()
    if total <= 0:
        return np.full(len(counts_K), 1.0 / len(counts_K))
    shares_K: np.ndarray = counts_K / total
    return shares_K


def _relative_bits(shares_K: np.ndarray, middle_K: np.ndarray) -> float:
    """Kullback-Leibler divergence of shares from a mixture that holds them."""
    has = shares_K > 0
    return float((shares_K[has] * np.log2(shares_K[has] / middle_K[has])).sum())
