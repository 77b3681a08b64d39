"""Linear and UPerNet heads: against the formula, and against another implementation on the same weights."""

import torch
from torch import nn

from models.dense_heads import LinearHead, UperNetHead

CHANNELS, SIZES = (8, 12, 16, 20), ((16, 24), (8, 12), (4, 6), (2, 3))


def shaken(module: nn.Module) -> nn.Module:
    """Weights and statistics that hide nothing."""
    torch.manual_seed(0)
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            nn.init.uniform_(tensor.data, 0.5, 1.5) if tensor.ndim == 1 else nn.init.normal_(tensor.data, std=0.2)
    return module.eval()


def maps(sizes=SIZES, channels=CHANNELS) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(2, C, *size, generator=generator) for C, size in zip(channels, sizes, strict=True)]


def test_linear_head_is_a_classifier_on_normalised_maps_side_by_side() -> None:
    head = shaken(LinearHead((3, 3, 3, 3), num_classes=5))
    features = maps(((4, 6),) * 4, (3,) * 4)
    stacked = torch.cat(features, dim=1)
    normed = (stacked.movedim(1, -1) - head.bn.running_mean) / (head.bn.running_var + head.bn.eps).sqrt()
    expected = (normed * head.bn.weight + head.bn.bias) @ head.classifier.weight.flatten(1).T + head.classifier.bias
    torch.testing.assert_close(head(features), expected.movedim(-1, 1), atol=1e-4, rtol=1e-4)


def test_linear_head_answers_at_the_first_maps_size() -> None:
    assert shaken(LinearHead(CHANNELS, num_classes=5))(maps()).shape == (2, 5, 16, 24)


def test_upernet_answers_as_hugging_faces_on_the_same_weights() -> None:
    from transformers import UperNetConfig
    from transformers.models.upernet.modeling_upernet import UperNetHead as PeerHead

    ours = shaken(UperNetHead(CHANNELS, strides=(4, 8, 16, 32), num_classes=7, embed_channels=16))
    config = UperNetConfig(hidden_size=16, pool_scales=[1, 2, 3, 6], num_labels=7, use_auxiliary_head=False)
    theirs = PeerHead(config, list(CHANNELS)).eval()
    renamed = {}
    for name, tensor in ours.state_dict().items():
        part, _, rest = name.partition(".")
        leaves = {"0": "conv", "1": "batch_norm", "2": "batch_norm"}
        number, _, leaf = rest.partition(".")
        match part:
            case "classifier":
                renamed[name] = tensor
            case "pools":
                renamed[f"psp_modules.{number}.1.{'conv' if leaf[0] == '1' else 'batch_norm'}.{leaf[2:]}"] = tensor
            case "bottleneck" | "fuse":
                target = {"bottleneck": "bottleneck", "fuse": "fpn_bottleneck"}[part]
                renamed[f"{target}.{leaves[number]}.{leaf}"] = tensor
            case "laterals" | "smooth":
                target = {"laterals": "lateral_convs", "smooth": "fpn_convs"}[part]
                renamed[f"{target}.{number}.{leaves[leaf[0]]}.{leaf[2:]}"] = tensor
    theirs.load_state_dict(renamed)
    with torch.no_grad():
        torch.testing.assert_close(ours(maps()), theirs(maps()), atol=1e-4, rtol=1e-4)


def test_upernet_makes_a_pyramid_of_maps_of_one_size() -> None:
    head = shaken(UperNetHead((6, 6, 6, 6), strides=(16, 16, 16, 16), num_classes=3, embed_channels=8))
    features = maps(((3, 5),) * 4, (6,) * 4)
    sizes = [tuple(rescale(m).shape[-2:]) for rescale, m in zip(head.rescale, features, strict=True)]
    assert sizes == [(12, 20), (6, 10), (3, 5), (2, 3)]
    assert head(features).shape == (2, 3, 12, 20)


def test_logits_at_points_are_those_of_the_whole_picture() -> None:
    head = shaken(UperNetHead(CHANNELS, strides=(4, 8, 16, 32), num_classes=7, embed_channels=16))
    points = torch.tensor([[0, 200], [383, 7]])
    whole = head(maps()).flatten(2)
    for image, row in enumerate(points):
        torch.testing.assert_close(head.forward_at(maps(), points)[image, :, :, 0], whole[image][:, row])


def test_a_single_picture_can_be_trained_on() -> None:
    """Pooled to one value per channel it has no statistics; elsewhere the picture's own are used."""
    head = shaken(UperNetHead(CHANNELS, strides=(4, 8, 16, 32), num_classes=7, embed_channels=16)).train()
    statistics = [pool[2].running_mean.clone() for pool in head.pools]
    one = [m[:1] for m in maps()]
    torch.autograd.backward(head(one).sum())
    assert all(parameter.grad is not None for parameter in head.parameters())
    moved = [not torch.equal(pool[2].running_mean, before) for pool, before in zip(head.pools, statistics, strict=True)]
    assert moved == [False, True, True, True]
