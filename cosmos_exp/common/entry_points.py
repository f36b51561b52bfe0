"""What other packages offer to this one: entry points, named without importing anything of theirs."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

MODELS = "cosmos_exp.models"
"""Group of the video models."""


@lru_cache
def model_entry_points() -> dict[str, EntryPoint]:
    """{name: entry point} of the video models of other packages."""
    if not _is_named_anywhere(f"[{MODELS}]".encode()):
        return {}
    from importlib.metadata import entry_points  # which takes as long to import as all of `cosmos-exp --help`

    return {point.name: point for point in entry_points(group=MODELS)}


def _is_named_anywhere(group: bytes) -> bool:
    """Whether an installed distribution names the group, or one lies where only importlib.metadata can look."""
    for place in dict.fromkeys(sys.path):
        if os.path.isfile(place):
            return True  # an archive
        with suppress(OSError), os.scandir(place or ".") as found:
            for entry in found:
                if entry.name.endswith(("-info", ".egg")):
                    with suppress(OSError), open(os.path.join(entry.path, "entry_points.txt"), "rb") as file:
                        if group in file.read():
                            return True
    return False
