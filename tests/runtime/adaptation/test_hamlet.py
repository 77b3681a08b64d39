"""HAMLET whole: it rests, a change wakes it, what it learns follows its recipe, and a run goes on bit for bit."""

import copy
import math

import numpy as np
import pytest
import torch

from models.light_decoder import LightDecoder
from models.segformer import SegmentationModel
from models.tensorfile import tensors_digest
from models.trainable import HEAD_STAGE, adaptable_tensors, set_trainable, stage_of
from runtime.adaptation.components import joined
from runtime.adaptation.descent import build_descent
from runtime.adaptation.hamlet import Hamlet, source_scale
from runtime.adaptation.hamlet_pace import WINDOW
from runtime.adaptation.learner import Learner
from runtime.adaptation.method import Materials, Target
from runtime.adaptation.methods import METHODS
from runtime.shift.light_distance import LightDistance, fitted_light_decoder, light_decoder_of
from runtime.weights import VersionedWeights
from tests.fakes import ManualClock
from tests.runtime.adaptation.samples import SIZE_HW, candidate_of, filled_replay, make_student, materials


class Home:
    """A network that tells class 2 from everything, and a light decoder that agrees at odds of e^2 to 3.

    So it reads log((e^2 + 3) / e^2) = 0.341 at the source, and 2.341 where class 0 was served.
    """

    def __init__(self, *, is_released: bool = False, clock: ManualClock | None = None, seed: int = 0) -> None:
        self.student = make_student()
        with torch.no_grad():
            self.student.head.classifier.bias[2] = 5.0
        set_trainable(self.student, "full")
        plain = materials(self.student, seed=seed)
        decoder = agreeing_decoder(plain.frozen)
        self.given = Materials(
            plain.replay, plain.frozen, plain.teacher, plain.device, plain.generator, clock, light_decoder=decoder
        )
        self.method = Hamlet(self.given, is_released=is_released)
        recipe = METHODS["hamlet_released" if is_released else "hamlet"].recipe
        self.weights = VersionedWeights(adaptable_tensors(self.student))
        self.learner = Learner(
            self.student,
            self.method,
            candidate_of(self.student, self.weights, max_drift=float("inf")),
            build_descent(recipe, self.student, learning_rate=recipe.learning_rate),
            ema_decay=recipe.ema_decay,
            clock=lambda: 0.0,
        )

    def frame(self, index: int, *, is_strange: bool) -> Target:
        image_HWC = np.random.default_rng(index).integers(0, 60, (*SIZE_HW, 3), dtype=np.uint8)
        return Target(index, image_HWC, np.full(SIZE_HW, 0 if is_strange else 2, np.uint8), 0.5)

    def hurry(self, level: float, *, num_frames: int = WINDOW) -> None:
        """As after so many frames, a window by default, at `level`, without their cost."""
        for _ in range(num_frames):
            self.method._pace.begin()
            self.method._pace.note(level)


def agreeing_decoder(frozen: SegmentationModel) -> LightDecoder:
    decoder = LightDecoder.of(frozen).requires_grad_(False)
    decoder.classifier.weight.zero_()
    decoder.classifier.bias.copy_(torch.tensor([0.0, 0.0, 2.0, 0.0]))
    return decoder


def test_it_rests_until_a_window_departs_and_learns_from_then_on() -> None:
    home = Home()
    outcomes = [home.learner.learn(home.frame(0, is_strange=True))[0].outcome for _ in range(WINDOW)]
    assert set(outcomes) == {"skipped"} and home.weights.latest.number == 0
    step, _ = home.learner.learn(home.frame(1, is_strange=True))
    assert step.outcome == "applied" and home.weights.latest.number == 1
    assert step.learning_rate == pytest.approx(6e-5)  # beyond the farthest domain, 2.55 / 0.8 x 0.341
    assert home.learner.learn(home.frame(2, is_strange=True))[0].learning_rate < step.learning_rate


def test_familiar_frames_wake_nothing() -> None:
    home = Home()
    for index in range(WINDOW + 1):
        assert home.method.loss(home.student, home.frame(index % 3, is_strange=False)) is None


def test_steps_move_everything_and_serve_the_student() -> None:
    home = Home()
    home.hurry(30.0)
    for _ in range(2):
        assert home.learner.learn(home.frame(0, is_strange=True))[0].outcome == "applied"
    source, served = home.weights.source.tensors, home.weights.latest.tensors
    still = {name for name in source if torch.equal(source[name], served[name])}
    # Nothing reaches a key's bias (softmax is blind to it) but rounding; adapters' ways down wait for their ways up.
    assert all("kv.bias" in name or ".adapter." in name for name in still), still
    assert all(torch.equal(served[name], tensor) for name, tensor in adaptable_tensors(home.student).items())


def test_as_released_fusion_and_classifier_stay() -> None:
    home = Home(is_released=True)
    home.hurry(0.9, num_frames=WINDOW + 1)
    home.hurry(2.0)
    assert home.learner.learn(home.frame(0, is_strange=True))[0].outcome == "applied"
    source, served = home.weights.source.tensors, home.weights.latest.tensors
    for name in ("head.linear_fuse.weight", "head.classifier.weight", "head.classifier.bias"):
        assert torch.equal(source[name], served[name])
    assert not torch.equal(source["head.linear_c.0.weight"], served["head.linear_c.0.weight"])
    assert not torch.equal(source["head.bn.running_mean"], served["head.bn.running_mean"])


def test_as_released_it_follows_the_worked_example_whatever_its_own_network_reads() -> None:
    """Anchor 0.90, then 1.36, on the published scale: 1500 iterations from 2.94e-5 on, 42 % of the classes pasted.

    The stream's first window is its anchor and is kept, so the next one ends a frame later, and after that 75 frames at
    1.36 are a window of their own. Forgotten, it would have ended a frame sooner, and with a frame of 0.90 in it.
    """
    home = Home(is_released=True)
    home.hurry(0.9, num_frames=WINDOW + 1)
    home.hurry(1.36, num_frames=WINDOW - 1)
    assert home.method._pace.begin() is None
    home.method._pace.note(1.36)
    assert home.method._pace.budget == 1500
    step, _ = home.learner.learn(home.frame(0, is_strange=True))
    assert step.outcome == "applied" and step.learning_rate == pytest.approx(2.94e-5, rel=1e-6)
    following = home.method._pace.begin()
    assert following is not None and following.ratio == pytest.approx(0.42, abs=1e-6)
    assert following.rate * 1.5e-5 == pytest.approx(2.94e-5 * (1 - 1 / 1500), rel=1e-6)


def test_the_rate_is_four_times_the_recipes_far_away_and_falls_to_the_end_of_the_budget() -> None:
    home = Home()
    home.hurry(1000.0)
    budget = home.method._pace.budget
    rates = [home.learner.learn(home.frame(0, is_strange=True))[0].learning_rate for _ in range(2)]
    assert rates == pytest.approx([6e-5, 6e-5 * (1 - 1 / budget)])


def test_measured_times_choose_the_depth_only_where_there_is_a_clock() -> None:
    clock = ManualClock()
    timed, untimed = Home(clock=clock), Home()
    for home in (timed, untimed):
        home.hurry(30.0)
        for seconds in (9.0, 0.25):  # the first warms up
            loss = home.method.loss(home.student, home.frame(0, is_strange=True))
            assert loss is not None
            clock.advance(seconds)
            home.method.settle(home.student)
    assert timed.method._agent.state()["times_s"] == [0.25, None, None, None]
    assert untimed.method._agent.state()["times_s"] == [None] * 4


def test_a_component_lets_those_stages_rest_that_rest() -> None:
    """At depth 3 the masked frame has something to teach the first two stages, too."""
    home = Home()
    method = joined(METHODS["hamlet"], {"mic": None}).build(home.given)
    state = method.state()
    state["method"]["pace"]["budget"] = 9
    state["method"]["agent"]["scores"] = [0.0, 0.0, 1.0, 0.0]
    method.load_state(state)
    loss = method.loss(home.student, home.frame(0, is_strange=True))
    assert loss is not None
    loss.backward()
    moved = {stage_of(home.student, name) for name, p in home.student.named_parameters() if p.grad is not None}
    assert moved == {3, 4, HEAD_STAGE}


def test_a_run_goes_on_bit_for_bit_from_its_state() -> None:
    home = Home()
    home.hurry(30.0)
    frames = [home.frame(index, is_strange=True) for index in range(4)]
    for frame in frames[:2]:
        home.learner.learn(frame)
    state = copy.deepcopy(home.learner.state())
    chance, replay = home.given.generator.get_state(), home.given.replay.state()
    expected = [home.learner.learn(frame)[0].loss for frame in frames[2:]]

    again = Home(seed=9)
    again.learner.load_state(state)
    again.given.generator.set_state(chance)
    again.given.replay.load_state(replay)
    assert [again.learner.learn(frame)[0].loss for frame in frames[2:]] == expected
    tensors = adaptable_tensors(home.student)
    assert all(torch.equal(tensors[name], tensor) for name, tensor in again.weights.latest.tensors.items())


def test_the_recipes_are_the_published_ones() -> None:
    mended, released = METHODS["hamlet"].recipe, METHODS["hamlet_released"].recipe
    assert (mended.trainable, mended.optimizer, mended.learning_rate) == ("full", "adamw", 1.5e-5)
    assert (mended.head_rate, released.head_rate) == (10.0, 1.0)
    for recipe in (mended, released):
        assert (recipe.weight_decay, recipe.decays_norms, recipe.ema_decay) == (0.01, False, 0.0)
        assert recipe.policy == "bare"


def test_what_is_fitted_and_what_calibrated_on_lie_apart() -> None:
    student = make_student()
    given = materials(student, replay=filled_replay(6))
    decoder = light_decoder_of(given.frozen, given.replay)
    images, labels = given.replay.gather(torch.arange(4))
    again = fitted_light_decoder(given.frozen, images, labels)
    assert tensors_digest(decoder.state_dict()) == tensors_digest(again.state_dict())
    distance = LightDistance(given.frozen, decoder)
    readings = distance.of_source(given.replay.gather(torch.arange(4, 6))[0])
    assert source_scale(distance, given.replay).source == pytest.approx(sum(readings) / 2)


def test_a_light_decoder_that_came_along_is_used() -> None:
    """What it reads, and so the scale, is that decoder's."""
    home = Home()
    frame = home.frame(0, is_strange=True)
    at_source = math.log((math.exp(2) + 3) / math.exp(2))
    assert home.method._distance.of_frame(frame.image_HWC, frame.labels_HW) == pytest.approx(at_source + 2, abs=1e-5)
    assert source_scale(home.method._distance, home.given.replay).source == pytest.approx(at_source, abs=1e-5)


def test_a_state_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="not the state of HAMLET"):
        Home().method.load_state({"pace": {}})
