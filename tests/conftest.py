"""Fixtures for the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of reference data that is not part of the repository: $COSMOS_EXP_SHARED, else ../shared."""
    given = os.environ.get("COSMOS_EXP_SHARED")
    folder = Path(given) if given else Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip(f"reference data not found: set COSMOS_EXP_SHARED (looked at {folder})")
    return folder
