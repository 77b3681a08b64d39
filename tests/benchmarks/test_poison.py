"""The poisons are what they are called, and a small run through one counts what it should."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.poison import Aftermath, PoisonConfig, PoisonFigures, row_of, survive, table
from benchmarks.poisoned import LESSONS, STRETCH, Plan, PoisonedStream, poisoned_methods, relabelled
from benchmarks.poisoned_pictures import PICTURES
from models.zoo import build_model
from replay.buffer import ReplayBuffer
from runtime import events
from runtime.adaptation.method import Materials, Target
from runtime.adaptation.methods import METHODS
from runtime.observer import Event
from runtime.option_words import ConfigError
from streams.frame import Frame
from tests.fakes import make_prediction, make_shadow, make_step

PLAN = Plan("clear", before=10, poison=8, after=3)
SIZE_HW = (64, 128)


@pytest.fixture(scope="module")
def sound() -> list[Frame]:
    return list(PoisonedStream("none", PLAN, seed=0, size_HW=SIZE_HW))


@pytest.mark.parametrize("kind", [kind for kind in PICTURES if kind not in ("none", "late", "repeated")])
def test_every_kind_spoils_the_stretch_and_nothing_else(kind, sound) -> None:
    for frame, was in zip(PoisonedStream(kind, PLAN, seed=0, size_HW=SIZE_HW), sound, strict=True):
        assert frame.index == was.index and np.array_equal(frame.label_HW, was.label_HW)
        assert frame.image_HWC.dtype == np.uint8 and frame.domain == was.domain
        assert (frame.domain == STRETCH) == PLAN.is_poisoned(frame.index)
        assert np.array_equal(frame.image_HWC, was.image_HWC) != PLAN.is_poisoned(frame.index)


def test_a_repeated_picture_alternates_with_live_ones(sound) -> None:
    spoiled = list(PoisonedStream("repeated", PLAN, seed=0, size_HW=SIZE_HW))
    assert all(np.array_equal(spoiled[index].image_HWC, sound[index].image_HWC) for index in (11, 13, 15, 17))
    apart = [np.abs(spoiled[index].image_HWC.astype(int) - sound[9].image_HWC).mean() for index in (10, 12, 14, 16)]
    assert all(0.5 < distance < 3 for distance in apart)


def test_late_frames_come_with_their_old_numbers() -> None:
    indices = [frame.index for frame in PoisonedStream("late", PLAN, seed=0, size_HW=SIZE_HW)]
    assert indices[10:18] == [10, 11, 12, 13, 14, 10, 16, 12] and indices[18:] == [18, 19, 20]


def test_loops_and_frozen_pictures_repeat_sound_ones(sound) -> None:
    looped = list(PoisonedStream("looped", PLAN, seed=0, size_HW=SIZE_HW))
    assert all(np.array_equal(looped[10 + n].image_HWC, sound[2 + n].image_HWC) for n in range(8))
    frozen = list(PoisonedStream("frozen", PLAN, seed=0, size_HW=SIZE_HW))
    assert all(np.array_equal(frozen[10 + n].image_HWC, sound[9].image_HWC) for n in range(8))


@pytest.fixture
def replay() -> ReplayBuffer:
    rng = np.random.default_rng(0)
    buffer = ReplayBuffer((32, 64), capacity_bytes=4 * (32 * 64 * 4 + 152), generator=torch.Generator().manual_seed(0))
    for number in range(4):
        buffer.add(rng.integers(0, 256, (32, 64, 3), dtype=np.uint8), np.full((32, 64), number, np.uint8))
    return buffer


@pytest.mark.parametrize("kind", ["labels_of_classes", "labels_of_samples"])
def test_shuffled_labels_leave_no_sample_its_own(replay, kind) -> None:
    spoiled = relabelled(replay, kind, torch.Generator().manual_seed(1))
    everything = torch.arange(4)
    assert torch.equal(spoiled.gather(everything)[0], replay.gather(everything)[0])
    assert (spoiled.gather(everything)[1] != replay.gather(everything)[1]).all()


@pytest.mark.parametrize("kind", LESSONS)
def test_lessons_are_sound_before_the_stretch_and_spoiled_in_it(replay, kind) -> None:
    torch.manual_seed(0)
    student = build_model("segformer_b0", num_classes=19).eval()
    image_HWC = replay.gather(torch.tensor([0]))[0][0].numpy()

    def lesson(frame_index: int) -> tuple[torch.Tensor, float]:
        entry = poisoned_methods(PLAN)[kind]
        generator = torch.Generator().manual_seed(0)
        method = entry.build(Materials(replay, student, student, torch.device("cpu"), generator))
        loss = method.loss(student, Target(frame_index, image_HWC, np.zeros((32, 64), np.uint8), 0.5))
        student.zero_grad()
        torch.autograd.backward(loss)
        return loss.detach(), float(
            torch.stack([p.grad.norm() for p in student.parameters() if p.grad is not None]).sum()
        )

    sound, slope = lesson(0)
    assert torch.isfinite(sound) and np.isfinite(slope) and sound > 0
    spoiled, spoiled_slope = lesson(PLAN.before)
    match kind:
        case "nan_loss":
            assert torch.isnan(spoiled)
        case "nan_gradient":
            assert torch.isfinite(spoiled) and np.isnan(spoiled_slope)
        case "ascent":
            assert spoiled < 0
        case _:
            assert torch.isfinite(spoiled) and np.isfinite(spoiled_slope)


def test_spoiled_lessons_are_learnt_as_the_default_method_learns() -> None:
    assert {entry.recipe for entry in poisoned_methods(PLAN).values()} == {METHODS["styled"].recipe}


def shadowed(index: int, domain: str) -> list[Event]:
    frame = Frame(index, 0.0, np.zeros((32, 64, 3), np.uint8), label_HW=np.ones((32, 64), np.uint8), domain=domain)
    prediction = make_prediction(frame)
    return [prediction, make_shadow(prediction)]


def test_counts_are_of_the_stretch_and_scores_of_what_follows() -> None:
    seen = Aftermath(3)
    refused = events.FrameGated(frame_index=0, reason="black", at_s=0.0)
    rollback = events.Rollback(frame_index=1, version=0, reason="", at_s=0.0)
    for domain in ("clear", STRETCH, "after"):
        for event in [*shadowed(0, domain), refused, make_step(), make_step(outcome="nonfinite"), rollback]:
            seen.observe(event)
    for index in range(25):
        for event in shadowed(index, "after"):
            seen.observe(event)
    assert seen.steps == {"applied": 1, "nonfinite": 1} and seen.num_rollbacks == 1
    assert {domain: dict(counts) for domain, counts in seen.gated.items()} == {
        domain: {"black": 1} for domain in ("clear", STRETCH, "after")
    }
    # Served is right everywhere, frozen in the upper half: mIoU 1 against (0.5 + 0) / 2.
    assert seen.differences() == pytest.approx([75.0, 75.0])


def test_a_small_run_is_counted_and_scored(tiny_world) -> None:
    config = PoisonConfig(
        before=10, poison=10, after=25, checkpoint=str(tiny_world.checkpoint), size="32x64", replay_mb=0.2
    )
    figures = survive(config, "nan_gradient", "rain", 0)
    assert figures.steps == {"nonfinite": 8} and figures.rollbacks == 8  # what sound frames left of the budget
    assert figures.frames == 10 and 0 <= figures.miou_frozen <= 100
    (row,) = table([figures], "guarded").rows
    assert row == row_of(figures) and row[0] == "nan_gradient rain 0" and row[3:6] == ("0", "8", "8")
    bare = survive(replace(config, policy="bare"), "nan_gradient", "rain", 0)
    assert bare.steps == {"nonfinite": 10}, "the control has no budget"


def test_the_table_names_the_method_and_its_track() -> None:
    assert table([], "bare").title == "After the poison, styled (source-replay), policy bare"


@pytest.mark.parametrize(("worst", "verdict"), [(-0.9, "survived"), (-1.1, "HARMED")])
def test_the_verdict_is_a_point(worst, verdict) -> None:
    figures = PoisonFigures("noise", "rain", 0, 10, {"flat": 5}, 0, {"applied": 5}, 0, 70.0, 70.1, 0.0, worst, 5, 0)
    assert row_of(figures)[-1] == verdict and row_of(figures)[1] == "50"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kinds": "noise,blck"}, "'blck' is not known; nearest: black"),
        ({"starts": "hail"}, "'hail' is not known"),
        ({"after": 24}, "--after 24: expected 25 or more"),
        ({"seeds": "a"}, "--seeds a: expected whole numbers"),
        ({"size": "7"}, "--size 7"),
    ],
)
def test_what_cannot_be_run_is_refused_in_a_line(options, words) -> None:
    with pytest.raises(ConfigError, match=words):
        PoisonConfig(**options)
