"""Block masks: which share is hidden, in blocks of which size."""

import pytest
import torch

from replay.masking import block_mask, block_size


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("size_HW", "block"), [((1024, 1024), 64), ((512, 512), 32), ((512, 1024), 32), ((180, 240), 11), ((32, 64), 4)]
)
def test_blocks_keep_their_published_share_of_the_picture(size_HW, block) -> None:
    assert block_size(size_HW) == block


def test_a_block_is_hidden_or_shown_as_a_whole() -> None:
    kept = block_mask(2, (64, 96), block=16, ratio=0.5, generator=generator())
    assert kept.shape == (2, 1, 64, 96) and set(kept.unique().tolist()) == {0.0, 1.0}
    blocks = kept.unfold(2, 16, 16).unfold(3, 16, 16).flatten(-2)
    assert bool((blocks == blocks[..., :1]).all())
    assert not torch.equal(kept[0], kept[1])


def test_the_share_that_shows_is_what_the_ratio_leaves() -> None:
    """10,000 blocks, each shown with probability 0.3: three deviations are 0.014."""
    kept = block_mask(1, (800, 800), block=8, ratio=0.7, generator=generator())
    assert float(kept.mean()) == pytest.approx(0.3, abs=0.014)


@pytest.mark.parametrize(("ratio", "share"), [(0.0, 1.0), (1.0, 0.0)])
def test_the_ends_hide_nothing_and_everything(ratio, share) -> None:
    assert float(block_mask(1, (64, 64), block=16, ratio=ratio, generator=generator()).mean()) == share


def test_sides_that_blocks_do_not_divide_are_covered() -> None:
    kept = block_mask(1, (180, 240), block=11, ratio=0.5, generator=generator())
    assert kept.shape == (1, 1, 180, 240)
    changes = int((kept[0, 0, 1:] != kept[0, 0, :-1]).any(dim=1).sum())
    assert changes <= 15  # sixteen rows of blocks


def test_draws_follow_the_generator() -> None:
    one, same, other = (block_mask(1, (64, 64), block=8, ratio=0.5, generator=generator(s)) for s in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize(("ratio", "block"), [(-0.1, 8), (1.1, 8), (0.5, 0), (float("nan"), 8)])
def test_impossible_masks_are_refused(ratio, block) -> None:
    with pytest.raises(ValueError, match="masking needs a ratio"):
        block_mask(1, (64, 64), block=block, ratio=ratio, generator=generator())
