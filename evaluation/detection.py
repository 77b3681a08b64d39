"""How well shifts were detected: delays, misses and false alarms against the true change points.

Pure: frame numbers in, counts out. A change may be detected from its frame on until the next change, and at most
`tolerance` frames later; the first detection in that stretch is its hit, further ones there belong to the same change.
Frames in no such stretch are stationary, and every detection on one of them is a false alarm. A ramp is a change whose
tolerance is its length.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

PER_FRAMES = 1000


@dataclass(frozen=True, slots=True)
class DetectionScore:
    """`delays` holds the frames from each true change to its detection, in order; None where it was missed."""

    delays: tuple[int | None, ...]
    num_false_alarms: int
    num_stationary_frames: int

    @property
    def num_missed(self) -> int:
        return sum(delay is None for delay in self.delays)

    @property
    def mean_delay(self) -> float:
        """In frames, over the changes that were detected; nan where none was."""
        found = [delay for delay in self.delays if delay is not None]
        return sum(found) / len(found) if found else math.nan

    @property
    def max_delay(self) -> float:
        """In frames; nan where no change was detected."""
        return max((delay for delay in self.delays if delay is not None), default=math.nan)

    @property
    def false_alarms_per_1000(self) -> float:
        """Per 1000 stationary frames; nan where there are none."""
        if self.num_stationary_frames == 0:
            return math.nan
        return PER_FRAMES * self.num_false_alarms / self.num_stationary_frames


def score_detections(
    changes: Sequence[int], detections: Sequence[int], *, num_frames: int, tolerance: int = 50
) -> DetectionScore:
    """Score detections over frames [0, num_frames); `changes` are the first frames of new domains, in order.

    Raises:
        ValueError: changes do not rise, a frame lies outside the run, or the tolerance is not at least one frame.
    """
    if tolerance < 1:
        raise ValueError(f"tolerance must be at least 1 frame, got {tolerance}")
    if any(later <= earlier for earlier, later in pairwise(changes)):
        raise ValueError(f"changes must rise strictly, got {list(changes)}")
    if any(not 0 <= frame < num_frames for frame in (*changes, *detections)):
        raise ValueError(f"changes and detections must lie in [0, {num_frames})")
    ends = [min(start + tolerance, end) for start, end in zip(changes, [*changes[1:], num_frames], strict=False)]
    stretches = [range(start, end) for start, end in zip(changes, ends, strict=True)]
    delays = tuple(
        min((frame - stretch.start for frame in detections if frame in stretch), default=None) for stretch in stretches
    )
    false_alarms = [frame for frame in detections if not any(frame in stretch for stretch in stretches)]
    return DetectionScore(delays, len(false_alarms), num_frames - sum(len(stretch) for stretch in stretches))


def pooled(scores: Sequence[DetectionScore]) -> DetectionScore:
    """Several streams as one: all delays, alarms and frames together."""
    return DetectionScore(
        delays=tuple(delay for score in scores for delay in score.delays),
        num_false_alarms=sum(score.num_false_alarms for score in scores),
        num_stationary_frames=sum(score.num_stationary_frames for score in scores),
    )
