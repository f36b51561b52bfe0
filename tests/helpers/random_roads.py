"""Random OpenDRIVE roads that are hard to sample: records that nearly meet, steps, sections of a micrometre."""

from __future__ import annotations

import numpy as np

from helpers import opendrive_writer as o

TINY = (2e-6, 1e-5, 2e-4, 9e-4)  # metres a section is long
BESIDE = (0.0, 3e-8, -3e-8, 4e-7)  # metres between a section and the lane offset that belongs to it


def random_map(seed: int, roads: int = 6) -> str:
    rng = np.random.default_rng(seed)
    return o.opendrive(*(_road(rng, number) for number in range(1, roads + 1)))


def _road(rng: np.random.Generator, number: int) -> str:
    geometries, length = _reference_line(rng)
    starts = [0.0, *sorted(rng.uniform(1, length - 1, rng.integers(0, 4)))]
    starts = sorted([*starts, *(s + rng.choice(TINY) for s in starts if rng.random() < 0.4)])
    sections = "".join(
        o.section(s=s, left=_lanes(rng, 1)[::-1], right=_lanes(rng, -1), centre=o.mark("broken")) for s in starts
    )
    offsets = "".join(
        o.cubic("laneOffset", rng.choice([0, -3.5, -7, 2]), rng.normal(0, 0.02), rng.normal(0, 0.003), s=s + near)
        for s, near in ((s, rng.choice(BESIDE) if s else 0.0) for s in starts)
    )
    climbs = [0.0, *sorted(rng.uniform(1, length - 1, rng.integers(0, 4)))]
    elevation = "".join(
        o.cubic("elevation", rng.uniform(0, 5), rng.normal(0, 0.05), rng.normal(0, 0.003), s=s) for s in climbs
    )
    return o.road(number, length, geometries=geometries, sections=sections, offsets=offsets, elevation=elevation)


def _lanes(rng: np.random.Generator, sign: int) -> list[str]:
    lanes = []
    for number in range(1, rng.integers(2, 5)):
        width = o.cubic("width", 3.5, at="sOffset")
        for s in sorted(rng.uniform(0.5, 20, rng.integers(0, 3))):
            bend = abs(rng.normal(0, 0.004))
            width += o.cubic("width", rng.uniform(2, 5), rng.normal(0, 0.03), bend, s=s, at="sOffset")
        kind = str(rng.choice(["driving", "shoulder", "sidewalk"]))
        lanes.append(o.lane(sign * number, kind, width=width, marks=o.mark("solid")))
    return lanes


def _reference_line(rng: np.random.Generator) -> tuple[str, float]:
    """One to three geometries that continue each other, and their length together."""
    text, s = "", 0.0
    x, y, heading = *rng.uniform(-500, 500, 2), rng.uniform(-3, 3)
    for _ in range(rng.integers(1, 4)):
        shape, length, (u, v, turn) = _geometry(rng)
        text += o.geometry(shape, length, s=s, x=x, y=y, hdg=heading)
        c, sn = np.cos(heading), np.sin(heading)
        x, y, heading, s = x + c * u - sn * v, y + sn * u + c * v, heading + turn, s + length
    return text, s


def _geometry(rng: np.random.Generator) -> tuple[str, float, tuple[float, float, float]]:
    """A shape, its length, and where it ends: along, to the left, turned."""
    if rng.random() < 0.4:
        return _cubic_shape(rng.uniform(10, 40), *rng.uniform(-0.3, 0.3, 2))
    length = rng.uniform(8, 60)
    first, last = rng.choice([0.0, *rng.uniform(-0.03, 0.03, 2)], 2)
    s = np.linspace(0, length, 20_001)
    angle = first * s + (last - first) / (2 * length) * s**2
    shape = o.arc(first) if first == last else f'<spiral curvStart="{first}" curvEnd="{last}"/>'
    return (
        (o.LINE if first == last == 0 else shape),
        length,
        (_sum(np.cos(angle), s), _sum(np.sin(angle), s), angle[-1]),
    )


def _cubic_shape(size: float, stretch: float, turn: float) -> tuple[str, float, tuple[float, float, float]]:
    """A normalised paramPoly3 whose speed changes along it."""
    p = np.linspace(0, 1, 20_001)
    speed = np.hypot(size * (1 + 2 * stretch * p), size * 2 * turn * p)
    terms = f'aU="0" bU="{size}" cU="{size * stretch}" dU="0" aV="0" bV="0" cV="{size * turn}" dV="0"'
    end = size * (1 + stretch), size * turn, float(np.arctan2(2 * turn, 1 + 2 * stretch))
    return f'<paramPoly3 pRange="normalized" {terms}/>', _sum(speed, p), end


def _sum(values: np.ndarray, at: np.ndarray) -> float:
    return float(((values[1:] + values[:-1]) / 2 * np.diff(at)).sum())
