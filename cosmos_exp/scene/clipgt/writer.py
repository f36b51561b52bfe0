"""Scene and Rig -> a folder of the ClipGT format that NVIDIA's loader takes."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.clipgt.clip import FRAME_TIMES, table_path
from cosmos_exp.scene.clipgt.scene_clip import SceneClip
from cosmos_exp.scene.clipgt.tables import COLUMNS, CUBOIDS, NEEDED, TIME, TIMED, XYZ, XYZW, Table
from cosmos_exp.scene.parquet_files import import_pyarrow
from cosmos_exp.scene.types import Scene
from cosmos_exp.sensors.camera import Rig

if TYPE_CHECKING:
    import pyarrow

SOURCE = "cosmos-exp"
VERSION = 1
TIMELESS = -1  # microseconds of a calibration
WITH_NAME = NEEDED  # tables with a column `name`
WITH_CATEGORY = {  # tables with a category that does not follow from the scene: its value
    "crosswalk": "PEDESTRIAN",
    "wait_line": "STOP",
    "road_boundary": "curb",
    "pole": "UNKNOWN",
    "road_marking": "UNKNOWN",
    **{table: table for table in CUBOIDS},
}


def write_clip(scene: Scene, rig: Rig, root: Path | str) -> SceneClip:
    """Write the scene as the rig sees it to `<root>/<clip>/<clip>.<table>.parquet`; returns what was written.

    Frames 30 times a second from scene.start to scene.end, in `<clip>.camera_front_wide_120fov.json`; poses at their
    own times. Tables without a row are not written. A clip of that name is replaced; its calibration, without which it
    is none, comes last. UserError as of `SceneClip`, and for a rig without cameras.
    """
    if not rig.cameras:
        raise UserError(f"rig {rig.name} has no cameras: a clip has one or more")
    clip = SceneClip(scene, rig.cameras)
    frames = [{"frame": number, "timestamp": time} for number, time in enumerate(clip.frame_times.tolist())]
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{clip.clip_id}.partial_", dir=root))
    try:
        for name in clip.tables:
            _write(table_path(partial, clip.clip_id, name), clip, name)
        (partial / f"{clip.clip_id}.{FRAME_TIMES}").write_text(json.dumps(frames))
        _replace(root / clip.clip_id, partial, clip.clip_id)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return clip


def _replace(folder: Path, partial: Path, clip_id: str) -> None:
    folder.mkdir(exist_ok=True)
    last = table_path(folder, clip_id, NEEDED[0]).name
    old = [folder / last, *(table_path(folder, clip_id, name) for name in COLUMNS), folder / f"{clip_id}.{FRAME_TIMES}"]
    for path in old:
        path.unlink(missing_ok=True)
    for path in sorted(partial.iterdir(), key=lambda path: path.name == last):
        os.replace(path, folder / path.name)


def _write(path: Path, clip: SceneClip, name: str) -> None:
    import_pyarrow(path.name, "clipgt")
    import pyarrow
    from pyarrow import parquet

    table = clip.table(name)
    columns = {"key": _keys(clip.clip_id, name, table), name: _contents(name, table)}
    columns["version"] = pyarrow.array(np.full(table.rows, VERSION, np.uint64))
    parquet.write_table(pyarrow.table(columns), path)


def _keys(clip_id: str, name: str, table: Table) -> pyarrow.Array:
    import pyarrow

    texts = ("label_class_id",) if name in (*TIMED, NEEDED[0]) else ("label_class_id", "map_id", "map_id_version")
    fields = {"clip_id": pyarrow.array([clip_id] * table.rows)}
    if name in TIMED:
        fields[TIME] = pyarrow.array(table.times)
    elif name == NEEDED[0]:
        fields[TIME] = pyarrow.array([TIMELESS] * table.rows, pyarrow.int64())
    fields |= {text: pyarrow.array([SOURCE] * table.rows) for text in texts}
    return pyarrow.StructArray.from_arrays(list(fields.values()), list(fields))


def _contents(name: str, table: Table) -> pyarrow.Array:
    import pyarrow

    fields = {key: _column(table.columns[key], column.kind) for key, column in COLUMNS[name].items()}
    if name in WITH_NAME:
        fields["name"] = pyarrow.array([SOURCE] * table.rows)
    if name in WITH_CATEGORY:
        fields["category"] = pyarrow.array([WITH_CATEGORY[name]] * table.rows)
    return pyarrow.StructArray.from_arrays(list(fields.values()), list(fields))


def _column(values: Any, kind: str) -> pyarrow.Array:
    import pyarrow

    if kind in (XYZ, XYZW):
        return _numbers(values, kind)
    if kind == "text":
        return pyarrow.array(values, pyarrow.string())
    if kind == "texts":
        return pyarrow.array(values, pyarrow.list_(pyarrow.string()))
    return _points(values)


def _numbers(values: np.ndarray, axes: str) -> pyarrow.StructArray:
    import pyarrow

    columns = [pyarrow.array(np.ascontiguousarray(values[:, i])) for i in range(len(axes))]
    return pyarrow.StructArray.from_arrays(columns, list(axes))


def _points(rows: Sequence[np.ndarray | None]) -> pyarrow.Array:
    """Lists of x, y, z; None is null."""
    import pyarrow

    ends = np.cumsum([0, *(0 if row is None else len(row) for row in rows)])
    flat = np.concatenate([np.zeros((0, 3)), *(row for row in rows if row is not None)])
    offsets = [None if row is None else int(start) for row, start in zip(rows, ends)]
    return pyarrow.ListArray.from_arrays(pyarrow.array([*offsets, int(ends[-1])], pyarrow.int32()), _numbers(flat, XYZ))
