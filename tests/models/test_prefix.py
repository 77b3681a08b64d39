"""The frozen prefix: kept features are those of a whole pass, bounded in bytes, and computed once."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.adapters import AdapterConfig, attach_adapters
from models.prefix import FrozenPrefix, features_from, num_frozen_stages
from models.trainable import set_trainable, trainable_parameters
from models.zoo import build_model

SIZE_HW = (32, 64)
BYTES = 4 * (8 * 16 * 32 + 4 * 8 * 64)  # of two stages of B0


def make_model(stages=(3, 4), mode="adapters+head"):
    torch.manual_seed(0)
    model = build_model("segformer_b0", num_classes=4)
    attach_adapters(model, AdapterConfig(stages=stages))
    set_trainable(model, mode)
    return model.eval()


MODEL = make_model()


def image(seed):
    return torch.randn(1, 3, *SIZE_HW, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("stages", "mode", "expected"),
    [((3, 4), "adapters+head", 2), ((4,), "adapters", 3), ((1, 2, 3, 4), "adapters", 0), ((1,), "head", 4),
     ((4,), "norm", 0), ((4,), "full", 0), ((2, 4), "adapters+head", 1)],
)  # fmt: skip
def test_stages_before_the_first_that_learns_are_frozen(stages, mode, expected) -> None:
    assert num_frozen_stages(make_model(stages, mode)) == expected


def test_a_pass_from_the_prefix_is_the_whole_pass_with_its_gradients() -> None:
    """The same operations on the same numbers: equal bit by bit, also where the entry was kept."""
    model, gradients = make_model(), []
    prefix = FrozenPrefix(model, capacity_bytes=2**20)
    for features in (
        lambda: model.encoder(image(1)),
        lambda: features_from(model, prefix.of("one", lambda: image(1))),
        lambda: features_from(model, prefix.of("one", lambda: image(2))),
    ):
        model.zero_grad()
        model.head(features()).square().mean().backward()
        gradients.append([parameter.grad.clone() for parameter in trainable_parameters(model)])
    for others in gradients[1:]:
        assert all(torch.equal(a, b) for a, b in zip(gradients[0], others, strict=True))
    assert prefix.statistics().num_hits == prefix.statistics().num_misses == 1


def test_kept_features_have_no_graph_and_do_not_follow_what_learns() -> None:
    model = make_model()
    prefix = FrozenPrefix(model, capacity_bytes=2**20)
    before = prefix.of(0, lambda: image(0))
    with torch.no_grad():
        for parameter in trainable_parameters(model):
            parameter.add_(1.0)
    after = FrozenPrefix(model, capacity_bytes=0).of(0, lambda: image(0))
    assert all(torch.equal(a, b) and not a.requires_grad for a, b in zip(before, after, strict=True))


def test_the_least_recently_used_go_first() -> None:
    prefix = FrozenPrefix(make_model(), capacity_bytes=2 * BYTES)
    for key in ("a", "b", "a", "c", "a", "b"):  # c puts b out, b puts c out
        prefix.of(key, lambda: image(0))
    held = prefix.statistics()
    assert (held.num_entries, held.num_bytes, held.num_hits, held.num_misses) == (2, 2 * BYTES, 2, 4)


@pytest.mark.parametrize("capacity", [0, BYTES - 1])
def test_what_has_no_room_is_computed_every_time(capacity) -> None:
    prefix = FrozenPrefix(make_model(), capacity_bytes=capacity)
    for _ in range(2):
        assert len(prefix.of(0, lambda: image(0))) == 2
    assert prefix.statistics().num_entries == prefix.statistics().num_bytes == prefix.statistics().num_hits == 0


def test_where_all_stages_learn_there_is_no_prefix() -> None:
    prefix = FrozenPrefix(make_model((1, 2, 3, 4)), capacity_bytes=2**20)
    assert prefix.num_stages == 0 and prefix.of(0, lambda: image(0)) == ()
    assert prefix.statistics().num_bytes == 0


@settings(max_examples=15)
@given(st.lists(st.integers(0, 5), max_size=20), st.integers(0, 4))
def test_bytes_are_bounded_and_counted(keys, room) -> None:
    prefix = FrozenPrefix(MODEL, capacity_bytes=room * BYTES + 5)
    for key in keys:
        prefix.of(key, lambda: torch.zeros(1, 3, *SIZE_HW))
    held = prefix.statistics()
    assert held.num_bytes == held.num_entries * BYTES <= room * BYTES
    assert held.num_entries == min(room, len(set(keys)))
    assert held.num_hits + held.num_misses == len(keys)


def test_a_negative_bound_is_refused() -> None:
    with pytest.raises(ValueError, match=r"prefix\.capacity_bytes must be 0 or more"):
        FrozenPrefix(make_model(), capacity_bytes=-1)
