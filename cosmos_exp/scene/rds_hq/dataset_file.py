"""Dataset configs from JSON files in the format of NVIDIA's toolkit (upper-case keys)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cosmos_exp.common.errors import UserError, ValidationErrors, nearest_name, unknown_name
from cosmos_exp.common.guards import SIDE, read_json, shortened
from cosmos_exp.common.input_files import did_you_mean
from cosmos_exp.scene.rds_hq.datasets import BLOCKS, DATASETS, FITS, Block, Dataset
from cosmos_exp.scene.rds_hq.layers import FORMAT_LAYERS


def find_dataset(name_or_file: str | Path) -> Dataset:
    """A shipped dataset by name, or one from a JSON file."""
    text = str(name_or_file)
    if text in DATASETS:
        return DATASETS[text]
    if text.endswith(".json") or Path(text).is_file():
        return read_dataset(Path(text))
    raise UserError(f"{unknown_name('dataset', text, DATASETS)}, or a JSON file")


def read_dataset(path: Path) -> Dataset:
    """A dataset from a JSON file. ValidationErrors lists every key that is wrong."""
    try:
        document = read_json("dataset file", path)
    except FileNotFoundError:
        raise UserError(f"no such dataset file: {path}{did_you_mean(path)}") from None
    if not isinstance(document, dict):
        raise UserError(f"{path}: a dataset is a JSON object")
    return dataset_of(document, name=path.stem.removeprefix("dataset_"), place=str(path))


def dataset_of(document: Mapping[str, Any], *, name: str, place: str) -> Dataset:
    """A dataset from the toolkit's JSON. place: its name in messages."""
    errors: list[str] = []
    values = _checked(document, _DATASET_KEYS, place, errors)
    blocks = {
        key: _checked(values[key], _BLOCK_KEYS, f"{place}: {key}", errors)
        for key in BLOCKS
        if values.get(key) is not None
    }
    if not errors:
        for key, block in blocks.items():
            errors += [f"{place}: {key}: {problem}" for problem in _conflicts(values, block)]
    if errors:
        raise ValidationErrors(errors)
    return Dataset(
        name=name,
        cameras=tuple(values["CAMERAS"]),
        layers=tuple(values["MINIMAP_TYPES"]),
        inference=_block(blocks["NOT_POST_TRAINING"]),
        post_training=_block(blocks["POST_TRAINING"]) if "POST_TRAINING" in blocks else None,
        pose_fps=values["INPUT_POSE_FPS"],
        lidar_fps=values.get("INPUT_LIDAR_FPS", Dataset.lidar_fps),
        size=tuple(values["COSMOS_RESOLUTION"]),
        rds_hq_cameras=values.get("CAMERAS_TO_RDS_HQ", {}),
    )


def _block(values: Mapping[str, Any]) -> Block:
    return Block(
        resize=tuple(values["RESIZE_RESOLUTION"]),
        fit=values["TO_COSMOS_RESOLUTION"],
        chunk=values["TARGET_CHUNK_FRAME"],
        overlap=values["OVERLAP_FRAME"],
        fps=values["TARGET_RENDER_FPS"],
        max_chunk=values.get("MAX_CHUNK"),
    )


def _conflicts(values: Mapping[str, Any], block: Mapping[str, Any]) -> list[str]:
    """Inconsistencies between the keys of a block."""
    problems = []
    chunk, overlap = block["TARGET_CHUNK_FRAME"], block["OVERLAP_FRAME"]
    if overlap >= chunk:
        problems.append(f"OVERLAP_FRAME {overlap} must be below TARGET_CHUNK_FRAME {chunk}, nearest {chunk - 1}")
    fps, pose_fps = block["TARGET_RENDER_FPS"], values["INPUT_POSE_FPS"]
    if fps > pose_fps:
        problems.append(f"TARGET_RENDER_FPS {fps} is above INPUT_POSE_FPS {pose_fps}, nearest {pose_fps}")
    size, resize = values["COSMOS_RESOLUTION"], block["RESIZE_RESOLUTION"]
    if block["TO_COSMOS_RESOLUTION"] == "center-crop" and (resize[0] < size[0] or resize[1] < size[1]):
        problems.append(f"RESIZE_RESOLUTION {resize} is too small for a center-crop of COSMOS_RESOLUTION {size}")
    return problems


# A check returns what a value must be, or None where the value is valid.
Check = Callable[[Any], "str | None"]


def _checked(values: Any, keys: Mapping[str, tuple[Check, bool]], place: str, errors: list[str]) -> dict[str, Any]:
    """The valid values of known keys; appends a message for every other key and for missing required keys."""
    if not isinstance(values, Mapping):
        errors.append(f"{place} needs an object, not {shortened(values)}")
        return {}
    errors += [f"{place}: {unknown_name('key', key, keys)}" for key in values if key not in keys]
    errors += [f"{place}: key {key!r} is missing" for key, (_, needed) in keys.items() if needed and key not in values]
    good = {}
    for key, (check, _) in keys.items():
        if key not in values:
            continue
        problem = check(values[key])
        if problem:
            errors.append(f"{place}: {key} needs {problem}, not {shortened(values[key])}")
        else:
            good[key] = values[key]
    return good


def _whole(least: int, most: int = 1_000_000) -> Check:
    def check(value: Any) -> str | None:
        right = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return None if right else f"a whole number of {least} to {most}"

    return check


def _size(even: bool) -> Check:
    def check(value: Any) -> str | None:
        right = isinstance(value, list) and len(value) == 2 and not any(_whole(2, SIDE)(v) for v in value)
        if right and not (even and any(v % 2 for v in value)):
            return None
        return f"[width, height], {'even' if even else 'whole'} numbers of 2 to {SIDE}"

    return check


def _camera_names(value: Any) -> str | None:
    right = isinstance(value, list) and value and all(_is_camera(v) for v in value) and len(set(value)) == len(value)
    return None if right else "a list of different camera names in lower case"


def _is_camera(name: Any) -> bool:
    return isinstance(name, str) and bool(name) and name == name.lower() and not any(c in name for c in "/. ")


def _layer_names(value: Any) -> str | None:
    if not isinstance(value, list) or len(set(map(str, value))) != len(value):
        return "a list of different layer names"
    unknown = next((v for v in value if v not in FORMAT_LAYERS), None)
    if unknown is None:
        return None
    nearest = nearest_name(str(unknown), FORMAT_LAYERS)
    hint = f" (did you mean {nearest!r}?)" if nearest else ""
    return f"layers among {', '.join(FORMAT_LAYERS)}{hint}"


def _camera_table(value: Any) -> str | None:
    right = isinstance(value, dict) and all(_is_camera(name) for pair in value.items() for name in pair)
    return None if right else "an object of camera -> RDS-HQ camera"


def _fit(value: Any) -> str | None:
    return None if value in FITS else " or ".join(map(repr, FITS))


def _object(value: Any) -> str | None:
    return None if isinstance(value, dict) else "an object"


# Key -> its check and whether it must be there.
_DATASET_KEYS: dict[str, tuple[Check, bool]] = {
    "CAMERAS": (_camera_names, True),
    "MINIMAP_TYPES": (_layer_names, True),
    "CAMERAS_TO_RDS_HQ": (_camera_table, False),
    "INPUT_POSE_FPS": (_whole(1), True),
    "INPUT_LIDAR_FPS": (_whole(1), False),
    "GT_VIDEO_FPS": (_whole(1), False),  # of source videos, which are not read
    "COSMOS_RESOLUTION": (_size(even=True), True),
    "NOT_POST_TRAINING": (_object, True),
    "POST_TRAINING": (_object, False),
}
_BLOCK_KEYS: dict[str, tuple[Check, bool]] = {
    "RESIZE_RESOLUTION": (_size(even=False), True),
    "TO_COSMOS_RESOLUTION": (_fit, True),
    "TARGET_CHUNK_FRAME": (_whole(1), True),
    "OVERLAP_FRAME": (_whole(0), True),
    "TARGET_RENDER_FPS": (_whole(1), True),
    "MAX_CHUNK": (_whole(1), False),
}
