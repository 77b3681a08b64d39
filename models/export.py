"""From our networks to another program's layout: the way back of a conversion, with names and arrangement of that one.

    tensors = exported(state, HAMLET)             # {"backbone.patch_embed1.proj.weight": ...}

Reading it again gives the same network, tensor by tensor. A network that the layout has no names for is refused.
"""

# C channels of a stage, E embedding channels, F = 4 E

import io
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from models.checkpoint import SUFFIX, Manifest
from models.conversion import convert
from models.layouts.layout import BLOCK, LAST, STAGE, Layout, compiled
from models.light_decoder import PREFIX as LIGHT
from models.mit import NUM_STAGES
from models.rearrangement import FUSED
from models.tensorfile import CheckpointInvalid, write_atomically, write_tensors
from models.weightfile import ONLY, WeightFile

ENCODER = "encoder."
EMBEDDING = LIGHT + "embed."
RECTIFIED = "segformer_mmseg_"
AS_CONVOLUTIONS = (LIGHT + "fuse.weight", LIGHT + "classifier.weight")


def exported(state: Mapping[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """The network's tensors as that program names and arranges them; CheckpointInvalid where one has no place there."""
    prefix = layout.prefixes[0] if layout.prefixes else ""
    rules = [(compiled(ours), theirs) for theirs, ours in layout.names.items()]
    tensors = {}
    for ours, tensor in _arranged(state, layout).items():
        theirs = _named(ours, rules, layout.first_stage)
        if theirs is None:
            raise CheckpointInvalid(f"the layout of {layout.title} has no place for {ours}; choose another --layout")
        tensors[prefix + theirs if ours.startswith(ENCODER) else theirs] = tensor.contiguous()
    return tensors


def write_layout(path: Path, state: Mapping[str, Tensor], manifest: Manifest, layout: Layout) -> None:
    """Write `exported` tensors: as `torch.save` does with class names in `meta`, or by suffix as safetensors.

    CheckpointInvalid where reading them again would not give the network back. OSError when the disk refuses.
    """
    if manifest.model.startswith(RECTIFIED):
        raise CheckpointInvalid(f"{manifest.model} has mmsegmentation's head, for which {layout.title} has no place")
    tensors = exported(state, layout)
    again = convert(WeightFile(path, {ONLY: tensors}, (), ())).state
    if again.keys() != state.keys() or not all(torch.equal(again[name], tensor) for name, tensor in state.items()):
        raise CheckpointInvalid(f"{manifest.model} does not come back from the layout of {layout.title}")
    if path.suffix == SUFFIX:
        write_tensors(path, tensors, metadata={"format": "pt"})
        return
    content = io.BytesIO()
    torch.save({"meta": {"CLASSES": manifest.classes}, "state_dict": tensors}, content)
    write_atomically(path, content.getvalue())


def _arranged(state: Mapping[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    splits = any(".attn.k." in ours for ours in layout.names.values())
    arranged: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name.startswith(EMBEDDING):
            if not torch.equal(tensor, state[name.replace(EMBEDDING, "head.linear_c.0.")]):
                raise CheckpointInvalid(f"{name} is not the head's own, and {layout.title} has no place for another")
        elif splits and ".attn.kv." in name:
            arranged[name.replace(".kv.", ".k.")], arranged[name.replace(".kv.", ".v.")] = tensor.chunk(2)
        elif name.endswith(FUSED) and layout.fuses_shallow_first:
            arranged[name] = torch.cat(tensor.chunk(NUM_STAGES, dim=1)[::-1], dim=1)
        else:
            arranged[name] = tensor[:, :, None, None] if name in AS_CONVOLUTIONS else tensor
    return arranged


def _named(ours: str, rules: list[tuple[re.Pattern[str], str]], first_stage: int) -> str | None:
    """Their name by the first rule that fits: the names under which weights are published come first."""
    for pattern, theirs in rules:
        if (match := pattern.fullmatch(ours)) is not None:
            groups = match.groupdict()
            stage = str(int(groups.get("i") or 0) + first_stage)
            block, last = groups.get("j") or "", groups.get("last") or ""
            return theirs.replace(STAGE, stage).replace(BLOCK, block).replace(LAST, last)
    return None
