"""The precision networks answer in: float32, or bfloat16 where the hardware computes in it.

    model.answers_in = chosen_precision("auto", device)          # once, before replicas are made: they take it over
    with answering(model, device): logits_BKhw = model(x_B3HW)

In bfloat16 products and convolutions are autocast; sums along the residual path, norms and all weights stay float32, so
the frozen weights are still one copy that learner and replicas share. Casts are not kept between layers: kept ones
would outlive a version, and a CUDA graph cannot hold them. Learning does not go through here.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from models.segformer import SegmentationModel

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def chosen_precision(name: str, device: torch.device) -> torch.dtype:
    """Of `auto`, or a name in PRECISIONS as it is; bfloat16 that a CPU emulates is slower than float32."""
    if name != "auto":
        return PRECISIONS[name]
    return torch.bfloat16 if has_bfloat16(device) else torch.float32


def has_bfloat16(device: torch.device) -> bool:
    """Whether products in bfloat16 have instructions of their own there."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def answering(model: nn.Module, device: torch.device) -> AbstractContextManager[object]:
    """Within, the model's layers compute in the precision it answers in; modules not of ours in float32."""
    precision = model.answers_in if isinstance(model, SegmentationModel) else torch.float32
    if precision == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, precision, cache_enabled=False)
