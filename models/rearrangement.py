"""From another program's arrangement of a SegFormer's tensors to ours, once their names are ours.

    state, done = rearranged(tensors, layout)     # done.permuted == ("head.linear_fuse.weight",)

Nothing is approximated. It does not know what a complete network holds; `models.conversion` compares.
"""

# C channels of a stage, E embedding channels, F = 4 E

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from models.layouts.layout import Layout
from models.light_decoder import PREFIX as LIGHT
from models.mit import NUM_STAGES

FUSE = "head.linear_fuse.weight"
FUSED = "linear_fuse.weight"  # FUSE's end, and that of the others a network in several resolutions has
BN_EPS = 1e-5
BN_LEAVES = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True, slots=True)
class Rearrangement:
    """Our names of what was joined or split (queries, keys, values), turned round, folded (a batch norm into the
    embedding before it), and copied (the light decoder's embedding, which is the head's).
    """

    joined: tuple[str, ...]
    permuted: tuple[str, ...]
    folded: tuple[str, ...]
    copied: tuple[str, ...]


def rearranged(tensors: Mapping[str, Tensor], layout: Layout) -> tuple[dict[str, Tensor], Rearrangement]:
    """Tensors arranged as in our networks, and what that took. What is incomplete stays as it is."""
    state = dict(tensors)
    joined = _join(state)
    folded = _fold(state)
    permuted = _turn(state) if layout.fuses_shallow_first else ()
    copied = _complete_light_decoder(state)
    return state, Rearrangement(joined, permuted, folded, copied)


def _join(state: dict[str, Tensor]) -> tuple[str, ...]:
    """Keys and values to one matrix; queries, keys and values out of one."""
    joined = []
    for name in [name for name in state if ".attn.qkv." in name]:
        q, kv = name.replace(".qkv.", ".q."), name.replace(".qkv.", ".kv.")
        whole = state.pop(name)
        num_channels = whole.shape[0] // 3
        state[q], state[kv] = whole[:num_channels].clone(), whole[num_channels:].clone()
        joined += [q, kv]
    for name in [name for name in state if ".attn.k." in name and name.replace(".k.", ".v.") in state]:
        kv = name.replace(".k.", ".kv.")
        state[kv] = torch.cat([state.pop(name), state.pop(name.replace(".k.", ".v."))])
        joined.append(kv)
    return tuple(joined)


def _fold(state: dict[str, Tensor]) -> tuple[str, ...]:
    """An embedding without bias and the batch norm behind it, with its running statistics, are one linear layer."""
    folded = []
    for index in range(NUM_STAGES):
        stem = f"head.linear_c.{index}."
        names = [stem + "conv.weight", *(f"{stem}bn.{leaf}" for leaf in BN_LEAVES)]
        if not all(name in state for name in names):
            continue
        weight, gain_E, bias_E, mean_E, var_E = (state.pop(name).double() for name in names)
        state.pop(stem + "bn.num_batches_tracked", None)
        scale_E = gain_E * torch.rsqrt(var_E + BN_EPS)
        state[stem + "weight"] = (weight.flatten(1) * scale_E[:, None]).float()
        state[stem + "bias"] = (bias_E - mean_E * scale_E).float()
        folded.append(stem + "weight")
    return tuple(folded)


def _turn(state: dict[str, Tensor]) -> tuple[str, ...]:
    """The input channels of `linear_fuse` from shallowest first to deepest first, in blocks of E."""
    turned = [
        name
        for name, weight_EF11 in state.items()
        if name.endswith(FUSED) and weight_EF11.ndim == 4 and weight_EF11.shape[1] % NUM_STAGES == 0
    ]
    for name in turned:
        state[name] = torch.cat(state[name].chunk(NUM_STAGES, dim=1)[::-1], dim=1)
    return tuple(turned)


def _complete_light_decoder(state: dict[str, Tensor]) -> tuple[str, ...]:
    """It embeds as the head embeds stage 1, and holds a copy."""
    if not any(name.startswith(LIGHT) for name in state):
        return ()
    copied = []
    for leaf in ("weight", "bias"):
        name, original = f"{LIGHT}embed.{leaf}", f"head.linear_c.0.{leaf}"
        if name not in state and original in state:
            state[name] = state[original].clone()
            copied.append(name)
    return tuple(copied)
