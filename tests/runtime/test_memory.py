"""How much of the memory there is a process holds, by kernel files of any shape."""

import os
from pathlib import Path

import pytest

from runtime.memory import HostMemory

PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 2**20


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A process of 100 MiB on a host with 300 MiB to spare, in no control group."""
    folder = tmp_path / "proc"
    (folder / "self").mkdir(parents=True)
    (folder / "self" / "statm").write_text(f"99999 {100 * MIB // PAGE} 5 1 0 7 0\n")
    (folder / "meminfo").write_text(f"MemTotal: 9999999 kB\nMemAvailable: {300 * 1024} kB\n")
    return folder


def group(folder: Path, *, limit: str, used: int, files: int = 0, names=("memory.max", "memory.current")) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used * MIB}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {files * MIB}\n")


def test_alone_on_a_host_what_is_available_counts(proc: Path, tmp_path: Path) -> None:
    assert HostMemory(proc=proc, cgroups=tmp_path / "none")() == pytest.approx(100 / 400)


def test_the_tightest_group_above_counts(proc: Path, tmp_path: Path) -> None:
    (proc / "self" / "cgroup").write_text("0::/service/worker\n")
    root = tmp_path / "cgroup"
    group(root / "service" / "worker", limit="max", used=120)
    group(root / "service", limit=str(200 * MIB), used=190, files=40)
    assert HostMemory(proc=proc, cgroups=root)() == pytest.approx(100 / 150)


def test_a_container_sees_its_own_group_at_the_root(proc: Path, tmp_path: Path) -> None:
    (proc / "self" / "cgroup").write_text("0::/not/visible/here\n")
    group(tmp_path / "cgroup", limit=str(110 * MIB), used=110)
    assert HostMemory(proc=proc, cgroups=tmp_path / "cgroup")() == pytest.approx(1.0)


def test_groups_of_version_1_are_read_too(proc: Path, tmp_path: Path) -> None:
    (proc / "self" / "cgroup").write_text("5:devices:/\n4:cpu,memory:/box\n0::/\n")
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    group(tmp_path / "cgroup" / "memory" / "box", limit=str(150 * MIB), used=100, names=names)
    group(tmp_path / "cgroup" / "memory", limit=str(2**63 - 4096), used=100, names=names)
    assert HostMemory(proc=proc, cgroups=tmp_path / "cgroup")() == pytest.approx(100 / 150)


def test_beyond_its_limit_everything_is_held(proc: Path, tmp_path: Path) -> None:
    (proc / "self" / "cgroup").write_text("0::/\n")
    group(tmp_path / "cgroup", limit=str(50 * MIB), used=120)
    assert HostMemory(proc=proc, cgroups=tmp_path / "cgroup")() == 1.0


def test_where_the_kernel_tells_nothing_nothing_is_claimed(tmp_path: Path) -> None:
    assert HostMemory(proc=tmp_path, cgroups=tmp_path)() == 0.0


def test_this_very_process_holds_something_and_not_everything() -> None:
    assert 0.0 < HostMemory()() < 1.0
