"""Seeds of single items."""

from __future__ import annotations

import hashlib


def item_seed(seed: int, stage: str, item: str) -> int:
    """Seed (32 bits) of one item of one stage: neighbours in any of the three are unrelated."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{stage}/{item}".encode()).digest()[:4], "little")
