"""Picture files and JPEG data as arrays: upright, whole, of bounded size; one message for each fault."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.video_decoding import MAX_PIXELS

FORMATS = ("PNG", "JPEG", "BMP", "WEBP")


def read_grey(path: Path | str, name: str = "") -> np.ndarray:
    """[H,W] uint8, or uint16 where the file has more than 8 bits of grey; colours by their luma of BT.601.

    name: in messages. Raises UserError where the file is missing, no picture, cut off, transparent anywhere or larger
    than MAX_PIXELS.
    """
    picture = _upright(path, name)
    if picture.mode.startswith("I;16"):
        return np.asarray(picture).astype(np.uint16)
    return np.asarray(picture.convert("RGB").convert("L"))


def read_rgb(source: Path | str | bytes, name: str = "") -> np.ndarray:
    """uint8 [H,W,3] RGB of a file or of its content. name, errors: see `read_grey`."""
    picture = _upright(source, name)
    return np.asarray(picture.convert("RGB"))


def _upright(source: Path | str | bytes, name: str) -> Image.Image:
    """Decoded, as its EXIF orientation says it is shown."""
    name = name or f"the picture {source!s}"
    if not isinstance(source, bytes) and not Path(source).is_file():
        raise UserError(f"no picture at {source}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # of sizes below those that Pillow refuses
            opened = io.BytesIO(source) if isinstance(source, bytes) else source
            picture: Image.Image = Image.open(opened, formats=FORMATS)
            _check_size(name, *picture.size)
            if picture.format in ("PNG", "WEBP") and getattr(picture, "is_animated", False):
                raise UserError(f"{name} is animated: give one picture, or a video")
            picture = ImageOps.exif_transpose(picture)
            transparent = picture.has_transparency_data and np.asarray(picture.convert("RGBA"))[..., 3].min() < 255
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError(f"{name} is too large, at most 8192x4352 pixels are read: scale it ({error})") from error
    except Exception as error:  # Pillow's readers raise errors of all kinds at damaged files
        reason = "" if isinstance(error, UnidentifiedImageError) else f" ({error})"
        kinds = ", ".join(FORMATS)
        raise UserError(f"{name} cannot be read as a picture: it is damaged, or none of {kinds}{reason}") from error
    if transparent:
        raise UserError(f"{name} has transparent pixels: put it on a background")
    return picture


def _check_size(name: str, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UserError(f"{name} has {width}x{height} pixels, at most 8192x4352 are read: scale it")
