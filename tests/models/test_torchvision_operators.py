"""timm can be imported beside a torchvision whose compiled library does not load."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.torchvision_operators import declare_missing_operators

BROKEN = """
import torch
@torch.library.register_fake("torchvision::nms")
def meta_nms(dets, scores, iou_threshold): ...
"""
SCRIPT = """
import models.torchvision_operators as operators
try:
    import torchvision
except RuntimeError as error:
    assert "torchvision::nms does not exist" in str(error), error
else:
    raise AssertionError("a torchvision without its library was imported")
operators.declare_missing_operators()
import torchvision
operators.declare_missing_operators()
"""


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    search = f"import sys; sys.path[:0] = [{str(folder)!r}, {str(Path(__file__).parents[2])!r}]\n"
    command = [sys.executable, "-W", "error", "-c", search + script]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


@pytest.mark.parametrize("has_library", [True, False])
def test_a_torchvision_whose_library_does_not_load_can_be_imported_after_the_declaration(tmp_path, has_library) -> None:
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(BROKEN)
    if has_library:
        (package / "_C.so").write_bytes(b"built for another torch")
    done = run(SCRIPT, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_declared_operator_has_no_kernel_or_is_torchvisions_own() -> None:
    declare_missing_operators()
    boxes, scores = torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1)
    try:
        kept = torch.ops.torchvision.nms(boxes, scores, 0.5)
    except NotImplementedError:
        return
    assert kept.tolist() == [0]


def test_names_of_the_zoo_are_known_without_importing_timm(tmp_path) -> None:
    heavy = "{'timm', 'torchvision', 'transformers'}"
    done = run(f"import sys, models.zoo, benchmarks.cli\nassert not {heavy} & set(sys.modules)", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
