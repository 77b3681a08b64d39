"""`udaseg-runtime bench inference`: one forward of each model, in several ways, against another implementation.

    udaseg-runtime bench inference --models segformer_b0,segformer_b1 --sizes 256x512,512x1024
    udaseg-runtime bench inference --models timm:convnext_tiny --sizes 512x1024 --ways fp32,nchw,compiled

SegFormer is held against Hugging Face's, a pyramid of timm with SegFormer's head against the same network as timm runs
it with the head as published; both eager, in float32. All hold the same weights and see the same image, one after the
other in every round; ratios are taken within a round. Images in, logits at a quarter of the size out; neither
upsampling nor anything around the network counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from benchmarks.conditions import Percentiles, compute_device, describe, measure_in_turn
from benchmarks.forwards import WAYS, default_ways, peak_bytes, peer_of, ways_to_run
from benchmarks.options import check_at_least, check_names
from benchmarks.results import Result, check_save_name, options_of, publish
from benchmarks.table import UNKNOWN, Table, decimal
from models.checkpoint import load_model
from models.preprocess import labels_of, normalise, to_tensor
from models.segformer import SegmentationModel
from models.tensorfile import prefixing
from models.zoo import MODELS, build_model, is_known
from runtime.arguments import parse
from runtime.option_words import parse_size
from streams.synthetic.scene import Scene

NUM_CLASSES = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceConfig:
    """Measure forward passes."""

    models: str = "segformer_b0,segformer_b1"
    """Architectures, separated by commas; timm:NAME too."""
    sizes: str = "256x512,512x1024"
    """Sizes HxW of the image, separated by commas."""
    ways: str | None = None
    """How to run ours, separated by commas: fp32, bf16, and in the better of the two nchw (image in that layout),
    compiled (torch.compile) and graph (CUDA); by default fp32, bf16 where the device computes in it, graph on a GPU."""
    checkpoint: str | None = None
    """Weights of the one model named; random ones by default, which take as long."""
    rounds: int = 20
    """Rounds that count, each one forward of every way and of theirs."""
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
        for model in self.models.split(","):
            if not is_known(model):
                check_names("--models", model, MODELS)
        if self.ways is not None:
            check_names("--ways", self.ways, WAYS)
        check_at_least("--rounds", self.rounds, 1)
        check_at_least("--warmup", self.warmup, 0)
        check_at_least("--threads", self.threads, 1)
        for size in self.sizes.split(","):
            parse_size(size)
        check_save_name(self.save)


@dataclass(frozen=True, slots=True)
class ForwardTimes:
    """One model, size and way, in ms. `peak_mib`: tensors held at a time beyond weights and image.

    Against the other implementation: `speedup` is theirs over ours, `agreement` the share of pixels of equal class,
    `largest_difference` that of two logits; all None where there is none.
    """

    model: str
    size: str
    way: str
    parameters: int
    times_ms: Percentiles
    peak_mib: float
    speedup: Percentiles | None
    agreement: float | None
    largest_difference: float | None


def main(arguments: Sequence[str]) -> int:
    """Measure every combination, print and write the table."""
    config = parse(InferenceConfig, arguments, prog="udaseg-runtime bench inference")
    device = compute_device(config.device)
    conditions = describe(device.type, threads=config.threads)
    torch.set_num_threads(config.threads)
    times: list[ForwardTimes] = []
    for model, size in product(config.models.split(","), config.sizes.split(",")):
        times.extend(forward_times(_network(config, model).to(device), size, config=config, device=device))
    result = Result("inference", conditions, options=options_of(config), tables=(times_table(times),), data=times)
    publish(result, folder=config.out, save=config.save)
    return 0


def forward_times(
    ours: SegmentationModel, size: str, *, config: InferenceConfig, device: torch.device
) -> list[ForwardTimes]:
    """Every way on one street image; the other implementation last, where there is one."""
    size_HW = parse_size(size)
    image_HWC = Scene(seed=0, size_HW=size_HW).render(0).image_HWC
    x_B3HW = normalise(to_tensor(image_HWC).to(device)[None])
    names = config.ways.split(",") if config.ways is not None else default_ways(device)
    ways, peer = ways_to_run(ours, x_B3HW, names=names), peer_of(ours, x_B3HW)
    if peer is not None:
        ways[f"{peer[0]} fp32"] = peer[1]
    with torch.no_grad():
        peaks = [peak_bytes(way, device) / 2**20 for way in ways.values()]
        times_ms = measure_in_turn(
            list(ways.values()), device=device, num_warmup=config.warmup, num_rounds=config.rounds
        )
        logits = [way() for way in ways.values()]
    parameters = sum(parameter.numel() for parameter in ours.parameters())
    return [
        ForwardTimes(
            ours.name,
            size,
            way,
            parameters,
            Percentiles.of(times_ms[:, column]),
            peaks[column],
            *_compared(times_ms, logits, column, size_HW, has_peer=peer is not None),
        )
        for column, way in enumerate(ways)
    ]


def times_table(times: Sequence[ForwardTimes]) -> Table:
    """One line for each model, size and way."""
    rows = []
    for row in times:
        line = [f"{row.model} {row.size} {row.way}", f"{row.parameters:,}"]
        line += [decimal(row.times_ms.p50), decimal(row.times_ms.p95), decimal(row.peak_mib)]
        if row.speedup is None or row.agreement is None or row.largest_difference is None:
            line += [UNKNOWN] * 3
        else:
            difference = f"{row.largest_difference:.1e}"
            line += [decimal(row.speedup.p50, digits=2), f"{row.agreement:.4%}", difference]
        rows.append(tuple(line))
    return Table(
        title="One forward, batch of one",
        header=("model, size, way", "parameters", "p50 ms", "p95 ms", "peak MiB", "faster", "same class", "logits off"),
        rows=tuple(rows),
        note="Faster: time of the last row of a model and size, Hugging Face's transformers or timm, eager, with the "
        "same weights, over that of this row; a dash where neither has the network. Peak: tensors beyond the weights.",
    )


def _compared(
    times_ms: np.ndarray, logits: Sequence[Tensor], column: int, size_HW: tuple[int, int], *, has_peer: bool
) -> tuple[Percentiles | None, float | None, float | None]:
    """Speed, agreement and difference of one column against the last; None for each without a peer, and for itself."""
    if not has_peer or column == times_ms.shape[1] - 1:
        return None, None, None
    same = labels_of(logits[column], size_HW) == labels_of(logits[-1], size_HW)
    largest = float((logits[column] - logits[-1]).abs().max())
    return Percentiles.of(times_ms[:, -1] / times_ms[:, column]), float(same.float().mean()), largest


def _network(config: InferenceConfig, model: str) -> SegmentationModel:
    if config.checkpoint is not None:
        with prefixing("--checkpoint"):
            return load_model(config.checkpoint, model=model)[0]
    torch.manual_seed(0)
    return build_model(model, num_classes=NUM_CLASSES).eval()
