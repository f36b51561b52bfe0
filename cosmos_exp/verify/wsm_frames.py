"""World Scenario maps against reference frames: a manifest with a list `frames`.

A frame: `{file, clip, clip_id, layers, camera, frame, timestamp_us, size, msaa, sha256_rgb}`; clip is a folder below
that of the manifest or below one of its parents, layers `all` or the ClipGT tables that were there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.guards import shortened
from cosmos_exp.rendering.wsm.sources import chosen_cameras, open_source
from cosmos_exp.rendering.wsm.videos import WsmRenderer
from cosmos_exp.verify.check import Check, read_picture, value_of

LEVELS = 8  # that a pixel may be off, in the channel that differs most
MOST_OFF = 0.2  # per cent of the pixels
MOST_OFF_FLAT = 0.02  # per cent of the pixels, of those around which the reference spans at most LEVELS
LEAST_PSNR = 45.0  # dB
ALLOWED = f"{MOST_OFF:g} % by > {LEVELS}, {MOST_OFF_FLAT:g} % off edges, {LEAST_PSNR:g} dB"


@dataclass(frozen=True)
class Difference:
    """off, off_flat: per cent of all pixels that differ by more than LEVELS, and of these the ones that are not at an
    edge of the reference. psnr: dB, infinite for equal pictures."""

    off: float
    off_flat: float
    psnr: float

    @classmethod
    def of(cls, ours: np.ndarray, golden: np.ndarray) -> Difference:
        """Of two uint8 [H,W,3]."""
        error = ours.astype(np.int16) - golden
        differs = np.abs(error).max(axis=2) > LEVELS
        window = np.ones((3, 3), np.uint8)
        span = cv2.dilate(golden, window).astype(np.int16) - cv2.erode(golden, window)
        squared = float(np.mean(np.square(error, dtype=np.float64)))
        psnr = 10 * np.log10(255.0**2 / squared) if squared else np.inf
        flat = differs & (span.max(axis=2) <= LEVELS)
        return cls(100 * float(differs.mean()), 100 * float(flat.mean()), float(psnr))

    @property
    def allowed(self) -> bool:
        return self.off <= MOST_OFF and self.off_flat <= MOST_OFF_FLAT and self.psnr >= LEAST_PSNR

    def __str__(self) -> str:
        return f"{self.off:.4f} % by > {LEVELS}, {self.off_flat:.4f} % off edges, {self.psnr:.1f} dB"


def verify_wsm(folder: Path, frames: list[Any]) -> Iterator[Check]:
    """A check per frame; one that cannot be drawn is a failed check that says why. frames: of the manifest."""
    renderers: dict[tuple, WsmRenderer] = {}
    for number, entry in enumerate(frames):
        name = entry.get("file") if isinstance(entry, dict) else None
        try:
            yield _check(folder, entry, f"frame {number}", renderers)
        except (UserError, OSError) as error:
            yield Check("wsm", str(name or number), str(error), "can be drawn", False)


def _check(folder: Path, entry: Any, place: str, renderers: dict[tuple, WsmRenderer]) -> Check:
    file, camera = value_of(entry, "file", place), value_of(entry, "camera", place)
    frame = value_of(entry, "frame", place)
    golden = read_picture(folder / file, entry.get("sha256_rgb"))
    renderer = _renderer(folder, entry, place, renderers)
    chosen_cameras(renderer.source, [camera])
    available = renderer.source.frames(camera)
    if frame not in available:
        raise UserError(f"frame {frame} is outside the clip's 0 to {available[-1]}")
    ((_, ours),) = renderer.images(camera, [frame])
    name = Path(file).parts[1] if len(Path(file).parts) > 2 else "wsm"
    if ours.shape != golden.shape:
        sizes = f"{ours.shape[1]}x{ours.shape[0]}, not {golden.shape[1]}x{golden.shape[0]}"
        return Check(name, file, sizes, ALLOWED, False)
    difference = Difference.of(ours, golden)
    return Check(name, "/".join(Path(file).parts[-2:]), str(difference), ALLOWED, difference.allowed)


def _renderer(folder: Path, entry: Mapping[str, Any], place: str, renderers: dict[tuple, WsmRenderer]) -> WsmRenderer:
    """In the reference's mode; the same for all frames of a clip with the same layers and the same size."""
    size, samples, layers = (value_of(entry, key, place) for key in ("size", "msaa", "layers"))
    if not (isinstance(size, list) and len(size) == 2 and all(isinstance(side, int) and side > 0 for side in size)):
        raise UserError(f"{place}: size is [width, height], not {shortened(size)}")
    if layers != "all" and not (isinstance(layers, list) and all(isinstance(layer, str) for layer in layers)):
        raise UserError(f"{place}: layers is 'all' or a list of tables, not {shortened(layers)}")
    clip, clip_id = _clip_folder(folder, value_of(entry, "clip", place)), value_of(entry, "clip_id", place)
    tables = None if layers == "all" else tuple(layers)
    key = (clip, clip_id, tables, *size, samples)
    if key not in renderers:
        source = open_source(clip, clip_id, reference_compat=True, tables=tables)
        renderers.clear()  # frames of one clip stand together
        renderers[key] = WsmRenderer(source, (size[0], size[1]), samples=samples)
    return renderers[key]


def _clip_folder(folder: Path, clip: str) -> Path:
    for parent in (folder, *folder.resolve().parents):
        if (parent / clip).is_dir():
            return parent / clip
    raise UserError(f"no folder {clip} in {folder} or in one of its parents")
