"""One forward pass in several ways: precision, memory layout, compiled, as a CUDA graph, and other implementations.

    ways = ways_to_run(model, x_B3HW, names=("fp32", "compiled"))
    logits_BKhw = ways["fp32"]()

Each way is a function without arguments that gives float32 logits (1, K, h, w) of one image, at the size the network
has them. `peak_bytes` tells what memory it takes beyond what is held already.
"""

# B batch, K classes, H height, W width, h w the logits' height and width

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any  # records of torch's profiler

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from benchmarks.peers import hugging_face, plain_timm
from models.precision import answering, has_bfloat16
from models.segformer import SegmentationModel
from runtime.lanes import INFERENCE_PRIORITY, CudaLane
from runtime.option_words import ConfigError

WAYS = ("fp32", "bf16", "nchw", "compiled", "graph")
NUM_WARM_UPS = 3  # before a capture, which cannot hold the workspaces of first passes

Way = Callable[[], Tensor]


def default_ways(device: torch.device) -> tuple[str, ...]:
    """Float32, bfloat16 where the device computes in it, and on a GPU the graph that serves."""
    halved = ("bf16",) if has_bfloat16(device) else ()
    return ("fp32", *halved, *(("graph",) if device.type == "cuda" else ()))


def ways_to_run(model: SegmentationModel, x_B3HW: Tensor, *, names: Sequence[str]) -> dict[str, Way]:
    """By name, of WAYS; the last three in bfloat16 where the device has it. What compiles or captures does so at its
    first call. ConfigError for a graph on a CPU.
    """
    device = x_B3HW.device
    if "graph" in names and device.type != "cuda":
        raise ConfigError("--ways graph: CUDA graphs need --device cuda; leave it out")
    best = torch.bfloat16 if has_bfloat16(device) else torch.float32
    made: dict[str, Callable[[], Way]] = {
        "fp32": lambda: _eager(model, x_B3HW, torch.float32),
        "bf16": lambda: _eager(model, x_B3HW, torch.bfloat16),
        "nchw": lambda: _eager(model, x_B3HW.contiguous(), best),
        "compiled": lambda: _compiled(model, x_B3HW, best),
        "graph": lambda: _captured(_eager(model, x_B3HW, best), device),
    }
    return {name: made[name]() for name in names}


def peer_of(model: SegmentationModel, x_B3HW: Tensor) -> tuple[str, Way] | None:
    """Another implementation of the same network with the same weights, in float32 and the layout it works in."""
    theirs: tuple[str, nn.Module | None] = ("HF", hugging_face(model))
    if theirs[1] is None:
        theirs = ("timm", plain_timm(model))
    name, network = theirs
    if network is None:
        return None
    return name, partial(network.to(x_B3HW.device), x_B3HW.contiguous())


def peak_bytes(way: Way, device: torch.device) -> int:
    """Most bytes of tensors that a call holds at a time beyond those it found, libraries' own workspaces aside: the
    first call on a GPU, as a graph allocates in no other, the second on a CPU.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device)
        way()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - held
    way()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        way()
    profiler: Any = recorded.profiler
    changes = [event for event in profiler.kineto_results.events() if event.name() == "[memory]"]
    held = most = 0
    for change in sorted(changes, key=lambda event: int(event.start_ns())):
        held += int(change.nbytes())
        most = max(most, held)
    return most


def _eager(model: SegmentationModel, x_B3HW: Tensor, precision: torch.dtype) -> Way:
    """A copy of its own that answers in that precision, on the same weights."""
    twin = _sharing(model)
    twin.answers_in = precision

    def run() -> Tensor:
        with answering(twin, x_B3HW.device):
            logits_BKhw: Tensor = twin(x_B3HW)
        return logits_BKhw.float()

    return run


def _compiled(model: SegmentationModel, x_B3HW: Tensor, precision: torch.dtype) -> Way:
    compiled: Way = torch.compile(_eager(model, x_B3HW, precision), dynamic=False)
    return compiled


def _captured(eager: Way, device: torch.device) -> Way:
    """Captured at the first call, as `runtime.serving` does it."""
    lane = CudaLane(device, priority=INFERENCE_PRIORITY)
    logits: list[Tensor] = []
    replays: list[Callable[[], None]] = []

    def keep() -> None:
        logits[:] = [eager()]

    def run() -> Tensor:
        if not replays:
            with lane.entered():
                for _ in range(NUM_WARM_UPS):
                    keep()
                lane.record().wait()
                replays.append(lane.capture(keep))
        replays[0]()
        return logits[0]

    return run


def _sharing(model: SegmentationModel) -> SegmentationModel:
    return copy.deepcopy(model, {id(tensor): tensor for tensor in model.state_dict(keep_vars=True).values()})
