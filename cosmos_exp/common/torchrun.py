"""Whether torchrun started this process, and which of how many it is."""

from __future__ import annotations

import os


def processes() -> int | None:
    """How many torchrun started; None where it did not start this one, or only this one."""
    size = int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1
    return size if size > 1 else None


def process_count(asked: int | None) -> int:
    """How many sample a clip together: those that torchrun started, else as many as asked for, else one."""
    return processes() or asked or 1


def rank() -> int:
    """Number of this process among them; 0 leads."""
    return int(os.environ["RANK"])
