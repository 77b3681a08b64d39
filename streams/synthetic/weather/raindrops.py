"""How many drops there are, how fast they fall, and how much light they take: published fits, no pixels.

Sizes: Marshall and Palmer, "The distribution of raindrops with size", J. Meteorology 1948: N(D) = N0 exp(-L D) with
N0 = 8000 per m^3 and mm, L = 4.1 R^-0.21 per mm. Fall speed: Atlas, Srivastava, Sekhon, "Doppler radar
characteristics of precipitation at vertical incidence", Rev. Geophys. 1973, eq. 2, a fit of Gunn and Kinzer 1949: v =
9.65 - 10.3 exp(-0.6 D). Extinction: beta = 0.312 R^0.67 per km, Weber et al., "A multiscale model for rain rendering
in real-time", Computers and Graphics 2015, as used by Halder, Lalonde, de Charette, "Physics-based rendering for
improving robustness to rain", ICCV 2019 (ITU-R P.1814 gives the same exponent for optical links).
"""

import math

import numpy as np

MARSHALL_PALMER_N0 = 8000.0


def rain_extinction_per_m(rate_mm_h: float) -> float:
    """beta = 0.312 R^0.67 per km, returned in 1/m."""
    return 0.312e-3 * math.pow(rate_mm_h, 0.67)


def drop_slope_per_mm(rate_mm_h: float) -> float:
    """L = 4.1 R^-0.21 per mm: heavier rain has larger drops."""
    return 4.1 * math.pow(rate_mm_h, -0.21)


def drops_per_m3(rate_mm_h: float, smallest_mm: float) -> float:
    """Number of drops above a diameter: the integral N0 / L exp(-L D) of Marshall and Palmer's distribution."""
    if rate_mm_h <= 0.0:
        return 0.0
    slope = drop_slope_per_mm(rate_mm_h)
    return MARSHALL_PALMER_N0 / slope * math.exp(-slope * smallest_mm)


def fall_speed_m_s(diameter_mm: np.ndarray) -> np.ndarray:
    """Terminal speed in m/s for diameters of 0.6 to 6 mm."""
    return 9.65 - 10.3 * np.exp(-0.6 * diameter_mm)
