"""Writes a small ClipGT clip with pyarrow: rows as plain Python values, in the types of the format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

START = 1_000_000
POINT = {"x": 0.0, "y": 0.0, "z": 0.0}
LEVEL = {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}
TIMED = ("calibration_estimate", "egomotion_estimate", "obstacle")


def point(x: float, y: float, z: float) -> dict[str, float]:
    return {"x": float(x), "y": float(y), "z": float(z)}


def points(*places: tuple[float, float, float]) -> list[dict[str, float]]:
    return [point(*place) for place in places]


def sensor(name: str = "camera:front:wide:120fov", *, yaw: float = 0.0, **changes: Any) -> dict[str, Any]:
    """A camera 1.5 m above the ground with a lens of about 120 degrees."""
    properties = {"cx": "640", "cy": "360", "width": "1280", "height": "720"}
    properties |= {"polynomial": "0.0 0.0016 0.0 0.0 0.0", "polynomial-type": "pixeldistance-to-angle"} | changes
    return {
        "name": name,
        "properties": properties,
        "nominalSensor2Rig_FLU": {"t": [1.5, 0.0, 1.5], "roll-pitch-yaw": [0.0, 0.0, yaw]},
    }


def ego_rows(count: int = 4, speed: float = 10.0) -> list[dict[str, Any]]:
    """Along x, a row every tenth of a second."""
    return [
        {"time": START + 100_000 * i, "location": point(speed * i / 10, 0, 0), "orientation": LEVEL}
        for i in range(count)
    ]


def obstacle_rows(name: str, category: str | None, x: float, y: float, **changes: Any) -> list[dict[str, Any]]:
    """A standing box of 4 x 2 x 1.5 m on the ground, at the first and the last time."""
    box = {"trackline_id": name, "center": point(x, y, 0.75), "size": point(4, 2, 1.5), "orientation": LEVEL}
    return [{"time": START + time, **box, "category": category, **changes} for time in (0, 300_000)]


def write_clip(folder: Path, name: str = "clip", *, sensors: list[dict] | None = None, **tables: list[dict]) -> Path:
    """The folder. tables: rows by table; egomotion_estimate and calibration_estimate are there by default, and left out
    where their rows are None."""
    rig = json.dumps({"rig": {"sensors": [sensor()] if sensors is None else sensors}})
    usual = {"egomotion_estimate": ego_rows(), "calibration_estimate": [{"name": "car", "rig_json": rig}]}
    folder.mkdir(parents=True, exist_ok=True)
    for table, rows in {**usual, **tables}.items():
        if rows is not None:
            write_table(folder / f"{name}.{table}.parquet", table, rows)
    return folder


def write_table(path: Path, table: str, rows: list[dict[str, Any]]) -> None:
    """`time` of a row goes to its key, all else to the struct called like the table."""
    import pyarrow
    from pyarrow import parquet

    keys = [{"clip_id": "clip"} | ({"timestamp_micros": row.get("time", -1)} if table in TIMED else {}) for row in rows]
    contents = [{key: value for key, value in row.items() if key != "time"} for row in rows]
    columns = {"key": keys, table: contents, "version": [1] * len(rows)}
    parquet.write_table(pyarrow.table({name: pyarrow.array(values) for name, values in columns.items()}), path)
