"""Seed diversity: how much the videos differ that differ in their noise alone.

Of each pair of seeds of one scene, setting and style, the mean absolute difference of the front videos in levels of
0..255, over all pixels and channels of the first, middle and last frame at WIDTH pixels. A cell's value is the mean
over its other seeds. The difference is proportional to the share of one video that is blended into the other, where
1 - SSIM is about its square, and it finds another scene to be further than a shift by 4 pixels, where 1 - SSIM does
not. It counts a change of exposure in full. The literature's LPIPS of pairs is on another scale.

Differences are kept in the sweep's folder, by the versions of the two files.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import file_version, write_json
from cosmos_exp.common.guards import read_json
from cosmos_exp.common.video import frames_at, video_shape
from cosmos_exp.runs.states import DONE
from cosmos_exp.runs.sweep_cells import SEED_AXIS, Cell

log = logging.getLogger(__name__)

KEY = "seed_diversity"
FILE = "seed_diversity.json"
WIDTH = 128


def join_seed_diversity(folder: Path, cells: list[Cell], *, measure: bool = True) -> list[Cell]:
    """Add KEY to the metrics of the cells of which there are several seeds, and return the cells.

    folder: that the cells were read from, where differences are kept. measure: False takes those that are kept alone.
    """
    kept = _read(folder / FILE)
    seen: dict[Path, np.ndarray] = {}
    differences: dict[str, float] = {}
    for group in _repeated(cells):
        found: dict[int, list[float]] = defaultdict(list)
        for (i, (a, video)), (j, (b, other)) in combinations(enumerate(group), 2):
            if a.axes[SEED_AXIS] == b.axes[SEED_AXIS]:
                continue
            name = f"{_identity(folder, video)} | {_identity(folder, other)}"
            value = kept.get(name)
            if value is None and measure:
                try:
                    value = difference(_frames(video, seen), _frames(other, seen))
                except UserError as error:
                    log.warning("no seed diversity: %s", error)
            if value is not None:
                differences[name] = value
                found[i].append(value)
                found[j].append(value)
        for i, values in found.items():
            group[i][0].metrics[KEY] = float(np.mean(values))
    if differences.keys() - kept.keys():
        write_json(folder / FILE, differences)
    return cells


def difference(a: np.ndarray, b: np.ndarray) -> float | None:
    """Mean absolute difference of two uint8 arrays, 0..255; None where their shapes differ."""
    return float(np.abs(a.astype(np.int16) - b).mean()) if a.shape == b.shape else None


def _repeated(cells: Iterable[Cell]) -> list[list[tuple[Cell, Path]]]:
    """With their front videos, the cells that are alike in all but the seed, where there are several."""
    groups: dict[str, list[tuple[Cell, Path]]] = defaultdict(list)
    for cell in cells:
        names = (*cell.views[:1], "single view")
        video = next((cell.videos[name] for name in names if name in cell.videos), None)
        if cell.state == DONE and SEED_AXIS in cell.axes and video:
            alike = {key: value for key, value in cell.axes.items() if key != SEED_AXIS}
            groups[repr((alike, cell.style, cell.clip))].append((cell, video))
    return [group for group in groups.values() if len(group) > 1]


def _identity(folder: Path, video: Path) -> str:
    return " ".join(map(str, (video.relative_to(folder).as_posix(), *file_version(video.stat()))))


def _frames(video: Path, seen: dict[Path, np.ndarray]) -> np.ndarray:
    """uint8 [3,h,WIDTH,3]: first, middle and last frame; kept in `seen`."""
    if video not in seen:
        frames, height, width = video_shape(video)
        size = WIDTH, max(1, round(WIDTH * height / width))
        seen[video] = frames_at(video, [0, frames // 2, frames - 1], size=size)
    return seen[video]


def _read(file: Path) -> dict[str, Any]:
    """Empty where there is none, or none that can be read: it is made again."""
    try:
        found = read_json("diversity of seeds", file)
    except (FileNotFoundError, UserError):
        return {}
    return found if isinstance(found, dict) else {}
