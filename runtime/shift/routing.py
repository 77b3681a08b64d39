"""Routing: which of two versions a frame is for, the source's or the newest, by which frames it looks like.

Learnt weights are for the weather they were learnt in. The very first frame after a cloudburst looks like the source
again and not like the rain before it, long before a detector that looks at several frames can be sure, and is answered
by the source weights. A decision about one image; knows no models.
"""

# F features

import numpy as np

from runtime.shift.calibration import SourceAppearance


class Router:
    """Compares distances in the whitened space of source appearances, which discounts what scenery does."""

    def __init__(self, source: SourceAppearance) -> None:
        self._source = source

    def is_of_source(self, features_F: np.ndarray, learnt_F: np.ndarray) -> bool:
        """Whether a frame of these features is nearer to the source than to the frames a version was learnt for."""
        return self._source.distance(features_F) < self._source.separation(features_F, learnt_F)
