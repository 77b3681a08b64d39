"""The network a run begins from: of a checkpoint, or one that brings its own weights.

It answers in the 19 Cityscapes classes, which streams are labelled in, whatever it was trained for.
"""

from pathlib import Path

from models.checkpoint import Manifest, Source, find_checkpoint, load_source, shipped_checkpoints
from models.hugging_face import PREFIX, read_hugging_face
from models.light_decoder import LightDecoder
from models.segformer import SegmentationModel
from models.tensorfile import CheckpointInvalid, prefixing
from models.zoo import MODELS, build_model, is_imported, is_known
from runtime.config import ModelConfig
from runtime.label_mapping import ClassMapping, to_stream_classes
from runtime.option_words import ConfigError, nearest
from streams.datasets.labels import CITYSCAPES

UNSAID_SIZE_HW = (512, 1024)  # of frames, for networks that do not say what they were trained at: Cityscapes, halved


def source_model(config: ModelConfig) -> tuple[SegmentationModel, LightDecoder | None, ClassMapping]:
    """The checkpoint the user named, else the one shipped for the model, else the model's own weights.

    Raises ConfigError, ModelUnsuitable and CheckpointInvalid, each in one line.
    """
    name = config.model
    if name is not None and config.checkpoint is None and (is_imported(name) or name.startswith(PREFIX)):
        return _with_own_weights(name)
    find_source(config)
    checkpoint = config.source
    with prefixing("--checkpoint"):
        model, light_decoder, manifest = load_source(checkpoint, model=name)
        if drawn := manifest.recipe.get("random"):
            raise CheckpointInvalid(
                f"{checkpoint}: tensors of it were drawn at random when it was converted ({drawn}); train it first, "
                f"with udaseg-runtime pretrain --checkpoint {checkpoint}"
            )
        return model, light_decoder, to_stream_classes(checkpoint, model, light_decoder, manifest)


def find_source(config: ModelConfig) -> Path:
    """The checkpoint's file. ConfigError for an unknown model, or one without weights where no checkpoint was named;
    CheckpointInvalid where the one that was named is not there.
    """
    name = config.model
    if name is not None and not is_known(name):
        raise ConfigError(f"--model {name}: no such model; {nearest(name, list(MODELS))}")
    if config.checkpoint is None and config.source not in shipped_checkpoints():
        raise ConfigError(
            f"--model {name}: comes without weights; give --checkpoint FILE, as written by "
            f"udaseg-runtime pretrain --model {name} --out FILE"
        )
    with prefixing("--checkpoint"):
        return find_checkpoint(config.source)


def _with_own_weights(name: str) -> tuple[SegmentationModel, None, ClassMapping]:
    """What it was trained on it does not say: the user names the source to replay."""
    source = Source(dataset="", split="", size_HW=UNSAID_SIZE_HW)
    if name.startswith(PREFIX):
        model, classes = read_hugging_face(name)
        manifest = Manifest(name, len(classes), classes, source)
        with prefixing("--model"):
            return model.eval(), None, to_stream_classes(name, model, None, manifest)
    model = build_model(name, num_classes=len(CITYSCAPES.names)).eval()
    return model, None, ClassMapping(Manifest(name, len(CITYSCAPES.names), CITYSCAPES.names, source))
