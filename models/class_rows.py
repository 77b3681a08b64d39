"""Another order of classes: rows of a classifier picked by number, for a label space it was not trained for.

    take_classes(model, light_decoder, (3, None, 0))             # three classes; the second is never answered

What each row means is settled above; here are numbers.
"""

from collections.abc import Sequence

from torch import nn

from models.deeplab import DeepLabV2Head
from models.hrda import HrdaHead
from models.knet import KNetHead
from models.light_decoder import LightDecoder
from models.segformer import SegmentationModel
from models.whole_network import PassingHead

NEVER = -1e3  # a logit below all others; finite, so that entropies are too


def take_classes(model: SegmentationModel, decoder: LightDecoder | None, rows: Sequence[int | None]) -> None:
    """Class n becomes the class that was rows[n]; where that is None it is never answered."""
    head = model.head
    if isinstance(head, PassingHead | KNetHead | HrdaHead):
        head.choice.take(rows, never=NEVER)
    else:
        for layer in head.branches if isinstance(head, DeepLabV2Head) else [head.classifier]:
            assert isinstance(layer, nn.Conv2d)
            _take(layer, rows)
            layer.out_channels = len(rows)
    head.num_classes = len(rows)
    if decoder is not None:
        _take(decoder.classifier, rows)
        decoder.classifier.out_features = len(rows)


def _take(layer: nn.Conv2d | nn.Linear, rows: Sequence[int | None]) -> None:
    learns = layer.weight.requires_grad
    weight = layer.weight.detach().new_zeros((len(rows), *layer.weight.shape[1:]))
    bias = weight.new_full((len(rows),), NEVER)
    for new, old in enumerate(rows):
        if old is not None:
            weight[new] = layer.weight.detach()[old]
            bias[new] = 0.0 if layer.bias is None else layer.bias.detach()[old]
    layer.weight = nn.Parameter(weight, requires_grad=learns)
    layer.bias = nn.Parameter(bias, requires_grad=learns)
