"""`udaseg-runtime bench inference`: one forward of each model, ours against Hugging Face's SegFormer.

    udaseg-runtime bench inference --models segformer_b0,segformer_b1 --sizes 256x512,512x1024

Both hold the same weights and see the same image, one after the other in every round; the ratio is taken within a
round. Images in, logits at a quarter of the size out; neither upsampling nor anything around the network counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from benchmarks.conditions import Percentiles, compute_device, describe, measure_in_turn
from benchmarks.options import check_at_least, check_names
from benchmarks.peers import hugging_face
from benchmarks.results import Result, check_save_name, options_of, publish
from benchmarks.table import UNKNOWN, Table, decimal
from models.checkpoint import load_model
from models.preprocess import labels_of, normalise, to_tensor
from models.segformer import SegmentationModel
from models.zoo import MODELS, build_model
from runtime.arguments import parse
from runtime.config import parse_size
from streams.synthetic.scene import Scene

NUM_CLASSES = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceConfig:
    """Measure forward passes."""

    models: str = "segformer_b0,segformer_b1"
    """Architectures, separated by commas."""
    sizes: str = "256x512,512x1024"
    """Sizes HxW of the image, separated by commas."""
    checkpoint: str | None = None
    """Weights of the one model named; random ones by default, which take as long."""
    rounds: int = 20
    """Rounds that count, each one forward of ours and one of theirs."""
    warmup: int = 3
    """Rounds before that do not."""
    threads: int = 1
    """Threads of torch."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute."""
    out: Path = Path("runs/bench-inference")
    """Folder for the tables."""
    save: str | None = None
    """Also keep the tables under this name in benchmarks/results."""

    def __post_init__(self) -> None:
        check_names("--models", self.models, MODELS)
        check_at_least("--rounds", self.rounds, 1)
        check_at_least("--warmup", self.warmup, 0)
        check_at_least("--threads", self.threads, 1)
        for size in self.sizes.split(","):
            parse_size(size)
        check_save_name(self.save)


@dataclass(frozen=True, slots=True)
class ForwardTimes:
    """One model and size, in ms. `speedup` is theirs over ours, `agreement` the share of pixels of equal class.

    The last four are None where theirs is not installed.
    """

    model: str
    size: str
    parameters: int
    ours_ms: Percentiles
    theirs_ms: Percentiles | None
    speedup: Percentiles | None
    agreement: float | None
    largest_difference: float | None


def main(arguments: Sequence[str]) -> int:
    """Measure every combination, print and write the table."""
    config = parse(InferenceConfig, arguments, prog="udaseg-runtime bench inference")
    device = compute_device(config.device)
    conditions = describe(device.type, threads=config.threads)
    torch.set_num_threads(config.threads)
    times = []
    for model, size in product(config.models.split(","), config.sizes.split(",")):
        times.append(forward_times(_network(config, model).to(device), size, config=config, device=device))
    result = Result("inference", conditions, options=options_of(config), tables=(times_table(times),), data=times)
    publish(result, folder=config.out, save=config.save)
    return 0


def forward_times(
    ours: SegmentationModel, size: str, *, config: InferenceConfig, device: torch.device
) -> ForwardTimes:
    """Both networks on one street image, each in the memory layout it works in."""
    size_HW = parse_size(size)
    image_HWC = Scene(seed=0, size_HW=size_HW).render(0).image_HWC
    x_B3HW = normalise(to_tensor(image_HWC).to(device)[None])
    theirs = hugging_face(ours)
    networks: list[tuple[nn.Module, torch.Tensor]] = [(ours, x_B3HW)]
    if theirs is not None:
        networks.append((theirs.to(device), x_B3HW.contiguous()))
    with torch.no_grad():
        times_ms = measure_in_turn(
            [partial(network, x) for network, x in networks],
            device=device,
            num_warmup=config.warmup,
            num_rounds=config.rounds,
        )
        logits = [network(x) for network, x in networks]
    labels = [labels_of(logits_BKhw, size_HW) for logits_BKhw in logits]
    has_peer = theirs is not None
    return ForwardTimes(
        model=ours.name,
        size=size,
        parameters=sum(parameter.numel() for parameter in ours.parameters()),
        ours_ms=Percentiles.of(times_ms[:, 0]),
        theirs_ms=Percentiles.of(times_ms[:, 1]) if has_peer else None,
        speedup=Percentiles.of(times_ms[:, 1] / times_ms[:, 0]) if has_peer else None,
        agreement=float((labels[0] == labels[1]).float().mean()) if has_peer else None,
        largest_difference=float((logits[0] - logits[1]).abs().max()) if has_peer else None,
    )


def times_table(times: Sequence[ForwardTimes]) -> Table:
    """One line for each model and size."""
    rows = []
    for row in times:
        line = [f"{row.model} {row.size}", f"{row.parameters:,}", decimal(row.ours_ms.p50), decimal(row.ours_ms.p95)]
        if row.theirs_ms is None or row.speedup is None or row.agreement is None:
            line += [UNKNOWN] * 4
        else:
            line += [decimal(row.theirs_ms.p50), decimal(row.theirs_ms.p95), decimal(row.speedup.p50, digits=2)]
            line.append(f"{row.agreement:.4%}")
        rows.append(tuple(line))
    return Table(
        title="One forward, batch of one, float32",
        header=("model, size", "parameters", "p50 ms", "p95 ms", "HF p50 ms", "HF p95 ms", "HF / ours", "same class"),
        rows=tuple(rows),
        note="HF: Hugging Face transformers with the same weights, a dash where it is not installed.",
    )


def _network(config: InferenceConfig, model: str) -> SegmentationModel:
    if config.checkpoint is not None:
        return load_model(config.checkpoint, model=model)[0]
    torch.manual_seed(0)
    return build_model(model, num_classes=NUM_CLASSES).eval()
