"""Replay comes from what the checkpoint was trained on, unless the user says otherwise."""

from pathlib import Path

import pytest
import torch

from models.checkpoint import Manifest, Source
from runtime.config import ReplayConfig
from runtime.option_words import ConfigError
from runtime.shift.calibration import MIN_SAMPLES
from runtime.source import HeldOut, SourceChoice, fill_replay
from streams.datasets.splits import open_split
from streams.synthetic.stream import clear_samples

HERE, THERE = Path("here"), Path("there")


def choose(trained_on, *, data=None, **options):
    manifest = Manifest("segformer_b0", 1, ("road",), Source(*trained_on, (32, 64)))
    return SourceChoice.of(manifest, ReplayConfig(**options), data=data)


def fill(choice, *, size_HW=(32, 64), num_bytes=2**20, seed=0, num_held_out=0):
    return fill_replay(choice, size_HW, num_bytes=num_bytes, seed=seed, num_classes=19, num_held_out=num_held_out)


def images_in(replay):
    return {image.numpy().tobytes() for image in replay.gather(torch.arange(len(replay)))[0]}


def test_the_checkpoint_says_what_to_replay() -> None:
    assert choose(("synthetic", "clear")) == SourceChoice("synthetic", None)
    assert choose(("synthetic", "clear"), data=HERE) == SourceChoice("synthetic", None)
    assert choose(("camvid", "train+val"), data=HERE) == SourceChoice("camvid:train+val", HERE)


def test_the_user_may_choose_another_source_and_folder() -> None:
    camvid = ("camvid", "train")
    assert choose(camvid, source="synthetic") == SourceChoice("synthetic", None)
    assert choose(camvid, source="synthetic:clear", data=HERE) == SourceChoice("synthetic", None)
    assert choose(camvid, source="camvid:val", data=HERE, source_data=THERE) == SourceChoice("camvid:val", THERE)


def test_a_source_that_cannot_be_had_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^--source-data: not given, .* camvid:train; .* or --source synthetic$"):
        choose(("camvid", "train"))
    with pytest.raises(ConfigError, match=r"^--source camvit: no such source of labelled samples; nearest: camvid"):
        choose(("synthetic", "clear"), source="camvit")
    with pytest.raises(ConfigError, match=r"^--source kitti:all: no such source"):
        choose(("kitti", "all"), data=HERE)


def test_the_buffer_holds_the_samples_of_the_source(tiny_world) -> None:
    choice = SourceChoice("camvid:train", tiny_world.data)
    replay = fill(choice)
    frames = list(open_split("camvid:train", tiny_world.data).as_stream())
    images_NHWC, labels_NHW = replay.gather(torch.arange(len(replay)))
    held = {
        (image.numpy().tobytes(), label.numpy().tobytes()) for image, label in zip(images_NHWC, labels_NHW, strict=True)
    }
    assert held == {(frame.image_HWC.tobytes(), frame.label_HW.tobytes()) for frame in frames}
    assert len(replay) == 20


def test_filling_depends_on_the_seed_alone(tiny_world) -> None:
    choice = SourceChoice("camvid:train", tiny_world.data)
    first, again, other = (fill(choice, seed=seed).gather(torch.arange(20))[0] for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_the_bound_in_bytes_holds(tiny_world) -> None:
    with pytest.raises(ConfigError, match=f"no room for {MIN_SAMPLES} samples of 32x64"):
        fill(SourceChoice("camvid:train", tiny_world.data), num_bytes=10_000)


def test_too_few_samples_are_refused(tiny_world) -> None:
    with pytest.raises(ConfigError, match=f"^--source camvid:test_day: 6 labelled samples, .* {MIN_SAMPLES}"):
        fill(SourceChoice("camvid:test_day", tiny_world.data))


def test_the_synthetic_world_is_rendered_in_clear_weather() -> None:
    replay = fill_replay(SourceChoice("synthetic", None), (96, 160), num_bytes=2**20, seed=0, num_classes=19)
    statistics = replay.statistics()
    assert MIN_SAMPLES <= len(replay) <= statistics.capacity_samples
    assert sum(count > 0 for count in statistics.pixels_by_class) >= 12


@pytest.mark.parametrize(("asked", "spared"), [(3, 3), (10, 4)])  # of 20 samples calibration needs 16
def test_held_out_samples_are_in_no_replay(tiny_world, asked, spared) -> None:
    choice = SourceChoice("camvid:train", tiny_world.data)
    replayed = images_in(fill(choice, seed=5, num_held_out=asked))
    held_out = list(HeldOut(choice, (32, 64), asked, 5).frames())
    assert (len(held_out), len(replayed)) == (spared, 20 - spared)
    assert replayed | {frame.image_HWC.tobytes() for frame in held_out} == images_in(fill(choice))
    assert all(frame.label_HW is not None for frame in held_out)


def test_a_full_replay_is_the_same_when_samples_that_it_has_no_room_for_are_held_out(tiny_world) -> None:
    choice = SourceChoice("camvid:train", tiny_world.data)
    plain, spared = (fill(choice, size_HW=(104, 136), num_held_out=num) for num in (0, 2))
    assert images_in(plain) == images_in(spared) and MIN_SAMPLES <= len(plain) <= 18


def test_rendered_samples_are_held_out_by_another_seed() -> None:
    (held_out,) = HeldOut(SourceChoice("synthetic", None), (32, 64), 1, 0).frames()
    (replayed,) = clear_samples(1, seed=0, size_HW=(32, 64))
    assert held_out.image_HWC.tobytes() != replayed.image_HWC.tobytes() and held_out.label_HW is not None
