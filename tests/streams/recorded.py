"""Small recordings written to disk for tests: images, label maps, a CamVid folder, a video."""

from pathlib import Path

import cv2
import numpy as np

from streams.quiet import silence_decoders


def make_image(number: int, *, size_HW: tuple[int, int] = (24, 32)) -> np.ndarray:
    """An RGB image whose red is the number; flat, so that lossy coding keeps it."""
    image_HWC = np.full((*size_HW, 3), (0, 100, 200), np.uint8)
    image_HWC[..., 0] = number
    return image_HWC


def write_image(path: Path, image_HWC: np.ndarray) -> Path:
    """By suffix; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image_HWC[..., ::-1])
    return path


def write_label(path: Path, label_HW: np.ndarray) -> Path:
    """A single-channel PNG; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), label_HW)
    return path


def write_camvid(data: Path, *, split: str = "test_day", num: int = 4, size_HW: tuple[int, int] = (24, 32)) -> Path:
    """Frame i is the image i under the label id i, everywhere."""
    lines = []
    for number in range(num):
        write_image(data / split / f"{number:02}.png", make_image(number, size_HW=size_HW))
        write_label(data / f"{split}annot" / f"{number:02}.png", np.full(size_HW, number, np.uint8))
        lines.append(f"{split}/{number:02}.png {split}annot/{number:02}.png\n")
    (data / f"{split}.txt").write_text("".join(lines))
    return data


def write_video(path: Path, *, num: int = 12, fps: float = 10.0) -> Path:
    """A Motion JPEG file of 48x64 frames; the red of frame i is 20 i, up to 255."""
    silence_decoders()  # FFmpeg asks once how loud it may be, for writing too
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (64, 48))
    for number in range(num):
        writer.write(make_image(min(20 * number, 255), size_HW=(48, 64))[..., ::-1])
    writer.release()
    return path


def damage(path: Path) -> Path:
    """Cut the file in half, as a full disk does."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path
