"""Small pictures are made of coarser textures and fewer things, and show the same street as large ones."""

import cv2
import numpy as np
import pytest

from streams.synthetic import classes
from streams.synthetic.camera import Lens
from streams.synthetic.randomness import generator
from streams.synthetic.scene import Scene
from streams.synthetic.sprites import Canvas, Sprite
from streams.synthetic.textures import noise
from streams.synthetic.world_ground import Ground
from streams.synthetic.world_layout import Street
from streams.synthetic.world_static import num_chunks_seen

_SUN_3 = np.array([0.3, -0.8, 0.5])


@pytest.mark.parametrize("size_HW", [(256, 512), (320, 512), (512, 1024)])
def test_pictures_512_wide_and_wider_are_made_at_full_detail(size_HW: tuple[int, int]) -> None:
    lens = Lens.for_size(size_HW)
    assert lens.detail == 1.0
    street = Street(3)
    picture, label = Ground(street, lens, sun_3=_SUN_3).chunk_pictures(street.chunk(0), (street.chunk(-1),) * 2)
    assert picture.shape[:2] == label.shape == (24 * 16, 32 * 24)


def test_small_pictures_are_made_of_less() -> None:
    street = Street(3)
    texels = []
    for width in (64, 128, 256, 512):
        ground = Ground(street, Lens.for_size((width // 2, width)), sun_3=_SUN_3)
        texels.append(ground.chunk_pictures(street.chunk(0), (street.chunk(-1),) * 2)[1].size)
    assert texels == sorted(set(texels))
    assert 4 * texels[1] <= texels[3]
    chunks = [num_chunks_seen(Lens.for_size((32, width)).detail) for width in (64, 128, 256, 512)]
    assert chunks == sorted(set(chunks))
    assert chunks[0] == 2


@pytest.mark.parametrize("seed", [5, 18])
def test_the_sky_and_the_road_of_a_small_picture_are_those_of_a_large_one(seed: int) -> None:
    """Houses and people are left out: a small picture shows them less far off."""
    small, large = (Scene(seed=seed, size_HW=size_HW).render(40) for size_HW in ((64, 128), (256, 512)))
    shrunk_HWC = cv2.resize(large.image_HWC, (128, 64), interpolation=cv2.INTER_AREA)
    label_HW = large.label_HW[2::4, 2::4]
    everywhere = (classes.SKY, classes.ROAD, classes.SIDEWALK, classes.TERRAIN)
    common = np.isin(label_HW, everywhere) & np.isin(small.label_HW, everywhere)
    assert common.mean() > 0.3
    assert (small.label_HW == label_HW)[common].mean() > 0.97
    same = common & (small.label_HW == label_HW)
    difference = np.abs(small.image_HWC.astype(np.float32) - shrunk_HWC)[same]
    assert difference.mean() < 6.0


def test_coarse_noise_is_the_same_noise_shrunk() -> None:
    """Also: it takes as many draws, so what is drawn after it does not depend on the detail."""
    fine_rng, coarse_rng = generator(9), generator(9)
    fine = noise(fine_rng, (256, 256), cell_px=64)
    coarse = noise(coarse_rng, (64, 128), cell_px=64, detail=(0.25, 0.5))
    shrunk = cv2.resize(fine, (128, 64), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(coarse.ravel(), shrunk.ravel())[0, 1] > 0.95
    assert fine_rng.random() == coarse_rng.random()


def test_a_sprite_is_painted_once_and_only_when_seen() -> None:
    calls = []

    def paint() -> tuple[np.ndarray, np.ndarray]:
        calls.append(1)
        return np.full((8, 8, 4), 255, np.uint8), np.zeros((8, 8), np.uint8)

    sprite = Sprite(paint, (8, 8), width_m=1.0, height_m=1.0)
    assert sprite.size_HW == (8, 8) and not calls
    sprite.level(0, 0, 3)
    sprite.level(1, 1, 5)
    assert len(calls) == 1


def test_a_canvas_keeps_the_label_that_held_at_each_stroke() -> None:
    canvas = Canvas(2.0, 1.0, px_per_m=16, label=classes.POLE)
    canvas.box(0.0, 0.0, 1.0, 1.0, (200, 0, 0))
    canvas.current_label = classes.TRAFFIC_SIGN
    canvas.box(1.0, 0.0, 2.0, 1.0, (0, 200, 0))
    sprite = canvas.finish()
    rgba, label = sprite.level(0, 0, 10)
    assert rgba.shape[:2] == label.shape == sprite.size_HW
    assert label[8, 4] == classes.POLE and label[8, -4] == classes.TRAFFIC_SIGN
    assert rgba[8, 4, 0] > 0 == rgba[8, 4, 1] and rgba[8, -4, 1] > 0 == rgba[8, -4, 0]
