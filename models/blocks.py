"""The blocks of an encoder, ours or timm's: where adapters go.

A block is a module with a feed-forward network named `mlp`: those of MiT, Swin, plain ViTs (DINOv2, DINOv3, BEiT, EVA),
ConvNeXt and PVT are. Residual blocks of convolutional networks are not.
"""

from torch import nn

from models.encoder import Encoder

FEED_FORWARD = "mlp"
FUSED = "qkv"


def stage_blocks(encoder: Encoder, stage: int) -> list[nn.Module]:
    """Blocks of stage 1 to 4, in the order they run."""
    modules = encoder.named_modules()
    blocks = [(name, module) for name, module in modules if FEED_FORWARD in dict(module.named_children())]
    return [block for name, block in blocks if encoder.stage_of(name) == stage - 1]


def linear_layers(block: nn.Module) -> list[tuple[str, nn.Linear]]:
    """Names in the block, and linear layers, that the block calls.

    Where attention has query and value biases of its own (`q_bias`: BEiT, EVA-02, Swin V2) it multiplies with the
    weight of `qkv` itself and never calls that layer.
    """
    layers = []
    for parent_name, parent in block.named_modules():
        own = {name for name, _ in parent.named_parameters(recurse=False)}
        for leaf, layer in parent.named_children():
            if isinstance(layer, nn.Linear) and not (leaf == FUSED and "q_bias" in own):
                layers.append((f"{parent_name}.{leaf}".lstrip("."), layer))
    return layers


def first_layer(block: nn.Module) -> nn.Linear | nn.Conv2d:
    """The first layer of the block's feed-forward network: its input is the network's."""
    feed_forward = dict(block.named_children())[FEED_FORWARD]
    return next(layer for layer in feed_forward.modules() if isinstance(layer, nn.Linear | nn.Conv2d))
