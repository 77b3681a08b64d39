"""Points of a picture: what is read at them is what the whole picture has there, gradients included."""

import pytest
import torch
import torch.nn.functional as F

from models.points import at_points, interpolated_at, random_points


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def every_point(num, size_HW):
    return torch.arange(size_HW[0] * size_HW[1]).expand(num, -1)


def test_points_are_different_pixels_of_each_picture() -> None:
    points = random_points(3, (8, 16), 100, generator=generator())
    assert points.shape == (3, 100) and int(points.min()) >= 0 and int(points.max()) < 128
    assert all(len(set(row.tolist())) == 100 for row in points)
    assert not torch.equal(points[0], points[1])


def test_where_there_are_no_more_pixels_all_are_drawn_once() -> None:
    points = random_points(1, (2, 3), 50, generator=generator())
    assert sorted(points[0].tolist()) == [0, 1, 2, 3, 4, 5]


def test_draws_follow_the_generator() -> None:
    one, same, other = (random_points(1, (8, 8), 5, generator=generator(s)) for s in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)
    with pytest.raises(ValueError, match="points must be 1 or more, got 0"):
        random_points(1, (8, 8), 0, generator=generator())


def test_a_map_is_read_at_rows_and_columns() -> None:
    picture = torch.arange(24).reshape(1, 2, 3, 4)
    assert at_points(picture, torch.tensor([[5, 11]]))[0, :, :, 0].tolist() == [[5, 11], [17, 23]]


@pytest.mark.parametrize("small_HW", [(8, 12), (4, 6), (2, 3), (1, 1), (3, 5), (5, 7)])
def test_interpolation_is_that_of_the_whole_picture(small_HW) -> None:
    small = torch.randn(2, 5, *small_HW, generator=generator())
    whole = F.interpolate(small, size=(8, 12), mode="bilinear", align_corners=False)
    read = interpolated_at(small, every_point(2, (8, 12)), (8, 12))
    torch.testing.assert_close(read, whole.flatten(2).permute(0, 2, 1), rtol=1e-5, atol=1e-5)


def test_gradients_of_interpolation_are_those_of_the_whole_picture() -> None:
    small = torch.randn(2, 3, 3, 5, generator=generator()).requires_grad_()
    points = random_points(2, (9, 20), 40, generator=generator())
    weights = torch.randn(2, 40, 3, generator=generator())
    (sampled,) = torch.autograd.grad((interpolated_at(small, points, (9, 20)) * weights).sum(), small)
    whole = F.interpolate(small, size=(9, 20), mode="bilinear", align_corners=False).flatten(2).permute(0, 2, 1)
    picked = torch.stack([rows[row_points] for rows, row_points in zip(whole, points, strict=True)])
    (expected,) = torch.autograd.grad((picked * weights).sum(), small)
    torch.testing.assert_close(sampled, expected, rtol=1e-5, atol=1e-5)
