"""Lanes: where one owner's kernels are queued, and how the owner learns that they are done.

    with lane.entered():           # what this thread computes goes here
        work()
        done = lane.record()       # behind everything this thread has queued
    done.wait()                    # this thread alone waits

On a host a kernel is done when its call returns, so `HostLane` has nothing to do. On a GPU each owner has a CUDA stream
of its own, inference at a higher priority than learning: priority orders waiting thread blocks and interrupts none that
run (CUDA C++ Programming Guide, "Stream Priorities"), so learning keeps its kernels short as well. Nothing waits for
the whole device while frames come. Models and versions are unknown here: `runtime/serving.py` runs them.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch

CPU = torch.device("cpu")
INFERENCE_PRIORITY, LEARNING_PRIORITY = -1, 0  # torch.cuda.Stream: lower numbers go first


class Recorded(Protocol):
    """A place in a lane that its device has passed, or will."""

    def is_done(self) -> bool:
        """Never waits."""
        ...

    def wait(self) -> None:
        """Block the calling thread, and no other, until the device is past it."""
        ...


class Lane(Protocol):
    """Any thread may use it; kernels run in the order in which they were queued."""

    @property
    def device(self) -> torch.device: ...

    def entered(self) -> AbstractContextManager[None]:
        """The calling thread's kernels are queued here within the block."""
        ...

    def record(self) -> Recorded:
        """A place behind all that the calling thread has queued, in whichever lane it is."""
        ...

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """What repeats `work` on the same memory for less, or `work` itself; RuntimeError where it cannot be captured.

        `work` has run before, allocates nothing that outlives it and waits for nothing.
        """
        ...


class Done:
    """Of a device that is never behind."""

    def is_done(self) -> bool:
        return True

    def wait(self) -> None:
        return


class HostLane:
    """The calling thread computes, at once."""

    device = CPU

    def entered(self) -> AbstractContextManager[None]:
        return nullcontext()

    def record(self) -> Recorded:
        return Done()

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        return work


class CudaLane:
    """A CUDA stream. `priority` as torch.cuda.Stream takes it."""

    def __init__(self, device: torch.device, *, priority: int) -> None:
        self.device = device
        make: Callable[..., torch.cuda.Stream] = torch.cuda.Stream  # torch leaves it untyped
        self._stream = make(device, priority=priority)

    @contextmanager
    def entered(self) -> Iterator[None]:
        with torch.cuda.stream(self._stream):
            yield

    def record(self) -> Recorded:
        make: Callable[[], torch.cuda.Event] = torch.cuda.Event
        event = make()
        event.record(torch.cuda.current_stream(self.device))
        return CudaEvent(event)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """One CUDA graph. In the default mode a kernel or allocation of any other thread, such as the learner's, would
        end the capture and fail in that thread too (pytorch#107407); in this one only the calling thread is watched.
        """
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            work()
        return graph.replay


class CudaEvent:
    """Waiting releases the interpreter, so other threads go on."""

    def __init__(self, event: torch.cuda.Event) -> None:
        self._event = event

    def is_done(self) -> bool:
        query: Callable[[], bool] = self._event.query
        return query()

    def wait(self) -> None:
        self._event.synchronize()


@dataclass(frozen=True, slots=True)
class Lanes:
    """One for each owner of kernels."""

    inference: Lane
    learning: Lane


HOST = HostLane()


def open_lanes(device: torch.device) -> Lanes:
    """On a CPU there is nothing to tell apart; on a GPU inference goes first."""
    if device.type != "cuda":
        return Lanes(HOST, HOST)
    return Lanes(CudaLane(device, priority=INFERENCE_PRIORITY), CudaLane(device, priority=LEARNING_PRIORITY))


def settle(device: torch.device) -> None:
    """Wait for what all lanes were given; at the two ends of a run only."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
