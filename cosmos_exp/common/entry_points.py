"""What other packages offer to this one: entry points, named without importing anything."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

MODELS = "cosmos_exp.models"
"""Group of the video models."""


@lru_cache
def model_entry_points() -> dict[str, EntryPoint]:
    """{name: entry point} of the video models of other packages."""
    return {point.name: point for point in entry_points(group=MODELS)}
