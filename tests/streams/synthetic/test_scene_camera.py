"""Camera, flow and rasteriser against closed forms worked out independently."""

import numpy as np
import pytest

from streams.synthetic.camera import CAMERA_HEIGHT_M, Lens, Path, Pose, static_flow
from streams.synthetic.classes import CAR, NONE
from streams.synthetic.quads import QuadList, Quads
from streams.synthetic.raster import Layers, draw, mover_flow, plane_matrices, project
from streams.synthetic.sprites import solid_sprite

_LENS = Lens.for_size((64, 128))


def _layers() -> Layers:
    shape = (_LENS.height, _LENS.width)
    image, label = np.zeros((*shape, 4), np.uint8), np.full(shape, NONE, np.uint8)
    return Layers(image, label, np.zeros(shape, np.float32), np.zeros(shape, np.int32))


def _board(x: float, z: float, label: int = CAR) -> Quads:
    """A square of 2 m, facing the camera, standing on the ground with its left edge at `x`."""
    quads = QuadList()
    picture = np.full((16, 16, 3), 200, np.uint8)
    sprite = solid_sprite(picture, label, width_m=2, height_m=2)
    quads.add(sprite, origin=(x, -2, z), across=(2, 0, 0), down=(0, 2, 0), look=(1000, 1.0))
    return quads.pack()


def test_static_flow_is_a_rotation_and_a_shift_of_rays() -> None:
    rng = np.random.default_rng(0)
    inverse_depth = rng.uniform(0.0, 0.2, (_LENS.height, _LENS.width)).astype(np.float32)
    pose, after = Pose(0.3, 5.0, 0.10), Pose(0.5, 5.9, 0.13)
    flow = static_flow(_LENS, inverse_depth, pose, after)
    for row, column in ((10, 20), (40, 100), (63, 5)):
        ray = np.array([(column - _LENS.centre_x) / _LENS.focal, (row - _LENS.centre_y) / _LENS.focal, 1.0])
        cos, sin = np.cos(pose.yaw), np.sin(pose.yaw)
        world = np.array([cos * ray[0] + sin * ray[2], ray[1], cos * ray[2] - sin * ray[0]])
        point = world / inverse_depth[row, column] + (pose.x - after.x, 0, pose.z - after.z)
        cos, sin = np.cos(after.yaw), np.sin(after.yaw)
        seen = np.array([cos * point[0] - sin * point[2], point[1], sin * point[0] + cos * point[2]])
        expected = seen[:2] / seen[2] * _LENS.focal + (_LENS.centre_x, _LENS.centre_y)
        np.testing.assert_allclose(flow[row, column], expected - (column, row), atol=2e-3)


def test_a_board_covers_the_pixels_that_a_pinhole_gives() -> None:
    layers, pose = _layers(), Pose(0.0, 0.0, 0.0)
    quads = _board(-1.0, 10.0)
    draw(layers, quads, project(_LENS, pose, quads))
    rows, columns = np.nonzero(layers.label_HW == CAR)
    assert abs(columns.min() - (_LENS.centre_x - _LENS.focal / 10)) <= 1.5
    assert abs(columns.max() - (_LENS.centre_x + _LENS.focal / 10)) <= 1.5
    assert abs(rows.min() - (_LENS.centre_y - _LENS.focal * 0.05)) <= 1.5
    assert abs(rows.max() - (_LENS.centre_y + _LENS.focal * CAMERA_HEIGHT_M / 10)) <= 1.5
    np.testing.assert_allclose(layers.inverse_depth_HW[layers.label_HW == CAR], 0.1, rtol=1e-4)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_nearer_board_is_seen_whatever_the_order(order: tuple[int, int]) -> None:
    layers, pose = _layers(), Pose(0.0, 0.0, 0.0)
    boards = (_board(-1.0, 8.0, label=1), _board(-1.0, 16.0, label=2))
    for index in order:
        draw(layers, boards[index], project(_LENS, pose, boards[index]))
    middle = (round(_LENS.centre_y), round(_LENS.centre_x))
    assert layers.label_HW[middle] == 1
    assert layers.inverse_depth_HW[middle] == pytest.approx(1 / 8)


def test_a_wall_that_passes_the_camera_is_clipped_and_not_mirrored() -> None:
    quads = QuadList()
    sprite = solid_sprite(np.full((16, 64, 3), 90, np.uint8), 3, width_m=20, height_m=2)
    quads.add(sprite, origin=(2, -2, -10), across=(0, 0, 20), down=(0, 2, 0), look=(1000, 1.0))
    layers, pose = _layers(), Pose(0.0, 0.0, 0.0)
    draw(layers, quads.pack(), project(_LENS, pose, quads.pack()))
    columns = np.nonzero(layers.label_HW == 3)[1]
    assert columns.max() == _LENS.width - 1
    assert columns.min() > _LENS.centre_x + _LENS.focal * 2 / 10 - 2


def test_mover_flow_adds_the_motion_of_the_thing() -> None:
    pose, after = Pose(0.0, 0.0, 0.0), Pose(0.0, 0.8, 0.0)
    now, moved = _board(-1.0, 10.0), _board(-0.4, 9.5)
    layers = _layers()
    projection = project(_LENS, pose, now)
    draw(layers, now, projection)
    flow = static_flow(_LENS, layers.inverse_depth_HW, pose, after)
    mover_flow(flow, layers, projection, first=0, after_N33=plane_matrices(_LENS, after, moved))
    rows, columns = np.nonzero(layers.label_HW == CAR)
    x = (columns - _LENS.centre_x) / _LENS.focal * 10 + 0.6
    y = (rows - _LENS.centre_y) / _LENS.focal * 10
    np.testing.assert_allclose(flow[rows, columns, 0], x / 8.7 * _LENS.focal + _LENS.centre_x - columns, atol=1e-3)
    np.testing.assert_allclose(flow[rows, columns, 1], y / 8.7 * _LENS.focal + _LENS.centre_y - rows, atol=1e-3)


def test_the_path_bends_gently_and_always_goes_forward() -> None:
    for seed in range(20):
        path = Path(seed)
        travelled = np.array([path.travelled(time_s) for time_s in np.arange(0, 60, 0.1)])
        assert (np.diff(travelled) > 0).all()
        yaws = np.array([path.yaw_at(z) for z in travelled])
        assert np.abs(yaws).max() < np.radians(30)
        assert np.abs(np.diff(yaws)).max() < np.radians(2)
