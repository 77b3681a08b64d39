"""HAMLET: learn where the domain changed, for as long and as deep as that pays.

Colomer et al., ICCV 2023, arXiv 2307.15063. Every frame costs a stage: a light decoder's distance to the served answer
(`runtime/shift/light_distance.py`) says how strange it looks, and windows of 75 frames say when the domain changes. A
change grants steps (`hamlet_pace.py`); a step is self-training by class mixing with features of things held to the
source's (`self_training.py`), its depth chosen by what depths gained at what cost (`hamlet_depth.py`). Between grants
nothing is learnt. Everything may learn; the student is served, by AdamW at 1.5e-5 and ten times that for the head.

Published settings, with these defects of the released code mended; `is_released` brings them back:

- fusion and classifier of the head never learnt, and the head's factor of ten on the rate was lost at the first change;
- what gained nothing was not dearer for slow depths (`hamlet_depth.py`), and speeds were those of one GPU: here they
  are measured, waits for predictions left out, except in lockstep, where the released table stands;
- the window that sets an anchor was kept, so that the next was one frame longer; and a stream that begins far from the
  source was its own anchor and never learnt from: here the first anchor is the source;
- distances had constants by name of a data set: here the same constants in units of what the source reads;
- the teacher's batch norms ran on batches of one picture, its own statistics left behind: here they are averaged;
- losses were divided by all pixels of the source, ignored ones included (and were taken at full size: here stride 4).

Not brought back: stages at rest that drifted with stale moments (an effect of one version of torch), a class list that
counts the ignore label, and cropped training views as what the detector reads: it reads whole frames, as served.
"""

from collections.abc import Sequence

import torch
from torch import nn

from models.segformer import SegmentationModel
from models.trainable import only_learning
from replay.buffer import ReplayBuffer
from runtime.adaptation.hamlet_depth import DepthAgent, parts_from
from runtime.adaptation.hamlet_pace import WINDOW, Pace, PacedStep, Scale
from runtime.adaptation.mean_teacher import MeanTeacher
from runtime.adaptation.method import Materials, Method, Target
from runtime.adaptation.self_training import MixRule, SelfTraining
from runtime.shift.light_distance import LightDistance, light_decoder_of
from runtime.shift.windows import DomainWindows
from runtime.state import State

MARGINS = (15 / 512, 120 / 512)  # of a crop's rows, without pseudo-labels: lens border and bonnet
FEATURE_WEIGHT = 0.005
SCALE_SAMPLES = 32  # source samples by which distances are calibrated


class Hamlet(Method):
    """Owns light decoder, pace, depth agent and teacher."""

    def __init__(self, given: Materials, *, is_released: bool = False) -> None:
        decoder = given.light_decoder or light_decoder_of(given.frozen, given.replay)
        self._distance = LightDistance(given.frozen, decoder)
        scale = Scale() if is_released else source_scale(self._distance, given.replay)
        self._pace = Pace(
            scale,
            windows=DomainWindows(
                length=WINDOW,
                limit=scale.limit,
                anchor=None if is_released else scale.source,
                keeps_anchor_frames=is_released,
            ),
        )
        self._agent = DepthAgent(is_released=is_released)
        self._teacher = MeanTeacher(given.frozen, uses_batch_statistics=is_released)
        rule = MixRule(distortion=1.0, margins=MARGINS, feature_weight=FEATURE_WEIGHT, is_released=is_released)
        self._training = SelfTraining(given, self._teacher, rule=rule)
        self._clock = given.clock
        self._is_released = is_released
        self._rate = 1.0
        self._depth = 1
        self._started_at_s = 0.0

    def loss(self, student: SegmentationModel, target: Target) -> torch.Tensor | None:
        """The step's loss while a budget lasts; the frame's distance is noted either way."""
        self._started_at_s = self._clock() if self._clock else 0.0
        step = self._pace.begin()
        loss = None if step is None else self._learn(student, target, step)
        self._pace.note(self._distance.of_frame(target.image_HWC, target.labels_HW, at_full_size=self._is_released))
        return loss

    def rate(self) -> float:
        """What is left of the last change's rate, as a factor on the recipe's."""
        return self._rate

    def learning(self, student: SegmentationModel) -> Sequence[nn.Parameter]:
        """What the step's depth leaves."""
        return parts_from(student, self._depth, is_released=self._is_released)

    def settle(self, student: SegmentationModel) -> None:
        """The step is over: note what it took."""
        if self._clock is not None:
            device = next(student.parameters()).device
            if device.type == "cuda":
                torch.cuda.current_stream(device).synchronize()
            self._agent.note_time(self._depth, self._clock() - self._started_at_s)

    def _learn(self, student: SegmentationModel, target: Target, step: PacedStep) -> torch.Tensor:
        self._rate = step.rate
        self._depth = self._agent.choose()
        with only_learning(student, self.learning(student)):
            losses = self._training.losses(student, target, ratio=step.ratio)
        self._agent.credit(float(losses.mixed.detach()))
        return losses.total

    def state(self) -> State:
        """Of pace, agent and teacher; the light decoder comes out the same when built again."""
        return {"pace": self._pace.state(), "agent": self._agent.state(), "teacher": self._teacher.state()}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"pace": dict(pace), "agent": dict(agent), "teacher": dict(teacher)}:
                self._pace.load_state(pace)
                self._agent.load_state(agent)
                self._teacher.load_state(teacher)
            case _:
                raise ValueError(f"not the state of HAMLET: it has the keys {sorted(state)}")


def source_scale(distance: LightDistance, replay: ReplayBuffer) -> Scale:
    """By the last samples held, which the light decoder was not fitted to where there are enough."""
    num = min(SCALE_SAMPLES, max(2, len(replay) // 3))
    images_NHWC, _ = replay.gather(torch.arange(max(0, len(replay) - num), len(replay)))
    return Scale.of_source(distance.of_source(images_NHWC))
