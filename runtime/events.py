"""What happened, as records: everything observers (metrics, run record, page, panel, scores) ever learn.

Events carry facts and no behaviour. Every event is handed once to each observer; observers return nothing and steer
nothing. Arrays inside are shared, never written to.
"""

# H height, W width (h w of the logits)

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from runtime.state import State
from streams.frame import Frame


@dataclass(frozen=True, slots=True)
class RunStarted:
    """First event of a run: what is about to happen, with everything a reader of the record needs to know.
    `track` says what the method needs besides the stream (`runtime.adaptation.methods`), `round_length` after how many
    frames the stream begins again, None where it does not, `is_timed` that frames come at the stream's rate and times
    mean something: those of a live run, or of the simulated clock whose latencies `latency` names.
    """

    stream: str
    method: str
    model: str
    device: str
    seed: int
    pace: str
    size_HW: tuple[int, int]
    stream_fps: float
    num_frames: int | None
    classes: tuple[str, ...]
    trainable_parameters: int
    total_parameters: int
    frozen_digest: str
    round_length: int | None = None
    track: str = ""
    latency: str | None = None

    @property
    def is_timed(self) -> bool:
        return self.pace == "live" or self.latency is not None


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The user's answer for one frame, computed from exactly one published version.
    Times are monotonic seconds; `confidence` is the mean top-1 probability in [0, 1], `entropy_nats` the mean entropy,
    `confident_share` the share of pixels whose top-1 probability is at least 0.968 (the pseudo-label weight of DACS).
    `confidence_hw` holds the top-1 probabilities themselves, at the size of the logits.
    """

    frame: Frame
    version: int
    labels_HW: np.ndarray
    confidence: float
    entropy_nats: float
    started_at_s: float
    finished_at_s: float
    confident_share: float = 0.0
    appearance_F: np.ndarray | None = None
    confidence_hw: np.ndarray | None = None

    @property
    def latency_s(self) -> float:
        """Capture to result."""
        return self.finished_at_s - self.frame.captured_at_s

    @property
    def inference_s(self) -> float:
        return self.finished_at_s - self.started_at_s


@dataclass(frozen=True, slots=True, eq=False)
class ShadowPrediction:
    """What the frozen model says of a frame, computed off the serving path; comes after the frame's `Prediction`.
    `confidence_hw` and `served_confidence_hw` are the top-1 probabilities of both, at the size of the logits.
    """

    frame: Frame
    labels_HW: np.ndarray
    served_labels_HW: np.ndarray
    duration_s: float
    confidence_hw: np.ndarray | None = None
    served_confidence_hw: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class FrameDropped:
    """A frame without an answer: stale (too old, or a newer came), late (its answer was), invalid, shutdown."""

    index: int
    reason: str
    at_s: float


@dataclass(frozen=True, slots=True, eq=False)
class FrameCaptured:
    """A frame entered the runtime. Its label is here for those who score what it was shown in its time."""

    index: int
    at_s: float
    label_HW: np.ndarray | None = None
    domain: str | None = None


@dataclass(frozen=True, slots=True)
class FrameGated:
    """A predicted frame that is kept from detector and learner, and why (GATE_REASONS in `label_sets.py`)."""

    frame_index: int
    reason: str
    at_s: float


@dataclass(frozen=True, slots=True)
class AdaptationStep:
    """One attempt to learn. `outcome`: applied, shadowed (learnt, and nothing of it serves), skipped (the frame taught
    nothing), nonfinite, refused_guard, error, oom (out of memory), relaxed (pulled back to the source). `version` is
    the one it published, or goes on serving where it was not applied. `loss` is nan where none was computed.
    """

    frame_index: int
    outcome: str
    loss: float
    learning_rate: float
    duration_s: float
    version: int
    at_s: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Rollback:
    """Learning was undone, back to `version`. `cause` is the step's outcome, or restart; `reason` says it in words."""

    frame_index: int
    version: int
    reason: str
    at_s: float
    cause: str = "restart"


@dataclass(frozen=True, slots=True)
class Weighed:
    """What was learnt was compared with the frozen model on a frame; `agreement` is the share of pixels in [0, 1].
    `num_forwards` it takes: one of the frozen model, one of what was learnt unless that answered the frame.
    """

    frame_index: int
    agreement: float
    num_forwards: int
    at_s: float


@dataclass(frozen=True, slots=True)
class TrustChanged:
    """What serves changed: the adapted model, or the frozen one because there is nothing to win (`is_adapted` False).
    `agreement` in [0, 1] is the share of pixels on which the two agreed, nan where the stream's return to the source
    decided. `version` serves from now on.
    """

    frame_index: int
    is_adapted: bool
    agreement: float
    version: int
    at_s: float


@dataclass(frozen=True, slots=True)
class StatisticsTaken:
    """Batch norms of what serves, now `version`, go `share` in (0, 1] of the way to a far frame's own statistics."""

    frame_index: int
    share: float
    version: int
    at_s: float
    num_forwards: int = 1


@dataclass(frozen=True, slots=True)
class Recall:
    """Frames look like a domain learnt for earlier: its weights are taken up again, unless the guard refuses them.
    `domain` is its number in the library, `distance` that of the frame from it in units of the source's edge.
    `version` serves from now on; `refusal` says why the weights were refused, and so forgotten, empty where not.
    """

    frame_index: int
    domain: int
    distance: float
    version: int
    at_s: float
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class ShiftScore:
    """The detector's reading for one frame; 1.0 is the edge of the source, calibrated on its samples."""

    frame_index: int
    score: float
    is_shifted: bool
    at_s: float


@dataclass(frozen=True, slots=True)
class ShiftEvent:
    """The input distribution changed. `kind`: away (from source), change (of shifted domain), return (to source)."""

    frame_index: int
    kind: str
    score: float
    true_domain: str | None
    at_s: float


@dataclass(frozen=True, slots=True)
class GovernorChanged:
    """Adaptation was shed (higher level) or resumed (lower). Level 0 is full adaptation; `name` is the level's.
    `reason`: late, age (frames waited), memory, oom (out of memory), calm (no misses for a while); `detail` says it in
    words. `step_ms` is what a step has cost on this level so far, on average (nan before the first), `cost_share` the
    seconds of learning for every second of stream lately: the cost that led here, or that there is room for.
    """

    frame_index: int
    level: int
    name: str
    reason: str
    detail: str
    step_ms: float
    cost_share: float
    at_s: float


@dataclass(frozen=True, slots=True, eq=False)
class SnapshotTaken:
    """Copies of what the run must remember, taken between two frames. For the writer of checkpoints alone."""

    state: State
    at_s: float


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """A checkpoint was written to the run folder, if `error` is empty; with it the run goes on at frame `next_frame`.
    `duration_s` is the time the disk took, off every other path.
    """

    version: int
    error: str
    at_s: float
    next_frame: int = 0
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RunResumed:
    """A run goes on in its folder, after `RunStarted`, at `frame` and with `version`; `detail` says what was lost."""

    frame: int
    version: int
    at_s: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something failed, the run goes on. `component` is capture, inference, learner, library, record, web, terminal."""

    component: str
    detail: str
    at_s: float


@dataclass(frozen=True, slots=True)
class WorkerChanged:
    """A worker of the live driver: stale (a stream that gives nothing), hung, ok (neither any more), restarted, off.
    `component` is capture, inference or learner. What is wrong is said by the `Fault` before it.
    """

    component: str
    state: str
    at_s: float


@dataclass(frozen=True, slots=True)
class RunFinished:
    """Last event of a run. `reason` is end, interrupted or error; `stream_faults` counts unusable items by reason."""

    reason: str
    wall_s: float
    in_flight: int
    frozen_digest: str | None  # None where the device that held the weights is lost
    peak_rss_mb: float
    peak_device_mb: float
    replay_mb: float
    stream_faults: Mapping[str, int] = field(default_factory=dict)
