"""The synthetic street world: the same frame whenever it is asked for, all classes, and truth that fits the picture."""

import gc
import weakref

import cv2
import numpy as np
import pytest

from streams.synthetic import classes
from streams.synthetic.scene import Scene, SceneFrame

_SIZE_HW = (128, 256)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(seed=11, size_HW=_SIZE_HW)


def _same(left: SceneFrame, right: SceneFrame) -> bool:
    return (
        np.array_equal(left.image_HWC, right.image_HWC)
        and np.array_equal(left.label_HW, right.label_HW)
        and np.array_equal(left.depth_HW, right.depth_HW)
        and np.array_equal(left.flow_HW2, right.flow_HW2)
    )


def test_frame_has_the_promised_arrays(scene: Scene) -> None:
    frame = scene.render(3)
    assert frame.image_HWC.shape == (*_SIZE_HW, 3)
    assert frame.image_HWC.dtype == np.uint8
    assert frame.label_HW.shape == _SIZE_HW
    assert frame.label_HW.dtype == np.uint8
    assert frame.depth_HW.dtype == np.float32
    assert frame.flow_HW2.shape == (*_SIZE_HW, 2)
    assert frame.flow_HW2.dtype == np.float32
    assert np.isfinite(frame.flow_HW2).all()
    assert frame.depth_HW.min() > 0.3
    assert frame.depth_HW.max() == 1000.0
    assert frame.label_HW.max() <= 18


def test_frames_are_the_same_in_any_order(scene: Scene) -> None:
    late_first = Scene(seed=11, size_HW=_SIZE_HW)
    late = late_first.render(400)
    early = late_first.render(2)
    assert _same(early, scene.render(2))
    scene.render(90)
    assert _same(late, scene.render(400))


def test_time_may_run_backwards(scene: Scene) -> None:
    assert scene.render(-30).label_HW.max() <= 18


def test_seeds_and_times_differ(scene: Scene) -> None:
    here = scene.render(0)
    other = Scene(seed=12, size_HW=_SIZE_HW).render(0)
    assert (here.label_HW != other.label_HW).mean() > 0.1
    assert (here.label_HW != scene.render(60).label_HW).mean() > 0.05


def test_frame_rate_only_sets_the_step(scene: Scene) -> None:
    twice = Scene(seed=11, size_HW=_SIZE_HW, fps=20.0).render(6)
    once = scene.render(3)
    assert np.array_equal(once.label_HW, twice.label_HW)
    assert not np.array_equal(once.flow_HW2, twice.flow_HW2)


@pytest.mark.parametrize(
    ("arguments", "named"), [({"seed": -1}, "seed"), ({"size_HW": (8, 64)}, "size_HW"), ({"fps": 0.0}, "fps")]
)
def test_impossible_scenes_are_refused(arguments: dict[str, object], named: str) -> None:
    options = {"seed": 1, "size_HW": _SIZE_HW, "fps": 10.0} | arguments
    with pytest.raises(ValueError, match=named):
        Scene(**options)


def test_classes_are_plausibly_frequent() -> None:
    share = np.zeros(256)
    present = np.zeros(256)
    num_frames = 0
    for seed in range(30, 34):
        scene = Scene(seed=seed, size_HW=_SIZE_HW)
        for t in (0, 130, 260):
            count = np.bincount(scene.render(t).label_HW.ravel(), minlength=256)
            share += count
            present += count > 12
            num_frames += 1
    share /= share.sum()
    assert (share > 0).sum() >= 16
    assert share[classes.NONE] == 0
    assert share.argmax() == classes.ROAD
    large = (classes.BUILDING, classes.VEGETATION, classes.SKY, classes.CAR)
    assert all(share[train_id] > 0.03 for train_id in large)
    rare = (classes.PERSON, classes.RIDER, classes.BICYCLE, classes.POLE, classes.TRAFFIC_SIGN)
    assert all(present[train_id] >= num_frames / 5 for train_id in rare)


def test_ground_is_farther_towards_the_horizon(scene: Scene) -> None:
    frame = scene.render(3)
    ground = np.isin(frame.label_HW, (classes.ROAD, classes.SIDEWALK, classes.TERRAIN))
    farther = frame.depth_HW[:-1] > frame.depth_HW[1:]
    both = ground[:-1] & ground[1:]
    both[: int(0.47 * _SIZE_HW[0])] = False
    assert both.sum() > 1000
    assert farther[both].all()


def test_sky_is_far_and_turns_with_the_camera_only(scene: Scene) -> None:
    frame = scene.render(40)
    sky = frame.label_HW == classes.SKY
    assert (frame.depth_HW[sky] == 1000.0).all()
    assert np.ptp(frame.flow_HW2[sky][:, 0]) < 1.0


@pytest.mark.parametrize("t", [5, 47])
def test_flow_leads_to_the_same_surface_in_the_next_frame(scene: Scene, t: int) -> None:
    here, there = scene.render(t), scene.render(t + 1)
    rows, columns = np.mgrid[0 : _SIZE_HW[0], 0 : _SIZE_HW[1]].astype(np.float32)
    x, y = columns + here.flow_HW2[..., 0], rows + here.flow_HW2[..., 1]
    inside = (x > 1) & (x < _SIZE_HW[1] - 2) & (y > 1) & (y < _SIZE_HW[0] - 2)
    depth = cv2.remap(there.depth_HW, x, y, cv2.INTER_NEAREST)
    seen = inside & (depth > 0.9 * (here.depth_HW - 2.5))
    label = cv2.remap(there.label_HW, x, y, cv2.INTER_NEAREST)
    image = cv2.remap(there.image_HWC, x, y, cv2.INTER_LINEAR).astype(np.float32)
    assert seen.sum() > 0.9 * inside.sum()
    assert (label == here.label_HW)[seen].mean() > 0.97
    error = np.abs(image - here.image_HWC).mean(axis=2)[seen]
    still = np.abs(there.image_HWC.astype(np.float32) - here.image_HWC).mean(axis=2)[seen]
    assert np.median(error) < 6
    assert error.mean() < 0.7 * still.mean()


def test_a_scene_that_nobody_holds_is_gone_at_once() -> None:
    gc.collect()
    gc.disable()  # a street is 30 MB, and full collections are rare
    try:
        scene = Scene(seed=5, size_HW=_SIZE_HW)
        scene.render(0)
        gone = weakref.ref(scene)
        del scene
        assert gone() is None
    finally:
        gc.enable()
