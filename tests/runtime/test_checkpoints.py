"""Checkpoints on disk: whole or not at all, the newest few, and what is not whole is never taken for one."""

import json

import pytest
import torch

from models.tensorfile import read_tensors
from runtime.checkpoints import KEEP, Checkpoint, drop_newer, newest_checkpoint, write_checkpoint


def checkpoint(next_frame=5, version=1, serial=1):
    """A small state with everything a state may hold."""
    return Checkpoint(
        next_frame,
        serial,
        events_bytes=100 * next_frame,
        state={
            "weights": {
                "number": version,
                "parent": version - 1,
                "frame_index": next_frame - 1,
                "tensors": {"head.weight": torch.full((3,), float(version)), "b": torch.ones(2, 2)},
            },
            "cycle": {"score": 0.5, "learner": {"average": {"head.weight": torch.arange(3.0)}}},
            "stream": {"num_before": next_frame, "faults": {}},
        },
    )


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run" / "checkpoints"


def test_what_is_written_is_read_back(folder) -> None:
    write_checkpoint(folder, checkpoint())
    found = newest_checkpoint(folder)
    assert found.passed_over == () and found.checkpoint is not None
    assert (found.checkpoint.next_frame, found.checkpoint.events_bytes, found.checkpoint.version) == (5, 500, 1)
    assert found.checkpoint.num_before == 5
    assert found.checkpoint.state["cycle"]["score"] == 0.5
    assert torch.equal(found.checkpoint.state["cycle"]["learner"]["average"]["head.weight"], torch.arange(3.0))
    assert torch.equal(found.checkpoint.weights["tensors"]["head.weight"], torch.ones(3))


def test_a_checkpoint_is_also_a_weight_file(folder) -> None:
    write_checkpoint(folder, checkpoint())
    (path,) = folder.glob("*.safetensors")
    tensors, metadata = read_tensors(path)
    assert {name for name in tensors if "/" not in name} == {"head.weight", "b"}
    assert torch.equal(tensors["head.weight"], torch.ones(3)) and metadata["version"] == "1"
    manifest = json.loads(path.with_suffix(".json").read_text())
    sha256 = manifest.pop("sha256")
    assert len(sha256) == 64
    assert manifest == {
        "schema": 2, "next_frame": 5, "serial": 1, "version": 1, "parent": 0, "frame": 4, "events_bytes": 500,
    }  # fmt: skip


def test_names_sort_by_frame_then_order_of_writing(folder) -> None:
    for next_frame, version, serial in ((9, 4, 9), (10, 5, 10), (10, 0, 11)):
        write_checkpoint(folder, checkpoint(next_frame, version, serial))
    found = newest_checkpoint(folder).checkpoint
    assert (found.next_frame, found.version) == (10, 0)


def test_only_the_newest_are_kept(folder) -> None:
    for next_frame in range(1, 8):
        write_checkpoint(folder, checkpoint(next_frame))
    kept = [checkpoint(next_frame).name for next_frame in range(8 - KEEP, 8)]
    assert names(folder) == [f"{name}.{suffix}" for name in kept for suffix in ("json", "safetensors")]


def test_what_a_killed_process_left_is_swept(folder) -> None:
    folder.mkdir(parents=True)
    (folder / ".frame-0000000001-000001.safetensors.abc.tmp").write_bytes(b"half")
    (folder / "frame-0000000002-000001.safetensors").write_bytes(b"without manifest")
    assert newest_checkpoint(folder).checkpoint is None
    write_checkpoint(folder, checkpoint())
    assert names(folder) == [f"{checkpoint().name}.{suffix}" for suffix in ("json", "safetensors")]


def test_no_folder_no_checkpoint(folder) -> None:
    found = newest_checkpoint(folder)
    assert found.checkpoint is None and found.passed_over == ()


def damage(path, how):
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how.startswith("cut"):
        path.write_bytes(content[: int(len(content) * float(how.split()[1]))])
    else:
        position = int(len(content) * float(how.split()[1])) - 1
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
@pytest.mark.parametrize("how", ["missing", "cut 0", "cut 0.1", "cut 0.5", "cut 0.9", "cut 0.98"])
def test_a_cut_or_missing_file_is_passed_over(folder, suffix, how) -> None:
    write_checkpoint(folder, checkpoint(5))
    write_checkpoint(folder, checkpoint(6))
    damage(folder / (checkpoint(6).name + suffix), how)
    found = newest_checkpoint(folder)
    assert found.checkpoint.next_frame == 5
    assert len(found.passed_over) == (0 if (suffix, how) == (".json", "missing") else 1)


def test_every_flipped_bit_of_the_manifest_is_noticed(folder) -> None:
    write_checkpoint(folder, checkpoint(5))
    path = folder / f"{checkpoint(5).name}.json"
    content = path.read_bytes()
    for position in range(len(content)):
        for bit in (0, 3, 5):
            changed = bytes([content[position] ^ (1 << bit)])
            path.write_bytes(content[:position] + changed + content[position + 1 :])
            found = newest_checkpoint(folder).checkpoint
            # White space may change and say the same.
            assert found is None or (found.next_frame, found.events_bytes, found.version) == (5, 500, 1)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
def test_a_flipped_bit_of_the_tensors_is_noticed(folder, share) -> None:
    write_checkpoint(folder, checkpoint(5))
    write_checkpoint(folder, checkpoint(6))
    damage(folder / f"{checkpoint(6).name}.safetensors", f"flip {share}")
    found = newest_checkpoint(folder)
    assert found.checkpoint.next_frame == 5 and "sha256" in found.passed_over[0]


def test_nothing_whole_is_nothing_with_reasons(folder) -> None:
    for next_frame in (5, 6):
        write_checkpoint(folder, checkpoint(next_frame))
        damage(folder / f"{checkpoint(next_frame).name}.safetensors", "cut 0.5")
    found = newest_checkpoint(folder)
    assert found.checkpoint is None and len(found.passed_over) == 2


def test_damaged_ones_do_not_outlive_the_sound_ones_written_after(folder) -> None:
    for next_frame in (5, 6, 7, 8):
        write_checkpoint(folder, checkpoint(next_frame))
    for next_frame in (7, 8):
        damage(folder / f"{checkpoint(next_frame).name}.safetensors", "cut 0.5")
    found = newest_checkpoint(folder)
    drop_newer(folder, found.checkpoint)
    write_checkpoint(folder, checkpoint(7, serial=2))
    assert newest_checkpoint(folder).checkpoint.name == checkpoint(7, serial=2).name
    assert not (folder / f"{checkpoint(8).name}.json").exists()


def test_a_disk_that_refuses_leaves_what_was_there(folder) -> None:
    write_checkpoint(folder, checkpoint(5))
    (folder / f"{checkpoint(6).name}.json").mkdir()  # a rename onto a folder fails, also for root
    with pytest.raises(OSError):
        write_checkpoint(folder, checkpoint(6))
    assert newest_checkpoint(folder).checkpoint.next_frame == 5
    assert not list(folder.glob(".*.tmp"))
