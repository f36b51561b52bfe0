"""Sizes and ages as people write them: 20GB, 512MiB; 90s, 30m, 12h, 30d, 4w."""

from __future__ import annotations

import re

from cosmos_exp.common.errors import UserError, unknown_name

SIZES = {"B": 1, **{unit: 1000**n for n, unit in enumerate(("kB", "MB", "GB", "TB"), 1)}}
SIZES |= {unit: 1024**n for n, unit in enumerate(("KiB", "MiB", "GiB", "TiB"), 1)}
AGES = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def parse_size(option: str, text: str) -> int:
    """Bytes of `20GB`; the case of the unit does not count. option: named in the UserError."""
    return round(_parse(option, text, SIZES, "20GB"))


def parse_age(option: str, text: str) -> float:
    """Seconds of `30d`. option: named in the UserError."""
    return _parse(option, text, AGES, "30d")


def _parse(option: str, text: str, units: dict[str, int], example: str) -> float:
    match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([^\W\d_]*)\s*", text)
    if match is None:
        raise UserError(f"{option} {text!r}: give a number and a unit, such as {example}; units: {', '.join(units)}")
    number, given = match.groups()
    if not given:
        raise UserError(
            f"{option} {text!r} has no unit: did you mean '{number}{example[2:]}'? units: {', '.join(units)}"
        )
    by_lower_case = {unit.lower(): factor for unit, factor in units.items()}
    if given.lower() not in by_lower_case:
        raise UserError(f"{option} {text!r}: {unknown_name('unit', given, units)}")
    return float(number) * by_lower_case[given.lower()]


def size_text(count: float) -> str:
    """Three digits: 3.42 GB."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 999.5 or unit == "TB":
            break
        value /= 1000
    digits = 0 if unit == "B" or value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} {unit}"


def age_text(seconds: float) -> str:
    """In the largest unit of which there are two or more: 90 s, 45 min, 30 h, 12 d."""
    seconds = max(0.0, seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
