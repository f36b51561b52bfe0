"""Seeds of single items."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

SEEDS = range(-(2**63), 2**63)
"""64 bits, signed."""


def seed_problems(key: str, seed: int) -> Iterator[str]:
    """A message where a seed of the config has more than 64 bits."""
    if seed not in SEEDS:
        nearest = min(max(SEEDS.start, seed), SEEDS.stop - 1)
        yield f"{key}={str(seed)[:40]}: must be {SEEDS.start} to {SEEDS.stop - 1}; nearest {nearest}"


def item_seed(seed: int, stage: str, item: str) -> int:
    """Seed (32 bits) of one item of one stage: neighbours in any of the three are unrelated."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{stage}/{item}".encode()).digest()[:4], "little")
