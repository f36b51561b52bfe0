"""Comparisons with reference data: their results, printed, and what the manifests have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.pictures import read_rgb


@dataclass(frozen=True)
class Check:
    """One comparison. found, allowed: as text."""

    set: str
    file: str
    found: str
    allowed: str
    passed: bool


def print_checks(checks: Iterator[Check]) -> bool:
    """Print a line per check and whether all passed, which is returned; none at all is a failure."""
    results = []
    for check in checks:
        verdict = "ok" if check.passed else "FAIL"
        print(f"{verdict:4}  {check.set:16} {check.file:44} {check.found} (allowed: {check.allowed})", flush=True)
        results.append(check.passed)
    print(f"{sum(results)} of {len(results)} checks passed")
    return bool(results) and all(results)


def value_of(entry: Mapping[str, Any], key: str, place: str) -> Any:
    if not isinstance(entry, dict) or key not in entry:
        raise UserError(f"set {place} of the manifest has no {key!r}")
    return entry[key]


def read_picture(path: Path, sha256: str | None) -> np.ndarray:
    """[H,W,3] RGB; checked against the hash of its RGB bytes where there is one."""
    rgb = np.ascontiguousarray(read_rgb(path))
    if sha256 is not None and hashlib.sha256(rgb.tobytes()).hexdigest() != sha256:
        raise UserError(f"{path} is not the picture that the manifest describes: its SHA-256 differs")
    return rgb
