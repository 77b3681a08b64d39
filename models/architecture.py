"""Which of our models a network's tensors are: read off their names and shapes, once both are ours.

    found = architecture_of(state)                # Architecture("segformer_b1", num_classes=19)

What is no MiT with a head known here is refused: nothing is guessed.
"""

# C channels of a stage, E embedding channels, K classes

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from models.hrda import PREFIX as HRDA
from models.light_decoder import PREFIX as LIGHT
from models.mit import MIT_CONFIGS, NUM_STAGES
from models.mmseg_head import EMBED_CHANNELS as MMSEG_CHANNELS
from models.rearrangement import FUSE
from models.tensorfile import CheckpointInvalid
from models.zoo import SEGFORMER_CHANNELS

CONV1_CHANNELS = 256
CLASSIFIER = "head.classifier.weight"
OF_SCALES = "encoder.base."  # HRDA's encoder
BLOCK = re.compile(r"encoder\.stages\.(\d)\.blocks\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class Architecture:
    """`num_classes` is None where the tensors are an encoder's alone; the model is then the SegFormer of its size."""

    model: str
    num_classes: int | None


def architecture_of(state: Mapping[str, Tensor], *, is_rectified: bool = False) -> Architecture:
    """The model; `is_rectified` tells mmsegmentation's head from SegFormer's, whose tensors look alike.

    CheckpointInvalid where there is none.
    """
    if any(name.startswith(OF_SCALES) for name in state):
        of_one = architecture_of(of_part(state, "base"), is_rectified=is_rectified)
        return Architecture(HRDA + of_one.model, of_one.num_classes)
    size = _size(state)
    if not any(name.startswith("head.") for name in state):
        return Architecture(f"segformer_{size}", None)
    if CLASSIFIER not in state:
        raise CheckpointInvalid("a head without a classifier; the file is incomplete, copy or download it again")
    return Architecture(f"{_stem(state, size, is_rectified=is_rectified)}_{size}", state[CLASSIFIER].shape[0])


def of_part(state: Mapping[str, Tensor], head: str) -> dict[str, Tensor]:
    """Of HRDA's network: its encoder with one of its heads, base or attention, by the names these have alone."""
    stems = {OF_SCALES: "encoder.", f"head.{head}.": "head."}
    return {
        name.replace(stem, plain, 1): tensor
        for name, tensor in state.items()
        for stem, plain in stems.items()
        if name.startswith(stem)
    }


def _size(state: Mapping[str, Tensor]) -> str:
    channels, depths = [], [0] * NUM_STAGES
    for stage in range(NUM_STAGES):
        weight = state.get(f"encoder.stages.{stage}.patch_embed.proj.weight")
        if weight is None:
            raise CheckpointInvalid(
                f"no patch embedding of stage {stage + 1}; only networks with a Mix Transformer (MiT) are read"
            )
        channels.append(weight.shape[0])
    for name in state:
        if (found := BLOCK.match(name)) is not None and int(found[1]) < NUM_STAGES:
            depths[int(found[1])] = max(depths[int(found[1])], int(found[2]) + 1)
    for size, config in MIT_CONFIGS.items():
        if (config.channels, config.depths) == (tuple(channels), tuple(depths)):
            return size
    raise CheckpointInvalid(
        f"an encoder of {channels} channels and {depths} blocks is none of MiT-B0 to B5; only those are read"
    )


def _stem(state: Mapping[str, Tensor], size: str, *, is_rectified: bool) -> str:
    if any(name.startswith("head.fuse.branches.") for name in state):
        return "daformer"
    if any(name.startswith("head.fuse.long_range.") for name in state):
        return "daformer_isa"
    if FUSE not in state:
        raise CheckpointInvalid("a head of no known kind; SegFormer's, HAMLET's, mmsegmentation's and DAFormer's are")
    embed_channels = state[FUSE].shape[0]
    if is_rectified:
        stem, published = "segformer_mmseg", MMSEG_CHANNELS
    elif embed_channels == SEGFORMER_CHANNELS[size]:
        return "hamlet" if any(name.startswith(LIGHT) for name in state) else "segformer"
    else:
        stem, published = "daformer_conv1", CONV1_CHANNELS
    if embed_channels != published:
        raise CheckpointInvalid(
            f"a head of {embed_channels} embedding channels on MiT-{size.upper()}; published are "
            f"{SEGFORMER_CHANNELS[size]} (SegFormer) and {CONV1_CHANNELS} (DAFormer, mmsegmentation)"
        )
    return stem
