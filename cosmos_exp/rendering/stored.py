"""Renders in the stage cache."""

from __future__ import annotations

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.stored_arrays import load_arrays
from cosmos_exp.rendering.types import CameraRender


def load_render(entry: Entry, camera: str) -> CameraRender:
    """The outputs that were rendered; pages of a file, read when they are looked at."""
    arrays = load_arrays(entry)
    return CameraRender(camera=camera, times=arrays.pop("times"), **arrays)
