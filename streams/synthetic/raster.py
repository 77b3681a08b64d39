"""Draws quads into a picture with label, depth and identity, far ones first.

Each quad is one perspective warp of its sprite. Visibility is decided per pixel by inverse depth, which is linear in
image coordinates on a plane; the far-to-near order only serves the soft edges.
Background: Heckbert, Fundamentals of Texture Mapping and Image Warping (1989), section 2.
"""

# H height, W width, N quads, 4 channels (RGB premultiplied by alpha, alpha)

from dataclasses import dataclass

import cv2
import numpy as np

from streams.synthetic.camera import Lens, Pose
from streams.synthetic.classes import NONE
from streams.synthetic.quads import Quads

_NEAR_M = 0.4
_MIN_PIXELS = 2.0
_DEPTH_SLACK = np.float32(1.004)


@dataclass(frozen=True, slots=True, eq=False)
class Layers:
    """The picture being drawn. `owner_HW` holds 1 + the index of the quad seen, 0 where none is."""

    image_HW4: np.ndarray
    label_HW: np.ndarray
    inverse_depth_HW: np.ndarray
    owner_HW: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """Quads as seen by one camera: plane maps, drawing order, reduction levels and boxes of those in view."""

    to_plane_N33: np.ndarray
    order: np.ndarray
    boxes_N4: np.ndarray
    reduce_N2: np.ndarray


def plane_matrices(lens: Lens, pose: Pose, quads: Quads) -> np.ndarray:
    """(N, 3, 3): maps (share across, share down, 1) on a quad to image (x, y, 1) times the depth."""
    camera_N33 = np.stack(
        [pose.turn(quads.across_N3), pose.turn(quads.down_N3), pose.to_camera(quads.origin_N3)], axis=2
    )
    intrinsics = np.array([[lens.focal, 0, lens.centre_x], [0, lens.focal, lens.centre_y], [0, 0, 1]])
    return np.asarray(intrinsics @ camera_N33)


def project(lens: Lens, pose: Pose, quads: Quads) -> Projection:
    """Find which quads are in view, where, in which order and at which resolution."""
    to_image = plane_matrices(lens, pose, quads)
    shares_43 = np.array([[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]], np.float64)
    corners_N43 = np.einsum("nij,kj->nki", to_image, shares_43)
    depth_N4 = corners_N43[..., 2]
    points_N42 = corners_N43[..., :2] / np.maximum(depth_N4, _NEAR_M)[..., None]
    sizes = np.array([sprite.size_HW for sprite in quads.sprites], np.float64).reshape(-1, 2)
    edges = np.linalg.norm(points_N42[:, [1, 2, 2, 3]] - points_N42[:, [0, 3, 1, 0]], axis=2)
    pixels_N2 = np.stack([np.maximum(edges[:, 0], edges[:, 1]), np.maximum(edges[:, 2], edges[:, 3])], axis=1)
    reduce = np.floor(np.log2(sizes[:, ::-1] / np.maximum(pixels_N2, 1.0)) + 0.25)
    boxes = _boxes(lens, corners_N43, points_N42)
    middle = depth_N4.mean(axis=1)
    eye = np.array([pose.x, -1.5, pose.z])
    facing = np.einsum("nj,nj->n", quads.normal_N3, eye - quads.origin_N3)
    shown = (depth_N4.max(axis=1) > _NEAR_M) & (middle < quads.reach_N * lens.magnification)
    shown &= (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    shown &= (facing > 0) | ~quads.normal_N3.any(axis=1)
    shown &= (pixels_N2 > _MIN_PIXELS).any(axis=1)
    determinant = np.linalg.det(to_image)
    shown &= np.abs(determinant) > 1e-6
    to_image[~shown] = np.eye(3)
    candidates = np.flatnonzero(shown)
    order = candidates[np.argsort(-middle[candidates], kind="stable")]
    return Projection(np.linalg.inv(to_image), order, boxes, np.clip(reduce, 0, 6).astype(np.int64))


def _boxes(lens: Lens, corners_N43: np.ndarray, points_N42: np.ndarray) -> np.ndarray:
    """Integer boxes (left, top, right, bottom) around the visible part; quads through the near plane are clipped."""
    low, high = points_N42.min(axis=1), points_N42.max(axis=1)
    depth_N4 = corners_N43[..., 2]
    for index in np.flatnonzero((depth_N4.min(axis=1) < _NEAR_M) & (depth_N4.max(axis=1) > _NEAR_M)):
        kept = []
        for corner in range(4):
            here, there = corners_N43[index, corner], corners_N43[index, (corner + 1) % 4]
            if here[2] >= _NEAR_M:
                kept.append(here[:2] / here[2])
            if (here[2] < _NEAR_M) != (there[2] < _NEAR_M):
                share = (_NEAR_M - here[2]) / (there[2] - here[2])
                kept.append((here + share * (there - here))[:2] / _NEAR_M)
        low[index], high[index] = np.min(kept, axis=0), np.max(kept, axis=0)
    limit = np.array([lens.width, lens.height], np.float64)
    start = np.clip(np.floor(low - 0.5), 0, limit)
    stop = np.clip(np.ceil(high + 0.5) + 1, 0, limit)
    return np.concatenate([start, stop], axis=1).astype(np.int64)


def draw(layers: Layers, quads: Quads, projection: Projection) -> None:
    """Draw all quads in view into `layers`."""
    width = layers.label_HW.shape[1]
    height = layers.label_HW.shape[0]
    columns_W = np.arange(width, dtype=np.float32)
    rows_H1 = np.arange(height, dtype=np.float32)[:, None]
    shades = quads.shade_N.tolist()
    boxes = projection.boxes_N4.tolist()
    reductions = projection.reduce_N2.tolist()
    for index in projection.order.tolist():
        left, top, right, bottom = boxes[index]
        rgba, label = quads.sprites[index].level(*reductions[index], shades[index])
        matrix = projection.to_plane_N33[index]
        a, b, c = matrix[2].astype(np.float32)
        inverse_depth = columns_W[left:right] * a + (rows_H1[top:bottom] * b + c)
        window = (slice(top, bottom), slice(left, right))
        ahead = inverse_depth * _DEPTH_SLACK > layers.inverse_depth_HW[window]
        texel = matrix.copy()
        texel[:, 2] += matrix[:, 0] * left + matrix[:, 1] * top
        texel[0] *= rgba.shape[1] - 1
        texel[1] *= rgba.shape[0] - 1
        size = (right - left, bottom - top)
        warped = cv2.warpPerspective(rgba, texel, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        seen = cv2.warpPerspective(
            label, texel, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP, borderValue=(NONE,)
        )
        warped = cv2.copyTo(warped, ahead.view(np.uint8))
        target = layers.image_HW4[window]
        veil = cv2.cvtColor(cv2.bitwise_not(cv2.extractChannel(warped, 3)), cv2.COLOR_GRAY2BGRA)
        cv2.add(cv2.multiply(target, veil, scale=1 / 255), warped, dst=target)
        written = (ahead & (seen != NONE)).view(np.uint8)
        cv2.copyTo(seen, written, layers.label_HW[window])
        cv2.copyTo(inverse_depth, written, layers.inverse_depth_HW[window])
        layers.owner_HW[window][written.view(bool)] = index + 1


def mover_flow(
    flow_HW2: np.ndarray, layers: Layers, projection: Projection, *, first: int, after_N33: np.ndarray
) -> None:
    """Overwrite the flow of pixels owned by quads from `first` on; `after_N33` are their plane maps one frame later."""
    boxes = projection.boxes_N4.tolist()
    for index in projection.order.tolist():
        if index < first:
            continue
        left, top, right, bottom = boxes[index]
        rows, columns = np.nonzero(layers.owner_HW[top:bottom, left:right] == index + 1)
        if rows.size == 0:
            continue
        points_3N = np.stack([columns + left, rows + top, np.ones(rows.size)]).astype(np.float64)
        moved_3N = after_N33[index - first] @ projection.to_plane_N33[index] @ points_3N
        flow_HW2[rows + top, columns + left] = (moved_3N[:2] / moved_3N[2] - points_3N[:2]).T
