"""Self-test of a conversion: the network that serves must answer like the published one on the file's own tensors.

    difference = self_test(conversion)            # CheckpointInvalid where the answers differ

It finds what a comparison of names and shapes cannot: embeddings fused in the wrong order, keys taken for values, a
batch norm folded wrongly. What two tensors of one shape mean is settled by the layout alone, and by its tests.
"""

import torch
from torch import Tensor

from models.checkpoint import load_into
from models.conversion import Conversion
from models.layouts.hrda import HRDA
from models.layouts.mmsegmentation import MMSEGMENTATION
from models.light_decoder import PREFIX as LIGHT
from models.light_decoder import LightDecoder
from models.published import published_features, published_in_two_scales, published_light_logits, published_logits
from models.tensorfile import CheckpointInvalid
from models.zoo import build_model

SIZE_HW = (64, 96)
TOLERANCE = 1e-3  # of the largest value: float32 in another order of work stays below 1e-5 of it


def self_test(conversion: Conversion) -> float:
    """Largest difference of logits (of features, for an encoder alone) on a fixed input, relative to their largest.

    Those of a light decoder are compared too.
    """
    model = build_model(conversion.model, num_classes=conversion.num_classes)
    state = conversion.state
    load_into(model, {name: tensor for name, tensor in state.items() if not name.startswith(LIGHT)})
    light = {name.removeprefix(LIGHT): tensor for name, tensor in state.items() if name.startswith(LIGHT)}
    x_B3HW = torch.randn(1, 3, *SIZE_HW, generator=torch.Generator().manual_seed(0))
    tensors = {name: tensor.float() for name, tensor in conversion.renamed.items()}
    tensors |= {name: state[name] for name in conversion.report.drawn if name in conversion.renamed}
    eps = 1e-6 if conversion.layout is MMSEGMENTATION else 1e-5
    with torch.no_grad():
        if conversion.report.is_encoder:
            ours = model.eval().encoder(x_B3HW)
            difference = max(map(_difference, ours, published_features(tensors, x_B3HW, eps=eps)))
        else:
            shallow_first = conversion.layout.fuses_shallow_first or not conversion.has_linear_fuse
            answer = published_in_two_scales if conversion.layout is HRDA else published_logits
            published = answer(tensors, x_B3HW, shallow_first=shallow_first, eps=eps)
            difference = _difference(model.eval()(x_B3HW), published)
        if light:
            decoder = LightDecoder.of(model)
            load_into(decoder, light)
            told = decoder(model.encoder.run_stages(x_B3HW, stop=1)[0])
            difference = max(difference, _difference(told, published_light_logits(tensors, x_B3HW)))
    if not difference <= TOLERANCE:
        raise CheckpointInvalid(
            f"{conversion.report.path}: the converted network answers otherwise than the published one on the same "
            f"tensors (by {difference:.1g} of the largest logit); its layout is not {conversion.layout.title}'s, or "
            "weights are not finite"
        )
    return difference


def _difference(ours: Tensor, published: Tensor) -> float:
    return float((ours - published).abs().max() / published.abs().max().clamp(min=1e-12))
