"""Frequency: how much of a picture's variation is fine, by the spectrum of its luma.

The mean periodogram of windowed tiles (Welch 1967, "The use of fast Fourier transform for the estimation of power
spectra", in two dimensions) estimates the power spectrum at a price that does not grow with the tiles' number squared.
Rain and grain raise the share of its outer part, fog and blur lower it.
"""

# H height, W width, T tiles, P pixels of a tile's side

import numpy as np

TILE = 64
NUM_TILES = 32  # at most; about 2 ms
FINE_FROM = 0.25  # cycles per pixel, half of what a grid can hold
_LUMA_C = np.array([0.299, 0.587, 0.114], np.float32)
_FLOOR = 1e-6


def fine_share_log(image_HWC: np.ndarray) -> float:
    """Logarithm of the share of the spectrum at and above FINE_FROM cycles per pixel, the mean left out.

    uint8 RGB image, H and W at least 32. A flat image has the logarithm of 1e-6, white noise that of about 0.8.
    """
    tiles_TPP = _tiles(image_HWC @ _LUMA_C)
    side = tiles_TPP.shape[-1]
    window_P = np.hanning(side).astype(np.float32)
    centred_TPP = tiles_TPP - tiles_TPP.mean((1, 2), keepdims=True)
    power = np.abs(np.fft.rfft2(centred_TPP * np.outer(window_P, window_P))) ** 2
    power = power.mean(0)
    power[:, 1:-1] *= 2.0  # the half spectrum of a real image: inner columns stand for two
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    return float(np.log(power[radius >= FINE_FROM].sum() / (power.sum() + _FLOOR) + _FLOOR))


def _tiles(luma_HW: np.ndarray) -> np.ndarray:
    """Evenly spread square tiles, (T, P, P)."""
    height, width = luma_HW.shape
    side = min(TILE, height, width)
    rows, columns = height // side, width // side
    grid = luma_HW[: rows * side, : columns * side].reshape(rows, side, columns, side).swapaxes(1, 2)
    tiles_TPP = grid.reshape(rows * columns, side, side)
    return tiles_TPP[:: -(-len(tiles_TPP) // NUM_TILES)]
