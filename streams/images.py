"""Images in and out of bytes, resizing, and label maps in colour: what other packages need OpenCV for.

Images are uint8 RGB, labels uint8 class ids with 255 ignored. Knows no data set and no stream.
"""

# H height, W width, C channels (RGB), K classes

import re
import zlib
from pathlib import Path

import cv2
import numpy as np

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
_JPEG_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")  # without those that stand in coded data: restarts, stuffing


def decode_image(data: bytes) -> np.ndarray | None:
    """Encoded bytes to image_HWC uint8 RGB, grey and 16-bit ones converted; None where damaged or cut off."""
    image = _decode(data, cv2.IMREAD_COLOR)
    return None if image is None else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def decode_label(data: bytes) -> np.ndarray | None:
    """Encoded single-channel ids to label_HW uint8, values untouched. None where it is damaged or not of that kind."""
    label = _decode(data, cv2.IMREAD_UNCHANGED)
    return label if label is not None and label.ndim == 2 and label.dtype == np.uint8 else None


def read_image(path: Path) -> np.ndarray | None:
    """`decode_image` of a file; None also where it cannot be read."""
    data = _read(path)
    return None if data is None else decode_image(data)


def read_label(path: Path) -> np.ndarray | None:
    """`decode_label` of a file; None also where it cannot be read."""
    data = _read(path)
    return None if data is None else decode_label(data)


def resize_image(image_HWC: np.ndarray, size_HW: tuple[int, int]) -> np.ndarray:
    """To (H, W): area means when shrinking, linear otherwise. The very same array where the size already fits."""
    if image_HWC.shape[:2] == size_HW:
        return image_HWC
    shrinks = size_HW[0] <= image_HWC.shape[0] and size_HW[1] <= image_HWC.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image_HWC, size_HW[::-1], interpolation=interpolation))


def resize_label(label_HW: np.ndarray, size_HW: tuple[int, int]) -> np.ndarray:
    """To (H, W) by nearest neighbour between pixel centres: no id appears that was not there."""
    if label_HW.shape == size_HW:
        return label_HW
    return np.asarray(cv2.resize(label_HW, size_HW[::-1], interpolation=cv2.INTER_NEAREST_EXACT))


def rescale_image(image_HWC: np.ndarray, size_HW: tuple[int, int]) -> np.ndarray:
    """To (H, W) by linear interpolation of four neighbours, shrinking or not, as published training pipelines do."""
    return np.asarray(cv2.resize(image_HWC, size_HW[::-1], interpolation=cv2.INTER_LINEAR))


def rescale_label(label_HW: np.ndarray, size_HW: tuple[int, int]) -> np.ndarray:
    """To (H, W): pixel i takes that at floor(i * old / new), as published training pipelines do."""
    return np.asarray(cv2.resize(label_HW, size_HW[::-1], interpolation=cv2.INTER_NEAREST))


def rgb_to_hsv(image_HWC: np.ndarray) -> np.ndarray:
    """uint8 hue in steps of two degrees (0 to 179), saturation and value (0 to 255)."""
    return np.asarray(cv2.cvtColor(image_HWC, cv2.COLOR_RGB2HSV))


def hsv_to_rgb(hsv_HWC: np.ndarray) -> np.ndarray:
    """The way back from `rgb_to_hsv`."""
    return np.asarray(cv2.cvtColor(hsv_HWC, cv2.COLOR_HSV2RGB))


def encode_png(image: np.ndarray) -> bytes:
    """image_HWC uint8 RGB or label_HW uint8 to PNG bytes, lossless."""
    return _encode(image, ".png", [])


def encode_bitmap(image_HWC: np.ndarray) -> bytes:
    """uint8 RGB to BMP bytes: not compressed, so that reading costs as little as it can."""
    return _encode(image_HWC, ".bmp", [])


def encode_jpeg(image: np.ndarray, *, quality: int = 90) -> bytes:
    """image_HWC uint8 RGB to JPEG bytes; quality 0 to 100."""
    return _encode(image, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality])


def colorize(label_HW: np.ndarray, colors_K3: np.ndarray) -> np.ndarray:
    """Label ids to image_HWC uint8 by palette; ids outside the palette, 255 among them, are black."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(colors_K3)] = colors_K3
    return np.asarray(table[label_HW])


def overlay(image_HWC: np.ndarray, label_HW: np.ndarray, colors_K3: np.ndarray, *, opacity: float = 0.5) -> np.ndarray:
    """The image with label colours laid over it; ids outside the palette leave the image as it is."""
    blended = cv2.addWeighted(image_HWC, 1.0 - opacity, colorize(label_HW, colors_K3), opacity, 0.0)
    return np.where((label_HW < len(colors_K3))[..., None], blended, image_HWC)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _decode(data: bytes, flags: int) -> np.ndarray | None:
    if not _is_whole(data):
        return None
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # a header that promises more pixels than OpenCV allows
        return None
    return None if decoded is None else np.asarray(decoded)


def _is_whole(data: bytes) -> bool:
    """False for what decoders would show as a torn picture, or complain about on the terminal."""
    if data.startswith(_JPEG_START):
        return _is_whole_jpeg(data)
    if data.startswith(_PNG_SIGNATURE):
        return _is_whole_png(data)
    return bool(data)


def _is_whole_jpeg(data: bytes) -> bool:
    """Walks the segments (ITU-T T.81, annex B: marker, length, content) and the coded data of the scans between them.

    Thumbnails lie within segments and have ends of their own; what follows the end, such as a phone's film, may be
    anything.
    """
    start, has_scan = len(_JPEG_START), False
    while found := _JPEG_MARKER.search(data, start):
        if found.group() == _JPEG_END:
            return has_scan
        has_scan = has_scan or found.group() == _JPEG_SCAN
        start = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    return False


def _is_whole_png(data: bytes) -> bool:
    """Walks the chunks (PNG specification, section 5): length, type, data, CRC-32 of type and data."""
    start = len(_PNG_SIGNATURE)
    while start + 12 <= len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        checksum = int.from_bytes(data[end - 4 : end], "big")
        if end > len(data) or zlib.crc32(memoryview(data)[start + 4 : end - 4]) != checksum:
            return False
        if data[start + 4 : start + 8] == b"IEND":
            return True
        start = end
    return False


def _encode(image: np.ndarray, suffix: str, parameters: list[int]) -> bytes:
    is_image = image.ndim == 3 and image.shape[2] == 3
    if image.dtype != np.uint8 or not (is_image or image.ndim == 2):
        raise ValueError(f"image must be uint8 of shape (H, W, 3) or (H, W), got {image.dtype} {image.shape}")
    _, encoded = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if is_image else image, parameters)
    return bytes(encoded)
