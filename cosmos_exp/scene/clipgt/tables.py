"""The parquet tables of a ClipGT clip as NumPy arrays: which columns each has, of which types.

A table has a row per element: `key`, a struct called like the table, and `version`, which is not used. Metres,
microseconds, quaternions x, y, z, w.

The texts `attributes` of map elements and `appearance` of objects are extensions, which NVIDIA's loader does not read:
what a `Scene` has and the format has no column for, as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.guards import MEMORY, MIB
from cosmos_exp.scene.parquet_files import open_parquet, readable

if TYPE_CHECKING:
    import pyarrow

XYZ, XYZW = "xyz", "xyzw"
TIME = "timestamp_micros"
FARTHEST_TIME = 2**61  # microseconds: times of objects and frames may be subtracted from each other


@dataclass(frozen=True)
class Column:
    """kind: `points`, `xyz`, `xyzw`, `text` or `texts`. needed: False where a file may lack it."""

    kind: str
    needed: bool = True


ATTRIBUTES, APPEARANCE = "attributes", "appearance"

_OWN = {ATTRIBUTES: Column("text", False)}
_LINE = {"location": Column("points"), **_OWN}
_CUBOID = {"center": Column(XYZ), "dimensions": Column(XYZ, False), "orientation": Column(XYZW), **_OWN}
COLUMNS: dict[str, dict[str, Column]] = {
    "calibration_estimate": {"rig_json": Column("text")},
    "egomotion_estimate": {"location": Column(XYZ), "orientation": Column(XYZW)},
    "obstacle": {
        "trackline_id": Column("text"),
        "center": Column(XYZ),
        "size": Column(XYZ),
        "orientation": Column(XYZW),
        "category": Column("text", False),
        APPEARANCE: Column("text", False),
    },
    "lane_line": {
        "line_rail": Column("points", False),
        "path": Column("points", False),
        "colors": Column("texts", False),
        "styles": Column("texts", False),
        **_OWN,
    },
    "lane": {"left_rail": Column("points"), "right_rail": Column("points"), **_OWN},
    "road_boundary": _LINE,
    "wait_line": _LINE,
    "pole": _LINE,
    "crosswalk": _LINE,
    "road_marking": _LINE,
    "intersection_area": _LINE,
    "road_island": _LINE,
    "traffic_light": _CUBOID,
    "traffic_sign": _CUBOID,
}
TIMED = ("egomotion_estimate", "obstacle")
NEEDED = ("calibration_estimate", "egomotion_estimate")
CUBOIDS = ("traffic_light", "traffic_sign")


@dataclass(frozen=True)
class Table:
    """Rows of a table. path: its file. rows: how many.

    columns: {name: values}. `points`: per row [N,3] float64, or None; `xyz`, `xyzw`: [rows,3] and [rows,4] float64, nan
    for what is null; `text`: per row a str or None; `texts`: per row a list of them or None. A column that the file
    lacks is all null. times: int64 [rows] microseconds; empty where rows have none.
    """

    path: Path
    rows: int
    columns: Mapping[str, Any]
    times: np.ndarray


def read_table(path: Path, name: str) -> Table:
    """The table of that name. UserError for a file that is missing, damaged or too large, and for columns that are
    missing or of other types."""
    file = open_parquet(path, "clipgt")
    _check_size(file.metadata, path)
    columns = {column: column for column in file.schema_arrow.names}
    if name not in columns:
        raise UserError(f"{path}: {unknown_name('column', name, columns)}")
    timed = name in TIMED
    with readable(path):
        content = file.read(columns=[name, *(["key"] if timed else [])])
        rows = _struct(content[name], name, path)
        times = _times(_struct(content["key"], "key", path), path) if timed else np.zeros(0, np.int64)
        values = {key: _column(rows, name, key, column, path) for key, column in COLUMNS[name].items()}
    return Table(path, len(rows), values, times)


def _check_size(metadata: pyarrow.parquet.FileMetaData, path: Path) -> None:
    """A few compressed bytes may stand for any number of values."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    values = sum(group.column(i).num_values for group in groups for i in range(group.num_columns))
    size = max(8 * values, sum(group.total_byte_size for group in groups))
    if size > MEMORY:
        raise UserError(
            f"{path} would take {size // MIB} MiB of memory: at most {MEMORY // MIB} MiB are given to a file"
        )


def _struct(content: pyarrow.ChunkedArray, name: str, path: Path) -> pyarrow.StructArray:
    import pyarrow

    if not pyarrow.types.is_struct(content.type):
        raise _wrong_type(path, name, content.type, "a struct")
    return _whole(content)


def _whole(content: pyarrow.ChunkedArray) -> Any:
    import pyarrow

    return pyarrow.concat_arrays(content.chunks) if content.num_chunks else pyarrow.array([], content.type)


def _times(key: pyarrow.StructArray, path: Path) -> np.ndarray:
    import pyarrow

    times = _field(key, TIME)
    if times is None:
        raise UserError(f"{path}: {unknown_name('column', f'key.{TIME}', [f'key.{f.name}' for f in key.type])}")
    if not pyarrow.types.is_integer(times.type):
        raise _wrong_type(path, f"key.{TIME}", times.type, "whole microseconds")
    if times.null_count:
        raise UserError(f"{path}: row {_first(times.is_null())}: key.{TIME} is null")
    found = times.cast(pyarrow.int64()).to_numpy(zero_copy_only=False)
    far = (found <= -FARTHEST_TIME) | (found >= FARTHEST_TIME)
    if far.any():
        row = int(far.argmax())
        raise UserError(f"{path}: row {row}: key.{TIME} {found[row]} is no time: from -2^61 to 2^61")
    return found


def _column(rows: pyarrow.StructArray, table: str, key: str, column: Column, path: Path) -> Any:
    import pyarrow

    values = _field(rows, key)
    if values is None and column.needed:
        raise UserError(f"{path}: {unknown_name('column', f'{table}.{key}', [f'{table}.{f.name}' for f in rows.type])}")
    if values is None:
        values = pyarrow.nulls(len(rows))
    read = {"points": _points, "text": _texts, "texts": _text_lists}.get(column.kind)
    place = partial(_wrong_type, path, f"{table}.{key}", values.type)
    return read(values, place) if read else _numbers(values, column.kind, place)


def _field(rows: pyarrow.StructArray, name: str) -> Any:
    """The child, null where the row is; None where there is none."""
    index = rows.type.get_field_index(name)
    return None if index < 0 else rows.flatten()[index]


def _numbers(values: Any, axes: str, wrong: partial[UserError]) -> np.ndarray:
    """[N, len(axes)] float64."""
    import pyarrow

    if pyarrow.types.is_null(values.type):
        return np.full((len(values), len(axes)), np.nan)
    expected = f"a struct of the numbers {', '.join(axes)}"
    if not pyarrow.types.is_struct(values.type):
        raise wrong(expected)
    fields = [_field(values, axis) for axis in axes]
    if any(field is None or not _is_number(field.type) for field in fields):
        raise wrong(expected)
    return np.stack([f.cast(pyarrow.float64()).to_numpy(zero_copy_only=False) for f in fields], axis=1)


def _points(values: Any, wrong: partial[UserError]) -> list[np.ndarray | None]:
    import pyarrow

    if pyarrow.types.is_null(values.type):
        return [None] * len(values)
    if not _is_list(values.type):
        raise wrong("a list of points x, y, z")
    if pyarrow.types.is_null(values.type.value_type):  # all lists are empty
        return [np.zeros((0, 3)) if valid else None for valid in values.is_valid().to_pylist()]
    flat = _numbers(values.flatten(), XYZ, wrong)
    return [None if part is None else flat[part] for part in _slices(values)]


def _texts(values: Any, wrong: partial[UserError]) -> list[str | None]:
    """Whole numbers too, as the ids of tracks may be."""
    import pyarrow

    kind = values.type.value_type if pyarrow.types.is_dictionary(values.type) else values.type
    if pyarrow.types.is_null(kind):
        return [None] * len(values)
    if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind) or pyarrow.types.is_integer(kind)):
        raise wrong("text")
    return values.cast(pyarrow.large_string()).to_pylist()


def _text_lists(values: Any, wrong: partial[UserError]) -> list[list[str | None] | None]:
    import pyarrow

    if pyarrow.types.is_null(values.type):
        return [None] * len(values)
    if not _is_list(values.type):
        raise wrong("a list of texts")
    flat = _texts(values.flatten(), wrong)
    return [None if part is None else flat[part] for part in _slices(values)]


def _slices(values: Any) -> list[slice | None]:
    """Where each row's items are in `values.flatten()`, which leaves null rows out."""
    lengths = values.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    ends = np.cumsum(lengths).tolist()
    starts = [0, *ends[:-1]]
    return [slice(a, b) if valid else None for a, b, valid in zip(starts, ends, values.is_valid().to_pylist())]


def _is_number(kind: pyarrow.DataType) -> bool:
    import pyarrow

    return pyarrow.types.is_floating(kind) or pyarrow.types.is_integer(kind) or pyarrow.types.is_null(kind)


def _is_list(kind: pyarrow.DataType) -> bool:
    import pyarrow

    return pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind)


def _first(mask: Any) -> int:
    return int(np.flatnonzero(mask.to_numpy(zero_copy_only=False))[0])


def _wrong_type(path: Path, column: str, kind: pyarrow.DataType, expected: str) -> UserError:
    given = str(kind)
    return UserError(
        f"{path}: column {column} is {given if len(given) <= 200 else given[:200] + '...'}, not {expected}"
    )
