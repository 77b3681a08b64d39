"""Images in and out of bytes: what comes back is what went in, and damage is told from pictures."""

import cv2
import numpy as np
import pytest

from streams.images import (
    colorize,
    decode_image,
    decode_label,
    encode_jpeg,
    encode_png,
    overlay,
    read_image,
    resize_image,
    resize_label,
)

COLORS_K3 = np.array([[10, 20, 30], [200, 100, 50]], np.uint8)


def encode_progressive(image_HWC: np.ndarray) -> bytes:
    """JPEG of several scans, with restarts in them."""
    parameters = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 1]
    return bytes(cv2.imencode(".jpg", image_HWC[..., ::-1], parameters)[1])


def with_thumbnail(image_HWC: np.ndarray) -> bytes:
    """JPEG with a smaller one, whole, in its first segment, as cameras write it."""
    data, thumbnail = encode_jpeg(image_HWC), encode_jpeg(image_HWC[::4, ::4])
    return data[:2] + b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail + data[2:]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_png_returns_every_pixel_and_the_order_of_channels() -> None:
    image_HWC = noise(8, 9, 3)
    assert np.array_equal(decode_image(encode_png(image_HWC)), image_HWC)


def test_png_of_a_label_keeps_ids() -> None:
    label_HW = noise(8, 9)
    assert np.array_equal(decode_label(encode_png(label_HW)), label_HW)


def test_jpeg_is_the_same_picture_nearly() -> None:
    image_HWC = np.full((16, 16, 3), (200, 100, 20), np.uint8)
    decoded = decode_image(encode_jpeg(image_HWC, quality=95))
    assert decoded is not None
    assert np.abs(decoded.astype(int) - image_HWC).max() <= 4


@pytest.mark.parametrize("encode", [encode_png, encode_jpeg, encode_progressive, with_thumbnail])
@pytest.mark.parametrize("appended", [b"\xff\xda", b"\x00\x00\x00\x18ftypmp42\xff\xda\x00", b"\xff\xd8\xff\xd9"])
def test_what_follows_a_picture_in_its_file_does_not_matter(encode, appended) -> None:
    data = encode(noise(32, 32, 3))
    whole = decode_image(data)
    assert whole is not None and np.array_equal(decode_image(data + appended), whole)


@pytest.mark.parametrize("encode", [encode_png, encode_jpeg, encode_progressive, with_thumbnail])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_file_cut_short_is_no_picture(encode, share) -> None:
    data = encode(noise(32, 32, 3))
    assert decode_image(data[: int(len(data) * share)]) is None


def test_a_flipped_byte_in_a_png_is_no_picture() -> None:
    data = bytearray(encode_png(noise(32, 32, 3)))
    data[len(data) // 2] ^= 0xFF
    assert decode_image(bytes(data)) is None


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_none(data) -> None:
    assert decode_image(data) is None


def test_a_missing_file_is_none(tmp_path) -> None:
    assert read_image(tmp_path / "none.png") is None


def test_an_rgb_file_is_no_label() -> None:
    assert decode_label(encode_png(noise(4, 4, 3))) is None


def test_shrinking_takes_area_means() -> None:
    image_HWC = noise(8, 8, 3)
    means = image_HWC.reshape(4, 2, 4, 2, 3).mean(axis=(1, 3))
    assert np.abs(resize_image(image_HWC, (4, 4)) - means).max() <= 0.5


def test_labels_shrink_and_grow_without_new_ids() -> None:
    label_HW = np.array([[0, 13], [255, 7]], np.uint8)
    grown = resize_label(label_HW, (6, 6))
    assert np.array_equal(grown, np.kron(label_HW, np.ones((3, 3), np.uint8)))
    assert np.array_equal(resize_label(grown, (2, 2)), label_HW)


def test_colours_follow_the_palette_and_ignored_is_black() -> None:
    colored = colorize(np.array([[0, 1, 255]], np.uint8), COLORS_K3)
    assert colored.tolist() == [[[10, 20, 30], [200, 100, 50], [0, 0, 0]]]


def test_an_overlay_leaves_ignored_pixels_alone() -> None:
    image_HWC = np.full((1, 2, 3), 100, np.uint8)
    laid = overlay(image_HWC, np.array([[1, 255]], np.uint8), COLORS_K3, opacity=0.5)
    assert laid.tolist() == [[[150, 100, 75], [100, 100, 100]]]


def test_encoding_refuses_what_is_no_image() -> None:
    with pytest.raises(ValueError, match="uint8"):
        encode_png(np.zeros((4, 4, 3), np.float32))
