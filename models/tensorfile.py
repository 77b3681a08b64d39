"""Named tensors on disk: one safetensors file, written whole or not at all, read whole or refused.

Nothing is unpickled. It does not know what the tensors mean; `models.checkpoint` does.

    write_tensors(path, {"weight": tensor}, metadata={"note": "..."})
    tensors, metadata = read_tensors(path)
"""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any  # JSON

import safetensors
import safetensors.torch
import torch
from torch import Tensor

HEADER_LENGTH_BYTES = 8
ALIGNMENT_BYTES = 8
CODES = {  # of the format, in the order in which a file holds its tensors
    torch.uint64: "U64",
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.uint32: "U32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint16: "U16",
    torch.int16: "I16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
PICKLES = (b"PK\x03\x04", b"\x80")  # torch.save since 1.6 (a zip), and before


class CheckpointInvalid(ValueError):
    """A weight file cannot be used. The message is one line: file, first fault, what was expected, what to do."""


@contextlib.contextmanager
def prefixing(words: str) -> Iterator[None]:
    """A CheckpointInvalid from within begins with `words`: what only its caller knows, as the option naming it."""
    try:
        yield
    except CheckpointInvalid as error:
        raise CheckpointInvalid(f"{words} {error}") from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor], *, metadata: Mapping[str, str]) -> None:
    """Write atomically (temporary file in the same directory, fsync, rename). OSError when the disk refuses."""
    write_atomically(path, to_bytes(tensors, metadata=metadata))


def to_bytes(tensors: Mapping[str, Tensor], *, metadata: Mapping[str, str]) -> bytes:
    """The contents of a safetensors file; tensors may share memory. Equal tensors and metadata give equal bytes.

    The library's own `save` makes a ctypes type for every size a tensor has, 5 KB that stay for good: a run that wrote
    checkpoints grew by 10 MB an hour (safetensors 0.8). It also draws the order of metadata by chance.
    """
    ranks = {dtype: rank for rank, dtype in enumerate(CODES)}
    names = sorted(tensors, key=lambda name: (ranks[tensors[name].dtype], name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    parts: list[memoryview] = []
    end = 0
    for name in names:
        tensor = tensors[name]
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": CODES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
        parts.append(raw(tensor))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT_BYTES)
    return b"".join((len(text).to_bytes(HEADER_LENGTH_BYTES, "little"), text, *parts))


def from_bytes(content: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors (own memory) and metadata of the contents of a file; ValueError where they are not whole."""
    try:
        tensors = safetensors.torch.load(content)
    except (safetensors.SafetensorError, KeyError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    length = int.from_bytes(content[:HEADER_LENGTH_BYTES], "little")
    header = json.loads(content[HEADER_LENGTH_BYTES : HEADER_LENGTH_BYTES + length])
    return tensors, dict(header.get("__metadata__", {}))


def write_atomically(path: Path, content: bytes) -> None:
    """`path` holds either its old content or all of the new, whatever happens in between."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_directory(path.parent)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors (CPU, own memory) and metadata of a file; CheckpointInvalid if it is missing, cut or something else."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointInvalid(
            f"{path}: cannot be read ({error.strerror}); give the path of a .safetensors file"
        ) from error
    try:
        return from_bytes(content)
    except ValueError as error:
        raise CheckpointInvalid(
            f"{path}: not a complete safetensors file ({error}); copy or download it again, or retrain it"
        ) from error


def is_pickle(path: Path) -> bool:
    """Whether a file begins as `torch.save` begins one (a safetensors header may by chance, but for its brace); False
    where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(HEADER_LENGTH_BYTES + 1)
    except OSError:
        return False
    return start.startswith(PICKLES) and start[HEADER_LENGTH_BYTES:] != b"{"


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """sha256 over name, type, shape and bytes of every tensor, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(raw(tensor))
    return digest.hexdigest()


def raw(tensor: Tensor) -> memoryview:
    """The values' bytes in C order; without a copy where they lie so already."""
    flat = tensor.detach().cpu().contiguous().flatten()
    if flat.stride() != (1,):  # a single value that was expanded is contiguous whatever its stride
        flat = flat.clone(memory_format=torch.contiguous_format)
    return flat.view(torch.uint8).numpy().data


def _sync_directory(directory: Path) -> None:
    """Make the rename itself durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
