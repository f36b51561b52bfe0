"""Compare the renderer with a folder of reference data: `manifest.json`, pictures, and files of numbers.

A manifest with a list `frames` is of World Scenario maps, see `wsm_frames`. Sets of others are HD-map pictures,
`{clip, input, config, camera_type, files: {path: {frame, kind}}}`, LiDAR pictures, `lidar: {clip, input, config}` for
the folders `lidar_<camera type>`, or a file of numbers, `{file}`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.guards import read_json
from cosmos_exp.rendering.clips.resample import center_crop, resize
from cosmos_exp.rendering.clips.videos import ClipRenderer, VideoSettings
from cosmos_exp.scene.rds_hq.clip import CAMERA_TYPES, RdsHqClip
from cosmos_exp.scene.rds_hq.dataset_file import read_dataset
from cosmos_exp.scene.rds_hq.datasets import Dataset
from cosmos_exp.verify.check import Check, read_picture, value_of
from cosmos_exp.verify.condition_numbers import check_novel_pose, check_objects, check_projection
from cosmos_exp.verify.wsm_frames import verify_wsm

MOST_PIXELS = 20  # that may differ in one HD-map picture
MOST_LIDAR_PIXELS = 20  # by one grey level
MOST_FTHETA_LIDAR_PIXELS = 120  # by any: rounding decides the fit of the lens, and with it the pixel of a point
SAME = "0 differing pixels"
EXACT_SHARE = 0.5  # of a set's HD-map pictures


# Files of numbers, which count whether or not the manifest names them.
NUMBERS = {
    "projection.npz": check_projection,
    "objects_at_render_frames.json": check_objects,
    "novel_pose.npz": check_novel_pose,
}


def verify_render(folder: Path | str) -> Iterator[Check]:
    """Run every set in turn. A set that cannot be run is a failed check that says why.

    Raises UserError where the manifest is missing or is none.
    """
    folder = Path(folder)
    manifest = _manifest(folder)
    if isinstance(frames := manifest.get("frames"), list) and frames:
        yield from verify_wsm(folder, frames)
        return
    sets = manifest["sets"]
    described = {entry["file"] for entry in sets.values() if isinstance(entry, dict) and "file" in entry}
    beside = {Path(file).stem: {"file": file} for file in NUMBERS if file not in described}
    for name, entry in {**sets, **beside}.items():
        if name in beside and not (folder / entry["file"]).is_file():
            continue
        try:
            yield from _checker(folder, name, entry)(folder, name, entry, sets)
        except (UserError, OSError) as error:
            yield Check(name, "-", str(error), "can be run", False)
    for path in sorted(folder.glob("*.npz")):
        if path.name not in {*NUMBERS, *described}:
            yield Check(path.stem, path.name, "no check is known for this file", "a known file", False)


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    try:
        manifest = read_json("manifest", path)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"no {path}: give a folder of reference data") from None
    kinds = (("sets", dict), ("frames", list))
    if not isinstance(manifest, dict) or not any(
        isinstance(manifest.get(key), kind) and manifest[key] for key, kind in kinds
    ):
        raise UserError(f"{path} has no object 'sets' with at least one set, nor a list 'frames'")
    return manifest


def _checker(folder: Path, name: str, entry: Any) -> Callable[..., Iterator[Check]]:
    if isinstance(entry, dict) and "file" in entry:
        return _numbers
    if isinstance(entry, dict) and name.startswith("lidar"):
        return _lidar_set
    if isinstance(entry, dict) and "files" in entry:
        return _hdmap_set
    raise UserError(
        f"{folder / 'manifest.json'}: no check is known for set {name!r}: it has neither 'files' nor 'file', and its "
        "name does not start with lidar"
    )


def _numbers(folder: Path, name: str, entry: Mapping[str, Any], sets: Mapping[str, Any]) -> Iterator[Check]:
    check = NUMBERS.get(entry["file"])
    if check is None:
        raise UserError(f"no check is known for {entry['file']}: there are checks for {', '.join(NUMBERS)}")
    if not (folder / entry["file"]).is_file():
        raise UserError(f"no {folder / entry['file']}, which set {name!r} of the manifest names")
    yield from (Check(name, *values) for values in check(folder / entry["file"], _clip_of_numbers(folder, sets)))


def _hdmap_set(folder: Path, name: str, entry: Mapping[str, Any], sets: Mapping[str, Any]) -> Iterator[Check]:
    renderer = _renderer(folder, name, entry, value_of(entry, "camera_type", name))
    exact = []
    for file, about in value_of(entry, "files", name).items():
        try:
            check = _hdmap_picture(folder / name, name, file, about, renderer)
        except (UserError, OSError) as error:
            check = Check(name, file, str(error), "can be drawn", False)
        exact.append(check.found == SAME)
        yield check
    needed = max(1, int(np.ceil(EXACT_SHARE * len(exact))))
    yield Check(name, "exact pictures", f"{sum(exact)} of {len(exact)}", f"{needed} or more", sum(exact) >= needed)


def _hdmap_picture(folder: Path, name: str, file: str, about: Mapping[str, Any], renderer: ClipRenderer) -> Check:
    golden = read_picture(folder / file, about.get("sha256_rgb"))
    frame, camera = value_of(about, "frame", f"{name}: {file}"), file.partition("/")[0]
    available = renderer.clip.frames(camera)
    if frame not in available:
        raise UserError(f"frame {frame} is outside the clip's 0 to {available[-1]}")
    drawn = renderer.draw("hdmap", camera, frame, renderer.poses(camera, [frame])[frame])
    ours = _of_kind(drawn, about.get("kind"))
    return _compared(name, file, ours, golden, MOST_PIXELS)


def _of_kind(drawn: np.ndarray, kind: str | None) -> np.ndarray:
    """A picture of the drawing size, resized or cropped as `kind` says."""
    if kind is None:
        return drawn
    size = re.search(r"(\d+)x(\d+)", kind)
    fits = {"resize": resize, "crop": center_crop}
    chosen = [fit for word, fit in fits.items() if word in kind.lower()]
    if size is None or len(chosen) != 1:
        raise UserError(f"no check is known for pictures of kind {kind!r}: one resize or crop to WIDTHxHEIGHT")
    return chosen[0](drawn, int(size[1]), int(size[2]))


def _lidar_set(folder: Path, name: str, entry: Mapping[str, Any], sets: Mapping[str, Any]) -> Iterator[Check]:
    """Pictures of the folder `name`; of a set called just `lidar`, those of each folder `lidar_<camera type>`."""
    folders = [folder / name] if (folder / name).is_dir() else sorted(p for p in folder.glob(f"{name}_*") if p.is_dir())
    if not folders:
        raise UserError(f"set {name!r} has no pictures: neither {folder / name} nor {name}_<camera type> is there")
    for pictures in folders:
        camera_type = entry.get("camera_type") or pictures.name.rpartition("_")[2]
        if camera_type not in CAMERA_TYPES:
            raise UserError(unknown_name(f"camera type of {pictures}", camera_type, CAMERA_TYPES))
        files = sorted(str(path.relative_to(pictures)) for path in pictures.glob("*/*.png"))
        if not files:
            raise UserError(f"no pictures <camera>/<frame>.png in {pictures}")
        cameras = tuple(dict.fromkeys(file.partition("/")[0] for file in files))
        renderer = _renderer(folder, name, entry, camera_type, cameras=cameras, one_chunk=True)
        for file in files:
            try:
                yield _lidar_picture(pictures, file, renderer, camera_type)
            except (UserError, OSError) as error:
                yield Check(pictures.name, file, str(error), "can be drawn", False)


def _lidar_picture(folder: Path, file: str, renderer: ClipRenderer, camera_type: str) -> Check:
    golden = read_picture(folder / file, None)
    camera, stem = file.partition("/")[0], Path(file).stem
    if not stem.isdecimal():
        raise UserError(f"no check is known for a LiDAR picture called {stem!r}: its name is its frame number")
    frame = int(stem)
    drawn = renderer.draw("lidar", camera, frame, renderer.poses(camera, [frame])[frame])
    if camera_type == "ftheta":
        return _compared(folder.name, file, drawn, golden, MOST_FTHETA_LIDAR_PIXELS)
    return _compared(folder.name, file, drawn, golden, MOST_LIDAR_PIXELS, levels=1)


def _compared(
    name: str, file: str, ours: np.ndarray, golden: np.ndarray, most: int, levels: int | None = None
) -> Check:
    """levels: by how much a differing pixel may differ; None for any difference."""
    allowed = f"{most}" + ("" if levels is None else f", by {levels} level")
    if ours.shape != golden.shape:
        return Check(
            name, file, f"{ours.shape[1]}x{ours.shape[0]}, not {golden.shape[1]}x{golden.shape[0]}", allowed, False
        )
    difference = np.abs(ours.astype(np.int16) - golden).max(axis=2)
    count, largest = int(np.count_nonzero(difference)), int(difference.max())
    found = f"{count} differing pixels, by up to {largest}" if count else SAME
    return Check(name, file, found, allowed, count <= most and (levels is None or largest <= levels))


def _renderer(
    folder: Path,
    name: str,
    entry: Mapping[str, Any],
    camera_type: str,
    *,
    cameras: tuple[str, ...] | None = None,
    one_chunk: bool = False,
) -> ClipRenderer:
    """one_chunk: all frames of the clip are rendered, whatever the config says."""
    clip = RdsHqClip(folder / value_of(entry, "input", name), value_of(entry, "clip", name))
    dataset = read_dataset(folder / value_of(entry, "config", name).split()[0])
    if cameras:
        dataset = replace(dataset, cameras=cameras)
    if one_chunk:
        dataset = replace(dataset, inference=replace(dataset.inference, max_chunk=None))
    return ClipRenderer(clip, VideoSettings(dataset, camera_type, reference_compat=True))


def _clip_of_numbers(folder: Path, sets: Mapping[str, Any]) -> tuple[RdsHqClip, Dataset]:
    """Numbers are of the first clip in the manifest that lies in the folder itself, or else of the first clip."""
    entries = [e for e in sets.values() if isinstance(e, dict) and {"input", "clip", "config"} <= set(e)]
    if not entries:
        raise UserError("no set of the manifest names a clip with 'input', 'clip' and 'config'")
    here = [e for e in entries if (folder / e["input"]).resolve().is_relative_to(folder.resolve())]
    entry = (here or entries)[0]
    return RdsHqClip(folder / entry["input"], entry["clip"]), read_dataset(folder / entry["config"].split()[0])
