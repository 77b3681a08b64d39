"""Weights in other programs' layouts, made from Hugging Face's network by a renaming written here and nowhere else.

`to_original` undoes what Hugging Face's conversion script documents (convert_segformer_original_to_pytorch); the rest
follows from it by what the other programs' code shows.
"""

import importlib
import sys

import pytest
import torch

DEPTHS = {"b0": [2, 2, 2, 2], "b1": [2, 2, 2, 2], "b2": [3, 4, 6, 3]}
CHANNELS = {"b0": [32, 64, 160, 256], "b1": [64, 128, 320, 512], "b2": [64, 128, 320, 512]}


def library(monkeypatch: pytest.MonkeyPatch):
    """transformers, off line. A torchvision built for another torch must not be found by it."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError):
        monkeypatch.setitem(sys.modules, "torchvision", None)
    return pytest.importorskip("transformers")


def hugging_face(transformers, size: str = "b0", *, num_classes: int = 19, embed_channels: int = 256):
    """Their network with weights, norms and statistics that are all distinct."""
    config = transformers.SegformerConfig(
        hidden_sizes=CHANNELS[size], depths=DEPTHS[size], decoder_hidden_size=embed_channels, num_labels=num_classes
    )
    torch.manual_seed(0)
    network = transformers.SegformerForSemanticSegmentation(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.uniform_(-0.5, 0.5).add_(1.0)
        network.decode_head.classifier.bias.uniform_(-1, 1)
        network.decode_head.batch_norm.running_mean.uniform_(-1, 1)
        network.decode_head.batch_norm.running_var.uniform_(0.5, 2)
    return network


def to_version_4(state):
    """The names under which weights are published, from those of version 5."""
    renamed = {}
    for name, tensor in state.items():
        words = name.split(".")
        if words[:2] == ["segformer", "stages"]:
            i, rest = words[2], words[3:]
            if rest[0] == "blocks":
                inner = ".".join(rest[2:])
                for new, old in (
                    ("layernorm_before", "layer_norm_1"),
                    ("layernorm_after", "layer_norm_2"),
                    ("attention.sequence_reduction.sequence_reduction", "attention.self.sr"),
                    ("attention.sequence_reduction.layer_norm", "attention.self.layer_norm"),
                    ("attention.q_proj", "attention.self.query"),
                    ("attention.k_proj", "attention.self.key"),
                    ("attention.v_proj", "attention.self.value"),
                    ("attention.o_proj", "attention.output.dense"),
                    ("mlp.fc", "mlp.dense"),
                ):
                    if inner.startswith(new):
                        inner = old + inner[len(new) :]
                        break
                name = f"segformer.encoder.block.{i}.{rest[1]}.{inner}"
            elif rest[0] == "patch_embeddings":
                name = f"segformer.encoder.patch_embeddings.{i}.{'.'.join(rest[1:])}"
            else:
                name = f"segformer.encoder.layer_norm.{i}.{rest[-1]}"
        name = name.replace("linear_projections", "linear_c")
        renamed[name] = tensor
    return renamed


def to_original(state):
    """NVlabs' names: stages from 1, keys and values joined, the head's parts apart."""
    old = to_version_4(state)
    renamed = {}
    for name, tensor in old.items():
        words = name.split(".")
        if name.startswith("segformer.encoder.patch_embeddings"):
            part = {"proj": "proj", "layer_norm": "norm"}[words[4]]
            renamed[f"backbone.patch_embed{int(words[3]) + 1}.{part}.{words[5]}"] = tensor
        elif name.startswith("segformer.encoder.layer_norm"):
            renamed[f"backbone.norm{int(words[3]) + 1}.{words[4]}"] = tensor
        elif name.startswith("segformer.encoder.block"):
            stem = f"backbone.block{int(words[3]) + 1}.{words[4]}."
            inner = ".".join(words[5:])
            if "self.value" in inner:
                continue
            if "self.key" in inner:
                tensor = torch.cat([tensor, old[name.replace("self.key", "self.value")]])
                inner = inner.replace("attention.self.key", "attn.kv")
            inner = inner.replace("attention.self.query", "attn.q").replace("attention.output.dense", "attn.proj")
            inner = inner.replace("attention.self.layer_norm", "attn.norm").replace("attention.self", "attn")
            inner = inner.replace("layer_norm_", "norm").replace("dense", "fc")
            renamed[stem + inner] = tensor
        elif name.startswith("decode_head.linear_c"):
            renamed[f"decode_head.linear_c{int(words[2]) + 1}.proj.{words[4]}"] = tensor
        else:
            name = name.replace("linear_fuse", "linear_fuse.conv").replace("batch_norm", "linear_fuse.bn")
            renamed[name.replace("classifier", "linear_pred")] = tensor
    renamed["decode_head.conv_seg.weight"] = torch.randn(19, 128, 1, 1)
    renamed["decode_head.conv_seg.bias"] = torch.randn(19)
    return renamed


def turned(weight):
    """A fuse weight that reads the stages the other way round."""
    embed_channels = weight.shape[0]
    blocks = [weight[:, n * embed_channels : (n + 1) * embed_channels] for n in range(4)]
    return torch.cat([blocks[3], blocks[2], blocks[1], blocks[0]], dim=1)


def to_hamlet(state, *, with_light_decoder: bool = True):
    """Stages of the head from 0, fused shallowest first, and the light decoder."""
    renamed = {}
    for name, tensor in to_original(state).items():
        for stage in range(1, 5):
            name = name.replace(f"decode_head.linear_c{stage}.", f"decode_head.linear_c.{stage - 1}.")
        renamed[name] = turned(tensor) if name == "decode_head.linear_fuse.conv.weight" else tensor
    if with_light_decoder:
        E = renamed["decode_head.linear_fuse.conv.weight"].shape[0]
        renamed["decode_head.linear_fuse_m1.conv.weight"] = torch.randn(E, E, 1, 1) / E**0.5
        for leaf in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            renamed[f"decode_head.linear_fuse_m1.bn.{leaf}"] = renamed[f"decode_head.linear_fuse.bn.{leaf}"].flip(-1)
        renamed["decode_head.linear_pred_m1.weight"] = torch.randn(19, E, 1, 1) / E**0.5
        renamed["decode_head.linear_pred_m1.bias"] = torch.randn(19)
    return renamed


def to_daformer(state):
    """The same network as DAFormer's code names it, with a 1 x 1 convolution to fuse."""
    renamed = {}
    for name, tensor in to_hamlet(state, with_light_decoder=False).items():
        if name.startswith("decode_head.conv_seg"):
            continue
        name = name.replace("linear_c.", "embed_layers.").replace("linear_fuse.", "fuse_layer.")
        renamed[name.replace("linear_pred", "conv_seg")] = tensor
    return renamed


def to_mmseg_encoder(state):
    """mmsegmentation's encoder: queries, keys and values joined, linear layers of the networks as convolutions."""
    original = {name: tensor for name, tensor in to_original(state).items() if name.startswith("backbone.")}
    renamed = {}
    for name, tensor in original.items():
        words = name.removeprefix("backbone.").split(".")
        stage = int(words[0][-1]) - 1
        stem = f"backbone.layers.{stage}"
        if words[0].startswith("patch_embed"):
            renamed[f"{stem}.0.{'projection' if words[1] == 'proj' else 'norm'}.{words[2]}"] = tensor
        elif words[0].startswith("norm"):
            renamed[f"{stem}.2.{words[1]}"] = tensor
        else:
            inner, leaf = ".".join(words[2:-1]), words[-1]
            block = f"{stem}.1.{words[1]}."
            if inner == "attn.q":
                kv = original[name.replace("attn.q", "attn.kv")]
                renamed[f"{block}attn.attn.in_proj_{leaf}"] = torch.cat([tensor, kv])
            elif inner == "attn.proj":
                renamed[f"{block}attn.attn.out_proj.{leaf}"] = tensor
            elif inner.startswith("mlp"):
                number = {"mlp.fc1": 0, "mlp.dwconv.dwconv": 1, "mlp.fc2": 4}[inner]
                is_matrix = leaf == "weight" and number != 1
                renamed[f"{block}ffn.layers.{number}.{leaf}"] = tensor[:, :, None, None] if is_matrix else tensor
            elif inner != "attn.kv":
                renamed[f"{block}{inner}.{leaf}"] = tensor
    return renamed
