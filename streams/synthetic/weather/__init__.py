"""Weather on an image: rain, fog, night, low sun, snow and defocus as functions of image, depth and parameters."""

from streams.synthetic.weather.geometry import depth_prior
from streams.synthetic.weather.render import apply_weather
from streams.synthetic.weather.state import Weather

__all__ = ["Weather", "apply_weather", "depth_prior"]
