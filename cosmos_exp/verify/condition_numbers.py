"""Projections, objects and novel poses against reference numbers; one (file, found, allowed, passed) per comparison."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.guards import MEMORY, npz_arrays, read_bytes, read_json
from cosmos_exp.rendering.clips.videos import scaled_model
from cosmos_exp.scene.edits.key_poses import ground_height, grounded, interpolate_key_poses
from cosmos_exp.scene.rds_hq.clip import RdsHqClip
from cosmos_exp.scene.rds_hq.datasets import Dataset
from cosmos_exp.scene.rds_hq.objects import at_frames, average_static_objects
from cosmos_exp.sensors.camera import CameraModel
from cosmos_exp.sensors.ftheta import FTheta

Comparison = tuple[str, str, str, bool]
Case = tuple[RdsHqClip, Dataset]

ALLOWED = 1e-6  # metres, radians, parts of the image's diagonal
ALLOWED_FTHETA = 5e-6  # the processor's rounding decides the lens's fit, see sensors/ftheta_fit.py
HEIGHT = re.compile(r"grounded_h(\d+)p(\d+)")


def check_projection(path: Path, case: Case) -> Iterator[Comparison]:
    """Keys `<camera type>.<camera>.<height>.rays/.pixels` and `.px/.px_rays`; derived numbers in the JSON beside it."""
    arrays, numbers = _arrays(path), _json(path.with_suffix(".json"))
    models = {key.rpartition(".")[0] for key in arrays}
    for key in sorted(models | set(numbers)):
        model = _model(key, path, case)
        if key in models:
            yield from _projected(key, model, arrays, path)
        if key in numbers:
            yield from _derived(key, model, numbers[key])
        else:
            yield key, f"no numbers in {path.with_suffix('.json').name}", "there", False


def _model(key: str, path: Path, case: Case) -> CameraModel:
    camera_type, _, rest = key.partition(".")
    camera, _, height = rest.rpartition(".")
    if not height.isdecimal():
        raise UserError(f"{path}: key {key!r} is not <camera type>.<camera>.<height>.<array>")
    clip, dataset = case
    model = clip.model(camera_type, camera)
    if int(height) == model.height:
        return model
    if int(height) != dataset.resize[1]:
        raise UserError(f"{path}: {key}: {height} is the height neither of the camera nor of the drawing size")
    return scaled_model(model, *dataset.resize)


def _projected(key: str, model: CameraModel, arrays: Mapping[str, np.ndarray], path: Path) -> Iterator[Comparison]:
    if {f"{key}.rays", f"{key}.pixels"} <= set(arrays):
        errors = model.project(arrays[f"{key}.rays"]) - arrays[f"{key}.pixels"]
        yield _largest(f"{key} pixels", errors / np.hypot(model.width, model.height), allowed_for(model))
    if {f"{key}.px", f"{key}.px_rays"} <= set(arrays):
        rays = model.unproject(arrays[f"{key}.px"])
        yield _largest(f"{key} rays", rays - arrays[f"{key}.px_rays"], allowed_for(model))
    known = {f"{key}.{kind}" for kind in ("rays", "pixels", "px", "px_rays")}
    for other in sorted(name for name in arrays if name.startswith(f"{key}.") and name not in known):
        yield other, "no check is known for this array", "a known array", False


def allowed_for(model: CameraModel) -> float:
    return ALLOWED_FTHETA if isinstance(model, FTheta) else ALLOWED


def _derived(key: str, model: CameraModel, golden: Mapping[str, Any]) -> Iterator[Comparison]:
    errors = _ftheta_errors(model, golden) if isinstance(model, FTheta) else _pinhole_errors(model, golden)
    values = np.concatenate([np.zeros(0), *(np.ravel(e) for e in errors.values())])
    yield _largest(f"{key} {len(errors)} numbers", values, allowed_for(model))
    for name in sorted(set(golden) - set(errors)):
        yield f"{key} {name}", "no check is known for this number", "a known number", False


def _ftheta_errors(model: FTheta, golden: Mapping[str, Any]) -> dict[str, Any]:
    """Of the numbers that are there: lengths as parts of the diagonal, radians; polynomials by their values."""
    diagonal = np.hypot(model.width, model.height)
    angle, radius = np.linspace(0, model.max_angle, 100), np.linspace(0, model.max_radius, 100)
    errors = {
        "width": lambda v: (model.width - v) / diagonal,
        "height": lambda v: (model.height - v) / diagonal,
        "center": lambda v: np.subtract(model.center, v) / diagonal,
        "linear_cde": lambda v: np.subtract(model.linear, v),
        "fw_poly": lambda v: _curve(model.fw_poly, v, angle) / diagonal,
        "bw_poly": lambda v: _curve(model.bw_poly, v, radius),
        "max_ray_angle": lambda v: model.max_angle - v,
        "max_ray_distortion": lambda v: np.subtract(model.beyond_max, v) / diagonal,
        "hfov_deg": lambda v: np.radians(_field_of_view(model, 0) - v),
        "vfov_deg": lambda v: np.radians(_field_of_view(model, 1) - v),
    }
    return {name: errors[name](value) for name, value in golden.items() if name in errors}


def _curve(poly: np.ndarray, golden: list[float], at: np.ndarray) -> np.ndarray:
    powers = at[:, None] ** np.arange(6)
    return powers @ poly - powers @ np.asarray(golden)


def _field_of_view(model: FTheta, axis: int) -> float:
    """Degrees between two opposite border pixels beside the principal point; axis 0: left, right, 1: top, bottom."""
    borders = np.tile(np.asarray(model.center), (2, 1))
    borders[:, axis] = 0, (model.width, model.height)[axis] - 1
    first, second = model.unproject(borders)
    return float(np.degrees(np.arccos(first @ second)))


def _pinhole_errors(model: CameraModel, golden: Mapping[str, Any]) -> dict[str, Any]:
    names = ("width", "height", "fx", "fy", "cx", "cy")
    return {name: (getattr(model, name) - golden[name]) / model.width for name in names if name in golden}


def check_objects(path: Path, case: Case) -> Iterator[Comparison]:
    """{frame: {id: {object_to_world, object_lwh}}} after steadying and interpolation."""
    golden = _json(path)
    if not golden:
        raise UserError(f"{path} holds no frames")
    frames = sorted(int(frame) for frame in golden)
    ours = at_frames(average_static_objects(case[0].objects()), frames, last_used=frames[-1])
    errors = []
    for name, objects in sorted(golden.items()):
        records = ours[int(name)]
        if set(records) != set(objects):
            wrong = ", ".join(sorted(set(records) ^ set(objects)))
            yield f"frame {name}", f"objects on one side only: {wrong}", "the same objects", False
        for tracking_id in set(records) & set(objects):
            record, expected = records[tracking_id], objects[tracking_id]
            errors += [*np.ravel(record.pose - expected["object_to_world"])]
            errors += [*np.subtract(record.size, expected["object_lwh"])]
    yield _largest(f"{len(frames)} frames", np.array(errors))


def check_novel_pose(path: Path, case: Case) -> Iterator[Comparison]:
    """Key poses made level (`grounded_keep_z`, or at 1.37 m: `grounded_h1p37`), and the splines through both."""
    arrays = _arrays(path)
    for needed in ("key_frames", "key_poses"):
        if needed not in arrays:
            raise UserError(f"{path} has no array {needed!r}")
    frames, keys = arrays.pop("key_frames"), arrays.pop("key_poses")
    lines = case[0].layers(["lanelines"])["lanelines"]
    for name, golden in arrays.items():
        if name == "ground_heights":
            ours = np.array([ground_height(pose, lines) for pose in keys])
        elif name == "grounded_keep_z":
            ours = np.stack([grounded(pose) for pose in keys])
        elif HEIGHT.fullmatch(name):
            ours = _at_height(name, keys)
        elif name == "poses_free":
            ours = interpolate_key_poses(frames, keys, len(golden))
        elif name == "poses_grounded" and (fixed := [n for n in arrays if HEIGHT.fullmatch(n)]):
            ours = interpolate_key_poses(frames, _at_height(fixed[0], keys), len(golden))
        else:
            yield name, "no check is known for this array", "a known array", False
            continue
        yield _largest(name, ours - golden)


def _at_height(name: str, keys: np.ndarray) -> np.ndarray:
    match = HEIGHT.fullmatch(name)
    assert match is not None
    return np.stack([grounded(pose, float(f"{match[1]}.{match[2]}")) for pose in keys])


def _largest(file: str, errors: np.ndarray, allowed: float = ALLOWED) -> Comparison:
    """A value that is not finite fails."""
    if not errors.size:
        return file, "nothing to compare", f"{allowed:g}", False
    largest = float(np.abs(errors).max())
    return file, f"error {largest:.1e}", f"{allowed:g}", largest <= allowed


def _arrays(path: Path) -> dict[str, np.ndarray]:
    return npz_arrays(read_bytes("golden arrays", path, MEMORY), str(path))


def _json(path: Path) -> dict[str, Any]:
    try:
        document = read_json("golden numbers", path)
    except FileNotFoundError:
        raise UserError(f"no {path}") from None
    if not isinstance(document, dict):
        raise UserError(f"{path} is not a JSON object")
    return document
