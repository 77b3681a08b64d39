"""Tones of rows against recolouring every picture, and against weather that knows rows only."""

# H height, W width, C channels, P places, R bands of rows

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.adaptation.layout import NUM_PLACES, place
from runtime.adaptation.row_tones import NUM_BANDS, SourceRows, recolour_rows, row_tones
from runtime.adaptation.tones import Recolouring, recolouring, tones_of

HEIGHT, WIDTH, HORIZON = 96, 80, 40
NO_GRAIN = torch.zeros(3)
ALL = slice(0, HEIGHT)


def label(seed=0):
    """Sky, road, and things that begin and end at other rows in every column."""
    generator = torch.Generator().manual_seed(seed)
    label_HW = torch.full((HEIGHT, WIDTH), 10, dtype=torch.uint8)
    label_HW[HORIZON + 2 :] = 0
    for column in range(0, WIDTH, 8):
        top, foot = (int(torch.randint(low, high, (), generator=generator)) for low, high in ((5, 40), (45, 90)))
        label_HW[top:foot, column : column + 6] = 2
    return label_HW


def picture(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 130 + 30 * torch.randn((3, HEIGHT, WIDTH), generator=generator)


def weights(label_HW):
    return F.one_hot(place(label_HW, horizon=HORIZON).crisp(), NUM_PLACES).permute(2, 0, 1).float()


def crisply(image_CHW, label_HW, change):
    """Recoloured by the nearer place alone."""
    place_HW = place(label_HW, horizon=HORIZON).crisp()
    values = (values_CP[:, place_HW] for values_CP in (change.from_CP, change.gain_CP, change.to_CP))
    from_CHW, gain_CHW, to_CHW = values
    return (image_CHW - from_CHW) * gain_CHW + to_CHW


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000))
def test_sums_say_what_recolouring_every_sample_would(seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels, images = [label(seed + i) for i in range(3)], [picture(seed + i) for i in range(3)]
    change = Recolouring(*(scale * torch.rand((3, NUM_PLACES), generator=generator) for scale in (200.0, 2.0, 250.0)))
    found = SourceRows(zip(images, map(weights, labels), strict=True)).recoloured(change)
    each = [
        row_tones(crisply(image_CHW, label_HW, change), weights(label_HW))
        for image_CHW, label_HW in zip(images, labels, strict=True)
    ]
    assert torch.equal(found.count_P, sum(tones.count_P for tones in each))
    for name in ("mean_CP", "spread_CP"):
        expected = getattr(each[0].plus(each[1]).plus(each[2]), name)
        assert torch.allclose(getattr(found, name), expected, rtol=1e-3, atol=0.5)


def test_rows_of_sky_alone_are_empty_and_the_rest_are_measured() -> None:
    label_HW = torch.full((HEIGHT, WIDTH), 10, dtype=torch.uint8)
    label_HW[48:] = 0
    image_CHW = picture()
    image_CHW[:, 48:52] = 77.0
    found = row_tones(image_CHW, weights(label_HW))
    assert float(found.count_P[: NUM_BANDS // 2].max()) == 0.0
    assert found.count_P[NUM_BANDS // 2 :].tolist() == [4 * WIDTH] * (NUM_BANDS // 2)
    assert found.mean_CP[:, NUM_BANDS // 2].tolist() == pytest.approx([77.0] * 3, abs=1e-3)
    assert found.spread_CP[:, NUM_BANDS // 2].tolist() == pytest.approx([0.0] * 3, abs=0.1)


def test_where_places_explain_the_stream_rows_change_nothing() -> None:
    label_HW, image_CHW = label(), picture()
    placed = tones_of(image_CHW, weights(label_HW))
    seen_CHW = crisply(image_CHW, label_HW, recolouring(placed, placed, grain_C=NO_GRAIN)) * 0.6 + 50
    seen = tones_of(seen_CHW, weights(label_HW))
    by_place = recolouring(placed, seen, grain_C=NO_GRAIN)
    source = SourceRows([(image_CHW, weights(label_HW))]).recoloured(by_place)
    by_row = recolouring(source, row_tones(seen_CHW, weights(label_HW)), grain_C=NO_GRAIN)
    again_CHW = recolour_rows(seen_CHW, label_HW, by_row, ALL)
    assert float((again_CHW - seen_CHW).abs().mean()) < 1.0


def test_a_veil_that_hangs_at_some_rows_comes_out_there_and_leaves_the_sky() -> None:
    """Rows 36 to 60 are half veiled whatever stands there, which no place can say."""
    label_HW, image_CHW = label(), picture()
    veil_H1 = ((torch.arange(HEIGHT) >= 36) & (torch.arange(HEIGHT) < 60))[:, None] * 0.5
    veiled_CHW = torch.where(label_HW == 10, image_CHW, image_CHW * (1 - veil_H1) + 240 * veil_H1)
    placed = tones_of(image_CHW, weights(label_HW))
    by_place = recolouring(placed, tones_of(veiled_CHW, weights(label_HW)), grain_C=NO_GRAIN)
    source = SourceRows([(image_CHW, weights(label_HW))]).recoloured(by_place)
    by_row = recolouring(source, row_tones(veiled_CHW, weights(label_HW)), grain_C=NO_GRAIN)
    first_CHW = by_place.apply(image_CHW, place(label_HW, horizon=HORIZON), torch.ones(()))
    second_CHW = recolour_rows(first_CHW, label_HW, by_row, ALL)
    assert torch.equal(second_CHW[:, label_HW == 10], first_CHW[:, label_HW == 10])
    left = [float((made_CHW - veiled_CHW)[:, label_HW == 2].square().mean()) for made_CHW in (first_CHW, second_CHW)]
    assert left[1] < 0.4 * left[0]


def test_a_part_is_recoloured_as_within_the_whole() -> None:
    generator = torch.Generator().manual_seed(3)
    change = Recolouring(*(100 * torch.rand((3, NUM_BANDS), generator=generator) for _ in range(3)))
    image_CHW, label_HW, rows = picture(), label(), slice(17, 60)
    whole_CHW = recolour_rows(image_CHW, label_HW, change, ALL)
    assert torch.equal(recolour_rows(image_CHW[:, rows], label_HW, change, rows), whole_CHW[:, rows])
