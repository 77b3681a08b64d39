"""Learning steps as a run takes them, on one frame, for measuring: predictor, learner, guard and publication.

    steps = Steps("segformer_b0", (256, 512), MEASURED["styled"], device=device, stages="3-4")
    steps.forward()                       # one served prediction
    steps.step()                          # one learning step on the frame just predicted

Weights are random, with answers made sure lest a method find no pixel to learn from; that changes what is learnt and
not how long it takes. Two steps are here beside the methods' own: `dacs_whole`, DACS on whole frames, which is what
"full" means where a step is said to cost a part of it; and `prefixed`, the cheapest that learns from two images.
"""

# B batch, N points, H height, W width, C channels

import math
import re
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from models.adapters import attach_adapters
from models.knet import KNetHead
from models.losses import cross_entropy, shrink_labels
from models.points import at_points, random_points
from models.prefix import FrozenPrefix, features_from
from models.preprocess import normalise, to_tensor
from models.segformer import SegmentationModel
from models.trainable import adaptable_tensors, replica, set_trainable
from models.zoo import build_model
from replay.buffer import ReplayBuffer
from runtime.adaptation.candidate import Candidate
from runtime.adaptation.dacs import DacsSelfTraining
from runtime.adaptation.descent import build_descent
from runtime.adaptation.learner import Learner
from runtime.adaptation.method import Materials, Method, Target
from runtime.adaptation.methods import METHODS, Entry
from runtime.adaptation.self_training import MixRule
from runtime.adaptation.service import Service
from runtime.build import adapters_of
from runtime.config import ModelConfig, Trainable
from runtime.effort import FULL, Effort
from runtime.guard import Guard
from runtime.lanes import open_lanes
from runtime.option_words import ConfigError
from runtime.predictor import Predictor
from runtime.probe import SAMPLES as PROBE_SAMPLES
from runtime.probe import Probe
from runtime.recipes import Recipe
from runtime.serving import serve
from runtime.trust import Trust
from runtime.weights import VersionedWeights
from streams.frame import Frame
from streams.stream import StreamOptions, open_stream
from streams.synthetic.stream import clear_samples

NUM_CLASSES = 19
NUM_SAMPLES = 12  # source samples to replay: two streets
NUM_POINTS = 2048
RAINY_FRAME = 300  # of rain_sequence: 100 mm/h
SURENESS = 100.0  # factor on the random classifier: mean entropy falls from ln K to some tenths of it
ALL_STAGES = "1-4"
PREFIX_BYTES = 1 << 30


class PrefixedPoints(Method):
    """Cross-entropy at sampled points of a source sample and of the frame; frozen stages are computed once for each.

    They are kept for all rounds, of one frame and a few samples, so they hardly count here. In a run the frame's were
    computed to predict it, but samples styled anew at every step, as the default method's are, have none to keep.
    """

    def __init__(self, given: Materials) -> None:
        self._given = given
        self._prefix: FrozenPrefix | None = None

    def loss(self, student: SegmentationModel, target: Target) -> Tensor:
        if self._prefix is None:
            self._prefix = FrozenPrefix(student, capacity_bytes=PREFIX_BYTES)
        draw = self._given.replay.draw_any()
        (image_HWC,), (label_HW,) = self._given.replay.gather(torch.tensor([draw]))
        on_source = self._at_points(student, draw, image_HWC, label_HW)
        served_HW = torch.from_numpy(target.labels_HW)
        return on_source + self._at_points(student, "frame", to_tensor(target.image_HWC), served_HW)

    def _at_points(self, student: SegmentationModel, key: int | str, image_HWC: Tensor, label_HW: Tensor) -> Tensor:
        assert self._prefix is not None
        device = self._given.device

        def image() -> Tensor:
            return normalise(image_HWC[None].to(device))

        prefix = self._prefix.of(key, image)
        features = features_from(student, prefix) if prefix else student.encoder(image())
        size_HW = (features[0].shape[2], features[0].shape[3])
        points_BN = random_points(1, size_HW, NUM_POINTS, generator=self._given.generator)
        labels_BHW = shrink_labels(label_HW[None], size_HW)
        picked_BN1 = at_points(labels_BHW[:, None], points_BN)[:, 0].to(device)
        return cross_entropy(student.head.forward_at(features, points_BN.to(device)), picked_BN1)


MEASURED: dict[str, Entry] = {
    **{name: entry for name, entry in METHODS.items() if entry.build is not None},
    "dacs_whole": replace(METHODS["dacs"], build=lambda given: DacsSelfTraining(given, rule=MixRule(is_whole=True))),
    "prefixed": replace(METHODS["styled"], build=PrefixedPoints),
}


class Steps:
    """A predictor and a learner as a run has them, on one frame; `outcomes` counts what became of the steps."""

    def __init__(
        self,
        model: str,
        size_HW: tuple[int, int],
        entry: Entry,
        *,
        device: torch.device,
        stages: str = ALL_STAGES,
        trainable: Trainable | None = None,
    ) -> None:
        torch.manual_seed(0)
        if entry.build is None:
            raise ValueError("the method must be one that learns")
        recipe = entry.recipe
        student = _student(model, trainable or recipe.trainable, stages).to(device)
        self.num_trainable = sum(tensor.numel() for tensor in student.parameters() if tensor.requires_grad)
        self.outcomes: Counter[str] = Counter()
        lanes = open_lanes(device)
        weights = VersionedWeights(adaptable_tensors(student), lane=lanes.learning)
        served = serve(replica(student), lanes.inference, on_fault=print)
        self._predictor = Predictor(served, weights, clock=time.perf_counter)
        replay = source_samples(size_HW)
        candidate = _candidate(student, weights, recipe, replay)
        given = Materials(replay, replica(student), candidate.model, device, torch.Generator().manual_seed(0))
        self._learner = Learner(
            student,
            entry.build(given),
            candidate,
            build_descent(recipe, student, learning_rate=recipe.learning_rate),
            ema_decay=recipe.ema_decay,
            clock=time.perf_counter,
        )
        self._frame = _rainy_frame(size_HW)
        self.forward()

    def forward(self) -> None:
        """One served prediction, with the newest weights."""
        self._prediction = self._predictor.predict(self._frame)

    def step(self, effort: Effort = FULL) -> None:
        """One learning step on the frame last predicted."""
        seen = self._prediction
        target = Target(
            self._frame.index,
            self._frame.image_HWC,
            seen.labels_HW,
            seen.confident_share,
            crop_share=effort.crop_share,
        )
        event, _ = self._learner.learn(target, depth=effort.depth)
        self.outcomes[event.outcome] += 1


def source_samples(size_HW: tuple[int, int]) -> ReplayBuffer:
    """A small full replay buffer of the synthetic world."""
    height, width = size_HW
    num_bytes = NUM_SAMPLES * (height * width * 4 + NUM_CLASSES * 8)
    replay = ReplayBuffer(size_HW, capacity_bytes=num_bytes, generator=torch.Generator().manual_seed(0))
    for frame in _clear_frames(size_HW):
        replay.add(frame.image_HWC, np.zeros(size_HW, np.uint8) if frame.label_HW is None else frame.label_HW)
    return replay


def parse_stage_ranges(text: str) -> list[str]:
    """`1-4,3-4,4` to its words; ConfigError unless each is one stage or a first and a last one."""
    words = text.split(",")
    for word in words:
        found = re.fullmatch("([1-4])(-([1-4]))?", word)
        if found is None or (found[3] or found[1]) < found[1]:
            raise ConfigError(f"--stages {text}: expected ranges of 1 to 4 with commas between; say 1-4,3-4,4")
    return words


def _student(model: str, trainable: Trainable, stages: str) -> SegmentationModel:
    student = build_model(model, num_classes=NUM_CLASSES).eval()
    head = student.head.base if isinstance(student.head, KNetHead) else student.head
    with torch.no_grad():
        head.classifier.weight.mul_(SURENESS)
    if "adapters" in trainable:
        first, _, last = stages.partition("-")
        listed = ",".join(str(stage) for stage in range(int(first), int(last or first) + 1))
        attach_adapters(student, adapters_of(ModelConfig(adapter_stages=listed)))
    set_trainable(student, trainable)
    return student


def _candidate(
    student: SegmentationModel, weights: VersionedWeights, recipe: Recipe, replay: ReplayBuffer
) -> Candidate:
    """Trusted from the start, so that every step ends in a publication; judged as the method's policy has it."""
    trust, twin, source = Trust(below=1.0), replica(student), weights.source.tensors
    if recipe.policy == "bare":
        guard = Guard(source, max_drift=math.inf)
    else:
        samples = replay.gather(torch.arange(min(len(replay), PROBE_SAMPLES)))
        probe = Probe(*samples, frozen=twin, num_classes=NUM_CLASSES)
        guard = Guard(source, network=student, probe=probe)
    return Candidate(twin, Service(weights), guard=guard, trust=trust, clock=time.perf_counter)


@cache
def _clear_frames(size_HW: tuple[int, int]) -> Iterable[Frame]:
    return tuple(clear_samples(NUM_SAMPLES, seed=0, size_HW=size_HW))


@cache
def _rainy_frame(size_HW: tuple[int, int]) -> Frame:
    stream = open_stream("rain_sequence", StreamOptions(size_HW=size_HW, start=RAINY_FRAME))
    frame = next(iter(stream))
    stream.close()
    return frame
