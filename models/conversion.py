"""Conversion: a network of another program's file becomes one of ours, completely or not at all.

    file = read_weights(path)
    conversion = convert(file)                    # state, model, report; CheckpointInvalid for a partial network
    print("\\n".join(inspect(file).lines()))       # the report alone, of what can be converted and what cannot

Names are mapped by the layout that knows most of them, tensors rearranged, and the result compared with the network
they should make. The one gap that may be asked for is the classifier, where the classes are others, and a whole head
where the file holds an encoder alone; both are said in the report, and drawn at random.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from models.architecture import Architecture, architecture_of
from models.conversion_report import Mismatch, Report
from models.layouts import LAYOUTS
from models.layouts.layout import Layout, Renaming, rename
from models.light_decoder import PREFIX as LIGHT
from models.light_decoder import LightDecoder
from models.rearrangement import FUSE, Rearrangement, rearranged
from models.segformer import SegFormerHead
from models.tensorfile import CheckpointInvalid
from models.weightfile import NETWORKS, WeightFile
from models.zoo import build_model

CLASSIFIERS = ("head.classifier.", LIGHT + "classifier.", "head.base.classifier.", "head.attention.classifier.")
COUNTER = "num_batches_tracked"  # of batch norms; without effect here, and missing from old files


@dataclass(frozen=True, slots=True, eq=False)
class Conversion:
    """A complete state of `model` with `num_classes`, light decoder included where the file has one.

    `renamed` are the file's tensors under our names but arranged as in `layout`, for the comparison of logits.
    """

    model: str
    num_classes: int
    state: dict[str, Tensor]
    renamed: dict[str, Tensor]
    layout: Layout
    report: Report

    @property
    def has_linear_fuse(self) -> bool:
        """Whether one 1 x 1 convolution fuses, in the layout's order; any other fusion reads the shallowest first."""
        return FUSE in self.state


def inspect(file: WeightFile, *, network: str | None = None) -> Report:
    """What the file holds and what of it fits; CheckpointInvalid where it is of no known kind."""
    report = _compared(file, network, None).report
    return dataclasses.replace(report, drawn=())


def convert(
    file: WeightFile,
    *,
    network: str | None = None,
    num_classes: int | None = None,
    allow_encoder: bool = False,
) -> Conversion:
    """Our network of the file's. CheckpointInvalid, naming the first fault, where it is not complete.

    Another `num_classes` than the file's draws a new classifier (torch's global generator), `allow_encoder` a new head
    where there is none; nothing else may be missing, left over, of another shape or not finite.
    """
    conversion = _compared(file, network, num_classes)
    report = conversion.report
    if report.is_encoder and not allow_encoder:
        raise CheckpointInvalid(
            f"{file.path}: holds an encoder and no head; give a file of the whole network, or --allow-encoder for one "
            "with a head drawn at random, which must be trained first"
        )
    if fault := report.fault():
        raise CheckpointInvalid(f"{file.path}: {fault}; nothing was written")
    for name, tensor in conversion.state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointInvalid(
                f"{file.path}: {name} holds values that are not finite, left by a training that diverged or by damage; "
                "give an earlier or another file"
            )
    return conversion


def _compared(file: WeightFile, network: str | None, num_classes: int | None) -> Conversion:
    chosen, tensors = _network(file, network)
    renaming = _best(tensors)
    renamed = {ours: tensors[theirs] for ours, theirs in renaming.ours.items()}
    state, done = rearranged(renamed, renaming.layout)
    try:
        found = architecture_of(state, is_rectified=bool(done.folded))
    except CheckpointInvalid as error:
        raise CheckpointInvalid(f"{file.path}: {error}") from error
    wanted = num_classes or found.num_classes or 1
    expected = _expected(found.model, wanted, has_light_decoder=any(name.startswith(LIGHT) for name in state))
    complete, drawn, mismatched = _fitted(state, expected, found, wanted)
    missing = tuple(name for name in expected if name not in complete and name not in mismatched)
    report = Report(
        path=file.path,
        layout=renaming.layout.title,
        network=chosen,
        networks=tuple(file.networks),
        model=found.model,
        num_classes=found.num_classes,
        is_encoder=found.num_classes is None,
        mapped=_mapped(renaming, done),
        idle=tuple(renaming.idle.items()),
        missing=missing,
        unexpected=(*renaming.unknown, *(name for name in state if name not in expected)),
        mismatched=tuple(mismatched.values()),
        rearranged=done,
        drawn=drawn,
    )
    return Conversion(found.model, wanted, complete, renamed, renaming.layout, report)


def _network(file: WeightFile, asked: str | None) -> tuple[str, dict[str, Tensor]]:
    """The network asked for; else the one there is, else the first of NETWORKS, which is what its authors evaluate."""
    if asked is not None:
        if asked not in file.networks:
            raise CheckpointInvalid(f"{file.path}: no network {asked!r}; it holds {_listed(file.networks)}")
        return asked, file.networks[asked]
    for name in (*NETWORKS, *file.networks):
        if name in file.networks:
            return name, file.networks[name]
    raise CheckpointInvalid(f"{file.path}: holds no network")


def _listed(networks: Mapping[str, object]) -> str:
    return ", ".join(name or "one without a name" for name in networks)


def _best(tensors: Mapping[str, Tensor]) -> Renaming:
    renamings = [rename(layout, tensors) for layout in LAYOUTS.values()]
    return max(renamings, key=lambda renaming: len(renaming.ours) + len(renaming.idle))


def _expected(model: str, num_classes: int, *, has_light_decoder: bool) -> dict[str, Tensor]:
    """Names and shapes of the network (and its light decoder), on the meta device."""
    with torch.device("meta"):
        network = build_model(model, num_classes=num_classes)
        expected = dict(network.state_dict())
        if has_light_decoder and isinstance(network.head, SegFormerHead):
            decoder = LightDecoder(
                network.encoder.channels[0], embed_channels=network.head.embed_channels, num_classes=num_classes
            )
            expected |= {LIGHT + name: tensor for name, tensor in decoder.state_dict().items()}
    return expected


def _fitted(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor], found: Architecture, num_classes: int
) -> tuple[dict[str, Tensor], tuple[str, ...], dict[str, Mismatch]]:
    """What goes into the network, what of it was drawn at random, and what does not fit."""
    is_new = num_classes != found.num_classes
    fresh = build_model(found.model, num_classes=num_classes).state_dict() if is_new else {}
    complete: dict[str, Tensor] = {}
    drawn: list[str] = []
    mismatched: dict[str, Mismatch] = {}
    for name, like in expected.items():
        tensor = state.get(name)
        if found.num_classes is None and name.startswith("head."):
            complete[name] = fresh[name]
            drawn.append(name)
        elif tensor is None:
            if name.endswith(COUNTER):
                complete[name] = torch.tensor(0)
        elif tensor.shape == like.shape or _squeezed(tensor) == _squeezed(like):
            complete[name] = tensor.reshape(like.shape).to(like.dtype).contiguous()
        elif name.startswith(CLASSIFIERS) and is_new:
            drawn_as = name if name in fresh else "head." + name[name.index("classifier.") :]
            complete[name] = fresh[drawn_as].reshape(like.shape)
            drawn.append(name)
        else:
            mismatched[name] = Mismatch(name, tuple(tensor.shape), tuple(like.shape))
    return complete, tuple(drawn), mismatched


def _squeezed(tensor: Tensor) -> tuple[int, ...]:
    """The shape of a matrix, whether it is held as one or as a 1 x 1 convolution."""
    shape = tuple(tensor.shape)
    return shape[:2] if len(shape) == 4 and shape[2:] == (1, 1) else shape


def _mapped(renaming: Renaming, done: Rearrangement) -> tuple[tuple[str, str], ...]:
    """(theirs, ours), where ours is the name after everything was joined, split and folded."""
    pairs = []
    for ours, theirs in renaming.ours.items():
        name = ours
        for apart in (".attn.k.", ".attn.v.", ".attn.qkv."):
            name = name.replace(apart, ".attn.kv.")
        folded = [stem for stem in done.folded if name.startswith(stem.removesuffix("weight"))]
        pairs.append((theirs, folded[0] if folded else name))
    return tuple(pairs)
