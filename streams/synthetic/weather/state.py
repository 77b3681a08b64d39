"""Weather: the numbers that say what is between the street and the picture, and how two such states mix.

Knows no images. A ramp is `Weather.mix(before, after, share)` with a share that grows over the frames.
"""

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Weather:
    """One state of weather and light; the default is a clear day, which leaves every image as it is.

    `rain_mm_h` and `snow_mm_h` (melted) are precipitation rates in mm/h, `fog_visibility_m` the meteorological range
    in metres (inf: no fog), `night` runs from 0 (day) over 0.5 (dusk) to 1 (night), `low_sun` from 0 to 1, and
    `defocus_px` is the radius of the circle of confusion in pixels.
    """

    rain_mm_h: float = 0.0
    fog_visibility_m: float = math.inf
    night: float = 0.0
    low_sun: float = 0.0
    snow_mm_h: float = 0.0
    defocus_px: float = 0.0

    def __post_init__(self) -> None:
        for name in ("rain_mm_h", "snow_mm_h", "defocus_px"):
            value = getattr(self, name)
            if not 0.0 <= value < math.inf:
                raise ValueError(f"weather.{name} must be finite and at least 0, got {value}; 0 switches it off")
        for name in ("night", "low_sun"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"weather.{name} must be in [0, 1], got {value}; 0 switches it off")
        if not self.fog_visibility_m > 0.0:
            raise ValueError(f"weather.fog_visibility_m must be above 0, got {self.fog_visibility_m}; inf is no fog")

    @property
    def is_clear(self) -> bool:
        """True where nothing of it would change an image."""
        return self == Weather()

    @staticmethod
    def mix(before: "Weather", after: "Weather", share: float) -> "Weather":
        """The state at `share` in [0, 1] of the way; fog mixes by extinction (1 / visibility), the rest linearly."""
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"the share of a weather mix must be in [0, 1], got {share}")
        if before == after or share == 0.0:
            return before
        density = (1.0 - share) / before.fog_visibility_m + share / after.fog_visibility_m
        linear = {
            field.name: (1.0 - share) * getattr(before, field.name) + share * getattr(after, field.name)
            for field in fields(Weather)
            if field.name != "fog_visibility_m"
        }
        return Weather(fog_visibility_m=1.0 / density if density > 0.0 else math.inf, **linear)
