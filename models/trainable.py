"""What learns and what is frozen: one switch, its report, and the verbs that move adaptable tensors between models.

*Adaptable* tensors are the trainable parameters, plus the running statistics of batch norms (of all in modes `norm` and
`full`, of the head's in the others) and, in mode `norm`, the classifier's bias: no gradient reaches these, but they may
be set (a prior over classes is one number for each). Everything else is *frozen*: it stays in eval mode, is shared
between replicas, and keeps its digest. Before the first `set_trainable` everything counts as frozen.

    report = set_trainable(model, "adapters+head")
    served = replica(model)                                   # same frozen storage, own adaptable tensors
    load_adaptable(served, published)                         # between frames: swaps pointers, copies nothing

Counters such as a batch norm's `num_batches_tracked` have no effect on any output and belong to neither side.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.adapters import has_adapters
from models.encoder import ModelUnsuitable
from models.mit import NUM_STAGES
from models.segformer import SegmentationModel
from models.tensorfile import tensors_digest

MODES = ("adapters+head", "adapters", "head", "norm", "full")
GROUPS = ("adapters", "head", "norm", "encoder")
CLASS_BIAS = "head.classifier.bias"
HEAD_STAGE = NUM_STAGES + 1
NORMS = (nn.LayerNorm, nn.BatchNorm2d, nn.GroupNorm, nn.RMSNorm)


@dataclass(frozen=True, slots=True)
class TrainableReport:
    """What a mode really trains. Groups: adapters, head, norm (of the encoder), encoder (the rest)."""

    mode: str
    names: tuple[str, ...]
    trainable_by_group: tuple[tuple[str, int], ...]
    total_by_group: tuple[tuple[str, int], ...]

    @property
    def trainable(self) -> int:
        """Number of parameters that learn."""
        return sum(count for _, count in self.trainable_by_group)

    @property
    def total(self) -> int:
        """Number of parameters."""
        return sum(count for _, count in self.total_by_group)

    def lines(self) -> list[str]:
        """For the user: a summary and one line per group."""
        share = 100.0 * self.trainable / self.total
        lines = [f"trainable = {self.mode}: {self.trainable:,} of {self.total:,} parameters ({share:.1f} %)"]
        for (group, trainable), (_, total) in zip(self.trainable_by_group, self.total_by_group, strict=True):
            lines.append(f"  {group:<8} {trainable:>11,} of {total:>11,}")
        return lines

    def __str__(self) -> str:
        return "\n".join(self.lines())


def set_trainable(model: SegmentationModel, mode: str) -> TrainableReport:
    """Freeze everything but what `mode` names, drop stale gradients, and report.

    In the modes other than `full`, frozen modules and every batch norm stay in eval mode even after `model.train()`.
    """
    if mode not in MODES:
        raise ValueError(f"trainable must be one of {', '.join(MODES)}, got {mode!r}")
    if "adapters" in mode and not has_adapters(model):
        raise ValueError(f"trainable = {mode} needs adapters and {model.name} has none; attach them first or use head")
    if "head" in mode and not list(model.head.parameters()):
        raise ModelUnsuitable(f"--trainable {mode}: {model.name} has no head apart; use --trainable norm or full")
    owners = dict(model.named_modules())
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(_learns(name, owners[name.rpartition(".")[0]], mode))
        parameter.grad = None
    report = _report(model, mode, owners)
    model.adaptable_names = report.names + _settable(model, mode)
    model.frozen_modules = frozenset(
        name for name, module in owners.items() if mode != "full" and not _trains(name, module, mode)
    )
    model.train(model.training)
    return report


def trainable_parameters(model: SegmentationModel) -> list[nn.Parameter]:
    """What an optimizer sees."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def trainable_by_group(model: SegmentationModel) -> dict[str, list[nn.Parameter]]:
    """The same by group (`GROUPS`), in the model's order within each."""
    owners = dict(model.named_modules())
    groups: dict[str, list[nn.Parameter]] = {group: [] for group in GROUPS}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[_group(name, owners[name.rpartition(".")[0]])].append(parameter)
    return groups


def outermost_parameters(model: SegmentationModel) -> list[nn.Parameter]:
    """The trainable parameters nearest the output: the head's, or where none of them learns (mode adapters) those of
    the deepest encoder stage that has some. Their gradients need no graph of what comes before.
    """
    learning = [(stage_of(model, name), p) for name, p in model.named_parameters() if p.requires_grad]
    deepest = max((stage for stage, _ in learning), default=HEAD_STAGE)
    return [p for stage, p in learning if stage == deepest]


def stage_of(model: SegmentationModel, name: str) -> int:
    """Where in the model a tensor of this name is: encoder stage 1 to 4, or 5 for the head."""
    part, _, rest = name.partition(".")
    return model.encoder.stage_of(rest) + 1 if part == "encoder" else HEAD_STAGE


@contextmanager
def only_learning(model: SegmentationModel, chosen: Sequence[nn.Parameter]) -> Iterator[None]:
    """Within, trainable parameters other than `chosen` count as constants: no graph, no gradient. Forward and backward
    belong in one such block.
    """
    kept = {id(parameter) for parameter in chosen}
    resting = [parameter for parameter in trainable_parameters(model) if id(parameter) not in kept]
    for parameter in resting:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in resting:
            parameter.requires_grad_(True)


def adaptable_tensors(model: SegmentationModel) -> dict[str, Tensor]:
    """Adaptable tensors by name, detached but live: they share the model's memory; clone them to keep them."""
    tensors = dict(_float_tensors(model))
    return {name: tensors[name].detach() for name in model.adaptable_names}


def load_adaptable(model: SegmentationModel, tensors: Mapping[str, Tensor]) -> None:
    """Make the model use these very tensors (no copy). For models that predict: learning would write into them.

    ValueError, and no change, unless names, shapes and dtypes are exactly those of `adaptable_tensors(model)`.
    """
    for parent, leaf, current, new in _matched(model, tensors):
        if isinstance(current, nn.Parameter):
            current.data = new.detach()
        else:
            setattr(parent, leaf, new.detach())


def copy_adaptable(model: SegmentationModel, tensors: Mapping[str, Tensor]) -> None:
    """Copy values into the model's own adaptable tensors: for models that learn. Checks as in `load_adaptable`."""
    with torch.no_grad():
        for _, _, current, new in _matched(model, tensors):
            current.copy_(new)


def replica(model: SegmentationModel) -> SegmentationModel:
    """A deep copy that shares the frozen tensors (the same storage) and owns its adaptable ones; without gradients."""
    adaptable = set(model.adaptable_names)
    shared = [tensor for name, tensor in _float_tensors(model) if name not in adaptable]
    twin = copy.deepcopy(model, {id(tensor): tensor for tensor in shared})
    for parameter in twin.parameters():
        if parameter.requires_grad:
            parameter.grad = None
    return twin


def frozen_digest(model: SegmentationModel) -> str:
    """sha256 over name, type, shape and bytes of every frozen tensor, in the order of their names."""
    adaptable = set(model.adaptable_names)
    return tensors_digest({name: tensor for name, tensor in _float_tensors(model) if name not in adaptable})


def _learns(name: str, owner: nn.Module, mode: str) -> bool:
    if mode == "full":
        return True
    if mode == "norm":
        return isinstance(owner, NORMS)
    return _group(name, owner) in mode.split("+")


def _group(name: str, owner: nn.Module) -> str:
    if ".adapter." in name:
        return "adapters"
    if name.startswith("head."):
        return "head"
    return "norm" if isinstance(owner, NORMS) else "encoder"


def _trains(name: str, module: nn.Module, mode: str) -> bool:
    """Whether a module follows `model.train()` in a mode other than full; batch norms never do."""
    if name == "":
        return True
    is_learning = ("head" in mode and name.startswith("head")) or ("adapters" in mode and ".adapter" in name)
    return is_learning and not isinstance(module, nn.BatchNorm2d)


def _report(model: SegmentationModel, mode: str, owners: Mapping[str, nn.Module]) -> TrainableReport:
    trainable, total = dict.fromkeys(GROUPS, 0), dict.fromkeys(GROUPS, 0)
    names = []
    for name, parameter in model.named_parameters():
        group = _group(name, owners[name.rpartition(".")[0]])
        total[group] += parameter.numel()
        if parameter.requires_grad:
            trainable[group] += parameter.numel()
            names.append(name)
    return TrainableReport(mode, tuple(names), tuple(trainable.items()), tuple(total.items()))


def _settable(model: SegmentationModel, mode: str) -> tuple[str, ...]:
    """Names of what learns by no gradient but may be set: batch norms' running statistics, the classifier's bias."""
    is_whole = mode in ("norm", "full")
    norms = [name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)]
    moving = [name for name in norms if is_whole or name.startswith("head.")]
    statistics = tuple(f"{name}.{leaf}" for name in moving for leaf in ("running_mean", "running_var"))
    has_bias = any(name == CLASS_BIAS for name, _ in model.named_parameters())
    return (*statistics, CLASS_BIAS) if mode == "norm" and has_bias else statistics


def _float_tensors(model: SegmentationModel) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from ((name, buffer) for name, buffer in model.named_buffers() if buffer.is_floating_point())


def _matched(model: SegmentationModel, tensors: Mapping[str, Tensor]) -> list[tuple[nn.Module, str, Tensor, Tensor]]:
    """(owner, attribute, current, new) for every adaptable tensor, all checked before anything changes."""
    names = model.adaptable_names
    if tensors.keys() != set(names):
        name = min(tensors.keys() ^ set(names))
        fault = "is missing" if name in names else "is not adaptable in this model"
        raise ValueError(f"adaptable tensor {name} {fault}; both models need the same adapters and trainable mode")
    matched = []
    for name in names:
        path, _, leaf = name.rpartition(".")
        parent = model.get_submodule(path)
        current, new = getattr(parent, leaf), tensors[name]
        if (current.shape, current.dtype, current.device) != (new.shape, new.dtype, new.device):
            raise ValueError(
                f"adaptable tensor {name} must be {current.dtype} {tuple(current.shape)} on {current.device}, "
                f"got {new.dtype} {tuple(new.shape)} on {new.device}"
            )
        matched.append((parent, leaf, current, new))
    return matched
