"""Frame: the one record that leaves `streams`.

A frame is what a camera or a recording showed at one instant, with whatever truth the recording carries.
It does not know who consumes it; consumers must not write into its arrays.
"""

# H height, W width, C channels (RGB)

from dataclasses import dataclass

import numpy as np

IGNORE_LABEL = 255


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One captured image; `index` never repeats, and a gap in it means lost frames.

    `captured_at_s` is a monotonic clock reading in seconds. `label_HW` holds Cityscapes train ids (uint8, 255 ignored).
    `depth_HW` is float32 metres along the optical axis, `flow_HW2` float32 pixels (dx, dy) to the next frame.
    """

    index: int
    captured_at_s: float
    image_HWC: np.ndarray
    label_HW: np.ndarray | None = None
    domain: str | None = None
    depth_HW: np.ndarray | None = None
    flow_HW2: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.image_HWC.dtype != np.uint8 or self.image_HWC.ndim != 3 or self.image_HWC.shape[2] != 3:
            raise ValueError(
                f"frame.image_HWC must be uint8 of shape (H, W, 3), got {self.image_HWC.dtype} {self.image_HWC.shape}; "
                "convert grey or float images before building a Frame"
            )
        if self.label_HW is not None and self.label_HW.shape != self.image_HWC.shape[:2]:
            raise ValueError(
                f"frame.label_HW must have the image's height and width {self.image_HWC.shape[:2]}, "
                f"got {self.label_HW.shape}; resize labels with nearest neighbour"
            )
