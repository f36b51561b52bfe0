"""Compare the cells of a sweep: one static HTML page, one picture, one video.

All are made from the run folders alone. The page needs no network and no other file than the videos beside it, which
it names by relative path, so it works from a disk and from a web server alike.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.files import write_atomic
from cosmos_exp.common.video import first_readable, frame_rate
from cosmos_exp.common.views import VIEWS, grid_rows
from cosmos_exp.metrics.info import METRIC_INFO, metric_info
from cosmos_exp.metrics.parts import CAMERAS, grouped_parts
from cosmos_exp.metrics.types import GROUPS
from cosmos_exp.runs.sweep_cells import Cell, axis_values, read_cells
from cosmos_exp.tracking.comparison.answer import CHOSEN, axis_labels, choices, not_measured
from cosmos_exp.tracking.comparison.settings import (
    OF_ALL_SEEDS,
    RELATIONS,
    SCENE_AXES,
    SEED_AXES,
    STYLE_KEPT,
    default_objective,
    first_columns,
)
from cosmos_exp.tracking.comparison.weights import acting, effective_weights

if TYPE_CHECKING:
    from cosmos_exp.tracking.comparison.contact_sheet import ContactSheet

PAGE = "compare.html"
PICTURE = "compare.png"
VIDEO = "compare.mp4"
TABLE = "compare.csv"
PARQUET = "compare.parquet"
PNG_LEVEL = 1  # of zlib: a quarter of the default's time for a sixth more bytes
TEMPLATE = Path(__file__).with_name("page")
SCRIPTS = (
    *("model", "stats", "answer", "marks", "controls", "table", "candidates", "parallel"),
    *("plots", "scatter", "heat", "overlays", "videos", "main"),
)


def write_page(folder: Path, cells: list[Cell] | None = None) -> Path:
    """Write `compare.html` into `folder`, over all run folders in and below it, and return its path.

    cells: as `read_cells` finds them there, where they have been read.
    """
    folder = Path(folder)
    data = page_data(folder, read_cells(folder) if cells is None else cells)
    page = folder / PAGE
    write_atomic(page, render_page(data).encode())
    return page


def render_page(data: dict[str, Any]) -> str:
    """The template with its style, its scripts and the data in it."""
    parts = {
        "/*STYLE*/": _template("page.css"),
        "/*SCRIPT*/": "".join(_template(f"{name}.js") for name in SCRIPTS),
        "/*DATA*/null": json.dumps(data, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c"),
    }
    page = _template("page.html")
    for mark, content in parts.items():
        page = page.replace(mark, content)
    return page


def _template(name: str) -> str:
    return (TEMPLATE / name).read_text(encoding="utf-8")


def page_data(folder: Path, cells: list[Cell]) -> dict[str, Any]:
    """What the page shows, as plain JSON values."""
    keys = dict.fromkeys(key for cell in cells for key in cell.metrics)
    names = sorted({key.partition("/")[0] for key in keys}, key=_place)
    effective = effective_weights(cells)
    shown = [_cell(folder, cell) for cell in cells]
    for label, values in effective.items():
        for index, value in values.items():
            shown[index]["axes"][label] = value
    return {
        "title": folder.resolve().name,
        "written": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "fps": _fps(cells),
        "axes": _axes(cells),
        "derived": [
            {"key": label, "label": label, "role": "factor", "values": sorted(set(values.values()))}
            for label, values in effective.items()
        ],
        "metrics": [_metric(name) for name in names],
        "notMeasured": not_measured(cells),
        "chosen": {"notes": choices(cells), "why": CHOSEN},
        "groups": GROUPS,
        "columns": first_columns(names),
        "parts": _parts(cells, keys),
        "objective": default_objective(names),
        "constraint": vars(STYLE_KEPT),
        "ofAllSeeds": OF_ALL_SEEDS,
        "relations": list(RELATIONS),
        "shows": list(dict.fromkeys(what for cell in cells for what in cell.videos)),
        "cells": shown,
    }


def _parts(cells: list[Cell], keys: Iterable[str]) -> list[dict[str, Any]]:
    """The parts that metrics are of, besides the whole clip: `{kind, parts: [{key, label}]}`."""
    views = list(dict.fromkeys(view for cell in cells for view in cell.views)) or VIEWS
    groups = grouped_parts((key.partition("/")[2] for key in keys if "/" in key), views)
    return [
        {"kind": kind, "parts": [{"key": part, "label": part if kind == CAMERAS else _words(part)} for part in parts]}
        for kind, parts in groups.items()
    ]


def _words(part: str) -> str:
    return part.replace("+", " + ") if "+" in part else part.replace("_", " ")


def _place(metric: str) -> tuple[int, int, str]:
    """Groups in their order, then metrics in that of METRIC_INFO."""
    group, order = metric_info(metric).group, list(METRIC_INFO)
    known = group in GROUPS
    return GROUPS.index(group) if known else len(GROUPS), order.index(metric) if metric in order else 0, metric


def _axes(cells: list[Cell]) -> list[dict[str, Any]]:
    """role: `scene` and `seed` repeat an experiment, so that intervals are taken over them; all else is a `factor`."""
    axes = axis_values(cells)
    labels = axis_labels(axes)
    roles = {**dict.fromkeys(SCENE_AXES, "scene"), **dict.fromkeys(SEED_AXES, "seed")}
    return [
        {"key": key, "label": labels[key], "role": roles.get(key, "factor"), "values": values}
        for key, values in axes.items()
    ]


def _fps(cells: list[Cell]) -> float:
    """Frame rate of the first video that can be read, Hz; 0 where there is none."""
    return first_readable(frame_rate, (path for cell in cells for path in cell.videos.values())) or 0.0


def _metric(name: str) -> dict[str, str]:
    info = metric_info(name)
    return {"key": name, **{key: getattr(info, key) for key in ("label", "direction", "unit", "group")}} | {
        "about": f"{info.description} (cosmos-exp explain {name})".strip()
    }


def _cell(folder: Path, cell: Cell) -> dict[str, Any]:
    def sources(paths: Mapping[str, Path]) -> dict[str, str]:
        return {what: quote(path.relative_to(folder).as_posix()) for what, path in paths.items()}

    used = list(dict.fromkeys(name for weights in cell.weights.values() for name in weights))
    shown = {name for name in cell.controls if not used or name in (*used, "hdmap")}
    return {
        "run": cell.run,
        "axes": dict(cell.axes),
        "acts": acting(cell),
        "style": cell.style,
        "state": cell.state,
        "clip": cell.clip,
        "prompt": cell.prompt,
        "error": cell.error,
        "metrics": _rounded(cell.metrics),
        "references": {key: _rounded(ends) for key, ends in cell.references.items()},
        "used": used,
        "videos": sources(cell.videos),
        "views": cell.views,
        "grid": grid_rows(cell.views),
        "controls": {name: sources(paths) for name, paths in cell.controls.items() if name in shown},
        "labels": sources(cell.labels),
        "choice": _choice(cell),
    }


def _choice(cell: Cell) -> dict[str, Any] | None:
    """favoured: metrics that are higher by the choice."""
    if cell.choice is None:
        return None
    record = cell.choice.record()
    candidates = [c | {"scores": _rounded(c["scores"])} for c in record["candidates"]]
    return {"favoured": record["favoured"], "winner": record["winner"], "why": record["why"], "candidates": candidates}


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    """Six digits, finite values alone: JSON has no other."""
    return {key: round(value, 6) for key, value in values.items() if math.isfinite(value)}


def write_grid_image(folder: Path, cells: list[Cell] | None = None, **choice: Any) -> Path:
    """Write `compare.png` into `folder`: the middle frame of every cell, laid out by the axes. Returns its path.

    cells: as of `write_page`. choice: see `chosen_cells` and `ContactSheet`. A cell without a video is an empty tile
    with its state.
    """
    picture = Path(folder) / PICTURE
    encoded = BytesIO()
    _sheet(folder, cells, **choice).picture().save(encoded, "PNG", compress_level=PNG_LEVEL)
    write_atomic(picture, encoded.getvalue())
    return picture


def write_grid_video(folder: Path, cells: list[Cell] | None = None, **choice: Any) -> Path:
    """Write `compare.mp4` into `folder`: all cells at once, laid out as in the picture, no larger than a slide.

    cells, choice: as of `write_grid_image`.
    """
    from cosmos_exp.tracking.comparison.contact_sheet import SLIDE

    video = Path(folder) / VIDEO
    _sheet(folder, cells, within=SLIDE, **choice).write_video(video)
    return video


def write_table(folder: Path, cells: list[Cell] | None = None) -> Path:
    """Write `compare.csv` into `folder`: a row per cell, with run, state, style, axes and metrics. Returns its path.

    cells: as of `write_page`.
    """
    rows = [cell.row() for cell in (read_cells(Path(folder)) if cells is None else cells)]
    text = StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)))
    writer.writeheader()
    writer.writerows(rows)
    table = Path(folder) / TABLE
    write_atomic(table, text.getvalue().encode())
    return table


def write_parquet(folder: Path, cells: list[Cell] | None = None) -> Path:
    """Write the same rows into `compare.parquet`, with types, and return its path.

    An axis with numbers and texts is text. cells: as of `write_page`. UserError where pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError("--parquet needs pyarrow: pip install 'cosmos-exp[frame]'; --csv needs nothing") from error
    rows = [cell.row() for cell in (read_cells(Path(folder)) if cells is None else cells)]
    columns = {}
    for name in dict.fromkeys(key for row in rows for key in row):
        values = [row.get(name) for row in rows]
        try:
            columns[name] = pyarrow.array(values)
        except pyarrow.ArrowException:
            columns[name] = pyarrow.array([None if value is None else str(value) for value in values])
    encoded = BytesIO()
    parquet.write_table(pyarrow.table(columns), encoded)
    table = Path(folder) / PARQUET
    write_atomic(table, encoded.getvalue())
    return table


def _sheet(folder: Path, cells: list[Cell] | None, *, where: Sequence[str] = (), **layout: Any) -> ContactSheet:
    from cosmos_exp.tracking.comparison.contact_sheet import ContactSheet

    return ContactSheet(chosen_cells(read_cells(Path(folder)) if cells is None else cells, where), **layout)


def chosen_cells(cells: list[Cell], where: Sequence[str]) -> list[Cell]:
    """The cells for which every AXIS=VALUE of `where` holds; several of one axis allow several values.

    UserError for an axis or a value that there is not.
    """
    axes = axis_values(cells)
    allowed: dict[str, list[str]] = {}
    for text in where:
        axis, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"{text!r} is not AXIS=VALUE; axes: {', '.join(axes)}")
        if axis not in axes:
            raise UserError(unknown_name("axis", axis, axes))
        if value not in map(str, axes[axis]):
            raise UserError(unknown_name(f"value of {axis}", value, map(str, axes[axis])))
        allowed.setdefault(axis, []).append(value)
    return [cell for cell in cells if all(str(cell.axes.get(axis)) in values for axis, values in allowed.items())]
