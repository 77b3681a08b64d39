"""A student with adapters, and cycles that watch a calibrated source."""

import numpy as np
import pytest
import torch
from torch import nn

from models.adapters import AdapterConfig, attach_adapters
from models.trainable import set_trainable
from models.zoo import build_model
from runtime.adaptation.cycle import AdaptationCycle
from runtime.adaptation.learning import Learning
from runtime.adaptation.schedule import LearningSchedule
from runtime.adaptation.shadow_plan import ShadowPlan
from runtime.governor import Governor
from runtime.shift.appearance import appearance
from runtime.shift.calibration import calibrate
from runtime.shift.jumps import JumpWatch
from runtime.shift.monitor import ShiftMonitor
from tests.fakes import ManualClock
from tests.runtime.adaptation.cycles import Repeating, picture


@pytest.fixture
def student() -> nn.Module:
    torch.manual_seed(0)
    model = build_model("segformer_b0", num_classes=4)
    attach_adapters(model, AdapterConfig(stages=(4,)))
    set_trainable(model, "adapters+head")
    return model.eval()


@pytest.fixture(scope="session")
def source():
    return calibrate(
        np.stack([appearance(picture(-i - 1, brightness=1.0).image_HWC) for i in range(40)]), quantile=0.95
    )


@pytest.fixture
def cycle_of(source):
    def build(learner, *, share=1.0, governor=None, budget=120):
        shadow = ShadowPlan(Repeating(), share=share)
        learning = learner and Learning(
            learner,
            schedule=LearningSchedule(budget=budget),
            governor=governor or Governor(period_s=float("inf")),
            shadow=shadow,
        )
        return AdaptationCycle(
            ShiftMonitor(JumpWatch(source)), shadow=shadow, learning=learning, clock=ManualClock()
        )

    return build
