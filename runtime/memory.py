"""How much of the memory a process could hold it holds already: one number, cheap to read.

The share is held / (held + left). `left` is what ends a process when it is gone: what the kernel calls available, or
what a control group still grants, whichever is less. So neighbours and container limits count, and a small process on
a busy machine is warned while a few times its size is left, not at a fixed number of bytes.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

UNLIMITED_BYTES = 1 << 60  # version 1 groups without a limit name one near 2^63


def memory_share(device: torch.device) -> Callable[[], float]:
    """A reading in [0, 1] of the host, and of the accelerator where there is one (the greater counts)."""
    host = HostMemory()
    if device.type != "cuda":
        return host
    return lambda: max(host(), device_share(device))


def device_bytes(device: torch.device) -> Callable[[], float]:
    """What tensors hold on the accelerator, for any thread; 0 where there is none."""
    if device.type != "cuda":
        return lambda: 0.0
    return lambda: float(torch.cuda.memory_allocated(device))


def device_share(device: torch.device) -> float:
    """Of the accelerator. Memory that torch reserved and does not use is left, for torch gives it out again."""
    held = torch.cuda.memory_allocated(device)
    left = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - held
    return held / max(1, held + left)


class HostMemory:
    """Reads Linux's process and control group files; 0 where there are none. A tenth of a millisecond a reading."""

    def __init__(self, *, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> None:
        self._statm, self._meminfo = proc / "self" / "statm", proc / "meminfo"
        groups = _groups_of(proc / "self" / "cgroup", cgroups)
        self._groups = [group for group in groups if group.limit() < UNLIMITED_BYTES]

    def __call__(self) -> float:
        if not self._statm.is_file():
            return 0.0
        held = int(self._statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        left = min([_field(self._meminfo, "MemAvailable:") * 1024, *(group.left() for group in self._groups)])
        return held / max(1, held + max(0, left))


class _Group:
    """One control group's memory files, of version 2 or 1."""

    def __init__(self, folder: Path, *, names: Sequence[str]) -> None:
        self._limit, self._used = (folder / name for name in names)
        self._stat = folder / "memory.stat"

    def limit(self) -> int:
        """Bytes, UNLIMITED_BYTES where nothing limits."""
        text = self._limit.read_text().strip() if self._limit.is_file() else "max"
        return UNLIMITED_BYTES if text == "max" else min(UNLIMITED_BYTES, int(text))

    def left(self) -> int:
        """Bytes; pages of files that nobody maps are given up before anybody is killed."""
        return self.limit() - int(self._used.read_text()) + _field(self._stat, "inactive_file")


def _groups_of(membership: Path, root: Path) -> list[_Group]:
    """The process's groups and all above them (a limit anywhere holds); a container sees its own at the root."""
    groups: list[_Group] = []
    for line in membership.read_text().splitlines() if membership.is_file() else []:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            top, names = root, ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            top, names = root / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        folder = top / path.lstrip("/")
        folders = [top, folder, *(parent for parent in folder.parents if top in parent.parents)]
        groups += [_Group(found, names=names) for found in dict.fromkeys(folders) if (found / names[1]).is_file()]
    return groups


def _field(path: Path, name: str) -> int:
    """The number after `name` at the start of a line; 0 without such a line."""
    for line in path.read_text().splitlines() if path.is_file() else []:
        words = line.split()
        if words and words[0] == name:
            return int(words[1])
    return 0
