"""Weight files of other programs are read without running anything, or refused in one line."""

import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch

from models.tensorfile import CheckpointInvalid
from models.weightfile import read_weights


class Calls:
    """Unpickled, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointInvalid) as caught:
        read_weights(path)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(str(path))
    return message


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_pickle_that_carries_code_is_refused_and_does_not_run(tmp_path, is_zip) -> None:
    path, made = tmp_path / "evil.pth", tmp_path / "made"
    content = {"weight": torch.zeros(2), "extra": Calls(made)}
    torch.save(content, path, _use_new_zipfile_serialization=is_zip)
    assert "a pickle that calls" in refusal(path)
    assert not made.exists()


def test_a_bare_pickle_is_refused(tmp_path) -> None:
    path, made = tmp_path / "evil.pkl", tmp_path / "made"
    path.write_bytes(pickle.dumps(Calls(made)))
    refusal(path)
    assert not made.exists()


def test_what_is_no_state_is_refused(tmp_path) -> None:
    path = tmp_path / "list.pth"
    torch.save([torch.zeros(1)], path)
    assert "holds a list" in refusal(path)
    torch.save({"epoch": 3}, path)
    assert "holds no tensors" in refusal(path)
    path.write_bytes(b"PK\x03\x04 cut")
    assert "not a complete file of torch.save" in refusal(path)
    path.write_bytes(b"text")
    assert "not a complete safetensors file" in refusal(path)
    assert "cannot be read" in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize("is_zip", [True, False])
def test_both_formats_of_torch_and_safetensors_are_read(tmp_path, is_zip) -> None:
    path = tmp_path / "plain.pth"
    torch.save({"state_dict": {"module.a.weight": torch.ones(2), "n": 3}}, path, _use_new_zipfile_serialization=is_zip)
    file = read_weights(path)
    assert torch.equal(file.networks[""]["a.weight"], torch.ones(2)) and file.others == ("n",)
    safetensors.torch.save_file({"model.a": torch.ones(1), "ema_model.module.a": torch.zeros(1)}, path)
    file = read_weights(path)
    assert {name: set(tensors) for name, tensors in file.networks.items()} == {"model": {"a"}, "ema_model": {"a"}}
