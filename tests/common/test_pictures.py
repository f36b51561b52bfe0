"""Pictures as cameras and editors save them, and files that are none."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.pictures import read_grey, read_rgb

RAMP = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)


def saved(path: Path, pixels: np.ndarray, **options) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("pixels", [RAMP, RAMP.astype(np.uint16) * 257, RAMP > 100])
def test_grey_of_every_depth(pixels: np.ndarray, tmp_path: Path) -> None:
    read = read_grey(saved(tmp_path / "grey.png", pixels))
    assert read.dtype == (np.uint16 if pixels.dtype == np.uint16 else np.uint8)
    np.testing.assert_array_equal(read, pixels * 255 if pixels.dtype == bool else pixels)


def test_colours_become_luma(tmp_path: Path) -> None:
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[:] = [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    path = saved(tmp_path / "rgb.png", pixels)
    np.testing.assert_array_equal(read_grey(path)[0], [76, 150, 29])
    np.testing.assert_array_equal(read_rgb(path), pixels)
    np.testing.assert_array_equal(read_rgb(path.read_bytes()), pixels)


def test_photos_are_turned_by_their_exif_orientation(tmp_path: Path) -> None:
    pixels = np.zeros((32, 48), np.uint8)
    pixels[:8, :8] = 255
    orientation = Image.Exif()
    orientation[0x0112] = 6  # shown turned right
    read = read_grey(saved(tmp_path / "photo.jpg", pixels, exif=orientation))
    assert read.shape == (48, 32)
    assert read[4, 28] > 240 and read[4, 4] < 10


def png(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def animated() -> bytes:
    buffer = io.BytesIO()
    first, second = Image.fromarray(RAMP), Image.fromarray(255 - RAMP)
    first.save(buffer, "PNG", save_all=True, append_images=[second])
    return buffer.getvalue()


def transparent() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.dstack([RAMP, RAMP])).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png(60000, 60000), "too large, at most 8192x4352"),
        (png(12000, 4000), "12000x4000 pixels, at most 8192x4352"),
        (png(64, 64), "cannot be read as a picture: it is damaged"),
        (b"nothing", "cannot be read as a picture: it is damaged, or none of PNG, JPEG"),
        (b"", "cannot be read as a picture"),
        (animated(), "animated"),
        (transparent(), "transparent pixels"),
    ],
)
def test_pictures_that_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    for source, name in ((path, r"picture\.png"), (content, "image 3 of the camera")):
        with pytest.raises(UserError, match=f"{name}.*{message}"):
            read_rgb(source, "" if source is path else name)


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_a_truncated_picture_is_an_error(kind: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    path = saved(tmp_path / f"cut.{kind}", noise)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match="truncated"):
        read_grey(path)


def test_a_missing_picture_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no picture at"):
        read_grey(tmp_path / "none.png")
