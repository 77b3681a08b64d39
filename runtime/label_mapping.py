"""A source model that was trained for other classes than the streams are labelled in, brought to theirs by name.

    mapping = to_stream_classes(checkpoint, model, light_decoder, manifest)      # changes the model, where it must

Each of the 19 Cityscapes classes is answered by the model's class of that name, or of another word for it; the model's
other classes are answered no more, and a class it does not know never. So everything behind it, learning included, has
one label space. Labels of unknown classes teach nothing: replay ignores them.
"""

import dataclasses
from dataclasses import dataclass

from models.checkpoint import Manifest
from models.class_rows import take_classes
from models.light_decoder import LightDecoder
from models.segformer import SegmentationModel
from models.tensorfile import CheckpointInvalid
from streams.datasets.label_spaces import answering
from streams.datasets.labels import CITYSCAPES

FEWEST = 2  # classes; fewer tell nothing apart


@dataclass(frozen=True, slots=True)
class ClassMapping:
    """`manifest` in the stream's classes; `unknown`: those the model never answers; `notes` for the user."""

    manifest: Manifest
    unknown: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def to_stream_classes(
    checkpoint: str, model: SegmentationModel, decoder: LightDecoder | None, manifest: Manifest
) -> ClassMapping:
    """CheckpointInvalid where the label spaces have next to nothing in common."""
    if manifest.classes == CITYSCAPES.names:
        return ClassMapping(manifest)
    rows = answering(manifest.classes, CITYSCAPES.names)
    unknown = tuple(number for number, row in enumerate(rows) if row is None)
    num_known = len(rows) - len(unknown)
    if num_known < FEWEST:
        raise CheckpointInvalid(
            f"{checkpoint}: of its {len(manifest.classes)} classes ({manifest.classes[0]}, ...) {num_known} are "
            f"among the {len(rows)} Cityscapes classes that streams are labelled in, expected {FEWEST} at least; name "
            "them alike (checkpoint convert --classes), or train with udaseg-runtime pretrain"
        )
    take_classes(model, decoder, rows)
    names = ", ".join(CITYSCAPES.names[number] for number in unknown) or "none"
    note = (
        f"{checkpoint} has {len(manifest.classes)} classes; {num_known} of the stream's {len(rows)} are answered, "
        f"by name; never answered: {names}"
    )
    spoken = dataclasses.replace(manifest, num_classes=len(rows), classes=CITYSCAPES.names)
    return ClassMapping(spoken, unknown, (note,))
