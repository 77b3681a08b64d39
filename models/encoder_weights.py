"""Encoders begun from somebody's weights: ours by any file that can be converted, timm's by its own and its authors'.

    model = build_model("daformer_b1", num_classes=19)
    load_encoder_weights(model, Path("mit_b1.pth"))

The head keeps its random weights. Nothing is unpickled that calls code, and an encoder is filled completely or not at
all.
"""

from pathlib import Path

from models.checkpoint import load_into
from models.conversion import convert
from models.hrda import HrdaEncoder
from models.mit import MixTransformer
from models.segformer import SegmentationModel
from models.tensorfile import prefixing
from models.timm_models import load_timm_encoder
from models.weightfile import read_weights

ENCODER = "encoder."


def load_encoder_weights(model: SegmentationModel, path: Path) -> None:
    """Fill the model's encoder; CheckpointInvalid, in one line, for files of another encoder or of none."""
    encoder = model.encoder.base if isinstance(model.encoder, HrdaEncoder) else model.encoder
    if not isinstance(encoder, MixTransformer):
        load_timm_encoder(model, path)
        return
    conversion = convert(read_weights(path), allow_encoder=True)
    state = {name.removeprefix(ENCODER): t for name, t in conversion.state.items() if name.startswith(ENCODER)}
    with prefixing(f"{path}: holds the encoder of {conversion.model}, which does not fit {model.name}:"):
        load_into(encoder, state)
