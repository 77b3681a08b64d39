"""Tones of places and the map between two domains, against closed forms."""

# H height, W width, C channels, P places

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from runtime.adaptation.layout import NUM_PLACES, Places, place
from runtime.adaptation.tones import MAX_GRAIN, Tones, recolouring, tones_of

HEIGHT, WIDTH = 64, 96
NO_GRAIN = torch.zeros(3)


def scene() -> Places:
    label_HW = torch.full((HEIGHT, WIDTH), 2, dtype=torch.uint8)
    label_HW[:12], label_HW[32:] = 10, 0
    label_HW[20:50, 30:40] = 13
    return place(label_HW, horizon=31)


def tones(image_CHW: torch.Tensor, places: Places) -> Tones:
    return tones_of(image_CHW, F.one_hot(places.crisp(), NUM_PLACES).permute(2, 0, 1).float())


def picture(seed: int = 0, *, level: float = 120.0, contrast: float = 20.0) -> torch.Tensor:
    return level + contrast * torch.randn((3, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(seed))


def test_tones_are_count_mean_and_variance_of_every_place() -> None:
    places, image_CHW = scene(), picture()
    found, place_HW = tones(image_CHW, places), scene().crisp()
    assert int(found.count_P.sum()) == HEIGHT * WIDTH
    for number in place_HW.unique().tolist():
        pixels_CX = image_CHW[:, place_HW == number]
        assert torch.allclose(found.mean_CP[:, number], pixels_CX.mean(1), atol=1e-3)
        assert torch.allclose(found.spread_CP[:, number], pixels_CX.var(1, correction=0), rtol=1e-3)


def test_the_sources_own_weather_changes_nothing() -> None:
    source = tones(picture(), scene())
    image_CHW = picture(1)
    change = recolouring(source, source, grain_C=NO_GRAIN)
    assert torch.allclose(change.apply(image_CHW, scene(), torch.ones(1)), image_CHW, atol=1e-3)


@given(st.floats(0.1, 2.0), st.floats(-50.0, 50.0))
def test_an_affine_change_of_all_colours_is_recovered(gain: float, offset: float) -> None:
    image_CHW = picture()
    change = recolouring(tones(image_CHW, scene()), tones(image_CHW * gain + offset, scene()), grain_C=NO_GRAIN)
    other_CHW = picture(3)
    assert torch.allclose(change.apply(other_CHW, scene(), torch.ones(1)), other_CHW * gain + offset, atol=0.2)


@pytest.mark.parametrize("deviation", [10.0, 30.0])
def test_grain_is_no_contrast(deviation: float) -> None:
    """Half the contrast under any noise is half the contrast, as long as MAX_GRAIN leaves as much."""
    image_CHW = picture(contrast=40.0)
    noisy_CHW = 0.5 * image_CHW + deviation * torch.randn(image_CHW.shape, generator=torch.Generator().manual_seed(5))
    grain_C = torch.full((3,), deviation**2)
    change = recolouring(tones(image_CHW, scene()), tones(noisy_CHW, scene()), grain_C=grain_C)
    seen_P = tones(image_CHW, scene()).count_P > 400
    assert change.gain_CP[:, seen_P].flatten().tolist() == pytest.approx([0.5] * 3 * int(seen_P.sum()), abs=0.12)


def test_a_share_of_the_variance_is_never_taken_for_grain() -> None:
    image_CHW = picture()
    change = recolouring(tones(image_CHW, scene()), tones(image_CHW, scene()), grain_C=torch.full((3,), 1e6))
    seen_P = tones(image_CHW, scene()).count_P > 0
    assert torch.allclose(change.gain_CP[:, seen_P], torch.tensor((1 - MAX_GRAIN) ** 0.5), atol=1e-3)


def test_a_veil_that_thickens_with_distance_comes_out_as_one() -> None:
    """Koschmieder's law per place: x t + (1 - t) A, with its own t each."""
    places = scene()
    clear_CHW, light = picture(contrast=25.0), 200.0
    through_P = torch.linspace(1.0, 0.2, NUM_PLACES)
    through_HW = through_P[places.crisp()]
    change = recolouring(
        tones(clear_CHW, places),
        tones(clear_CHW * through_HW + light * (1 - through_HW), places),
        grain_C=NO_GRAIN,
    )
    seen_P = tones(clear_CHW, places).count_P > 100
    assert change.gain_CP[0, seen_P].tolist() == pytest.approx(through_P[seen_P].tolist(), abs=0.08)
    veiled = change.from_CP * through_P + light * (1 - through_P)
    assert torch.allclose(change.to_CP[:, seen_P], veiled[:, seen_P], atol=4.0)


def test_a_place_the_stream_never_showed_changes_like_the_rest() -> None:
    image_CHW, places = picture(), scene()
    without_HW = torch.zeros((HEIGHT, WIDTH), dtype=torch.uint8)  # road alone
    stream = tones(image_CHW * 0.5 + 10, place(without_HW, horizon=31))
    change = recolouring(tones(image_CHW, places), stream, grain_C=NO_GRAIN)
    sky_C = change.apply(image_CHW, places, torch.ones(1))[:, :12].mean(dim=(1, 2))
    assert sky_C.tolist() == pytest.approx((image_CHW[:, :12].mean(dim=(1, 2)) * 0.5 + 10).tolist(), abs=1.5)


def test_sums_fade_and_go_on_from_their_state() -> None:
    first, second = tones(picture(), scene()), tones(picture(1, level=60.0), scene())
    both = first.plus(second, decay=0.25)
    assert torch.allclose(both.mean_CP[:, 0], 0.2 * first.mean_CP[:, 0] + 0.8 * second.mean_CP[:, 0], atol=1e-3)
    again = Tones.of_state(both.state())
    assert torch.equal(again.variance_CP, both.variance_CP) and torch.equal(again.count_P, both.count_P)
    with pytest.raises(ValueError, match="tones"):
        Tones.of_state({"count": both.count_P})
