"""The input gate: frames that are shown but never learned from.

A camera that is covered, stuck or torn still delivers frames; they are predicted like any other, but they say
nothing about the weather. Looks at one frame and the one before; knows nothing of models.
"""

# H height, W width, C channels

from streams.frame import Frame

BLACK_LEVEL = 3.0  # mean grey level of 255; a moonless street with sensor noise has more
FLAT_DEVIATION = 1.0  # grey levels; any picture of anything has more
SAME_ROWS_SHARE = 0.4  # of the rows byte-identical to the last frame: the sensor stopped part-way


class InputGate:
    """One owner asks once per frame, in order."""

    def __init__(self) -> None:
        self._last: Frame | None = None

    def refusal(self, frame: Frame) -> str:
        """Why the frame must not be learned from: out of order, black, flat, duplicate or torn; empty if it may."""
        last, self._last = self._last, frame
        if last is not None and frame.index <= last.index:
            return "out of order"
        sample = frame.image_HWC[::8, ::8]
        if float(sample.mean()) < BLACK_LEVEL:
            return "black"
        if float(sample.std()) < FLAT_DEVIATION:
            return "flat"
        if last is None or last.image_HWC.shape != frame.image_HWC.shape:
            return ""
        same_H = (frame.image_HWC == last.image_HWC).all(axis=(1, 2))
        if same_H.all():
            return "duplicate"
        # A cloudless sky may repeat byte for byte; only rows that show something count as stuck.
        deviation_H = frame.image_HWC[same_H].std(axis=1).max(axis=1)
        num_stuck = int((deviation_H >= FLAT_DEVIATION).sum())
        return "torn" if num_stuck >= SAME_ROWS_SHARE * len(same_H) else ""
