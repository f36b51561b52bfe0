"""Clips of the ClipGT format, from their tables: `<folder>/<clip id>.<table>.parquet`, one file per table.

World: right-handed, x forward, y left, z up, by convention from the ego's first pose.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.guards import FARTHEST, parse_json, read_json
from cosmos_exp.common.input_files import did_you_mean
from cosmos_exp.scene.clipgt.map import LAYERS, listed, read_attributes
from cosmos_exp.scene.clipgt.rig import camera_name, read_cameras
from cosmos_exp.scene.clipgt.tables import (
    APPEARANCE,
    ATTRIBUTES,
    COLUMNS,
    CUBOIDS,
    FARTHEST_TIME,
    NEEDED,
    Table,
    read_table,
)
from cosmos_exp.scene.map_layers import cuboid_corners
from cosmos_exp.scene.motion import BoxTrack, Motion, Size, poses, unit_quaternions
from cosmos_exp.scene.rds_hq.layers import Label
from cosmos_exp.scene.rds_hq.map import traffic_light
from cosmos_exp.scene.rds_hq.objects import Appearance, read_appearance
from cosmos_exp.scene.types import LightState
from cosmos_exp.sensors.camera import Camera

T = TypeVar("T")

FPS = 30  # of frames where no file gives their times
FRAME_TIMES = "camera_front_wide_120fov.json"
MOST_FRAMES = 200_000
BEYOND = 500_000  # microseconds that an object moves on before its first and after its last row
SKIPPED = "labelstore:"  # beginning of the ids of tracks that repeat others
SMALLEST_NORM = 1e-6  # of a quaternion
VERTICES = {  # the fewest of a row
    **{"road_boundary": 2, "wait_line": 2, "lane_line": 2, "lane": 2, "pole": 1},
    **{"crosswalk": 3, "road_marking": 3, "intersection_area": 3, "road_island": 3},
}
NOT_USED = ("intersection_area", "road_island")  # tables that are neither drawn nor part of a scene
USUAL_SIZES = {"traffic_light": (0.6, 0.6, 1.0), "traffic_sign": (0.8, 0.3, 0.8)}
POLE_HEIGHT = 3.0  # metres, of poles that are given by their base
LISTED = 8  # names in a message


def clip_ids(folder: Path | str) -> list[str]:
    """Names of the clips in a folder, sorted: those that have a table of calibrations or of ego poses."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"no such folder: {folder}{did_you_mean(folder)}")
    found = {path.name.removesuffix(f".{name}.parquet") for name in NEEDED for path in folder.glob(f"*.{name}.parquet")}
    if not found:
        needed = " and ".join(f"<clip>.{name}.parquet" for name in NEEDED)
        raise UserError(f"{folder} is no ClipGT clip: it has no {needed}")
    return sorted(found)


def clip_folders(root: Path) -> dict[str, Path]:
    """{clip: folder} of a folder and of those in it, sorted; empty where there is no clip."""
    folders = [root, *sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))]
    return {clip: path for path in folders if _has_tables(path) for clip in clip_ids(path)}


def find_clip(root: Path | str, name: str | None) -> ClipGt:
    """The clip of that name in a folder, or below it; None: the only one. UserError where there is none."""
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"no such folder: {root}{did_you_mean(root)}")
    found = clip_folders(root) or dict.fromkeys(clip_ids(root), root)
    if name is None and len(found) > 1:
        raise UserError(f"{root} holds {len(found)} clips: name one of {some_of(list(found))}")
    if name is not None and name not in found:
        raise UserError(unknown_name(f"clip in {root}", name, found))
    clip_id = name or next(iter(found))
    return ClipGt(found[clip_id], clip_id)


def _has_tables(folder: Path) -> bool:
    return any(True for name in NEEDED for _ in folder.glob(f"*.{name}.parquet"))


class Clip(ABC):
    """A clip, whose tables are asked for when they are first needed.

    tables: names of those that the clip has. notes: messages about tolerated defects; extended while the clip is read.
    UserError: for anything broken, where it is read.
    """

    def __init__(self, clip_id: str, tables: tuple[str, ...]):
        self.clip_id, self.tables = clip_id, tables
        self.notes: list[str] = []

    @abstractmethod
    def table(self, name: str) -> Table:
        """Of one of COLUMNS."""

    @property
    @abstractmethod
    def frame_times(self) -> np.ndarray:
        """int64 [F] microseconds."""

    @cached_property
    def cameras(self) -> dict[str, Camera]:
        """{name with underscores: camera at its calibrated size} of the f-theta cameras."""
        table = self.table("calibration_estimate")
        text = table.columns["rig_json"][0] if table.rows else None
        if text is None:
            raise UserError(f"{table.path}: the first row has no rig_json")
        cameras, notes = read_cameras(text, f"{table.path}: rig_json")
        for note in notes:
            self._note(note)
        return cameras

    def camera(self, name: str) -> Camera:
        """Of that name, with colons or underscores."""
        if camera_name(name) not in self.cameras:
            raise UserError(f"clip {self.clip_id}: {unknown_name('camera', name, self.cameras)}")
        return self.cameras[camera_name(name)]

    @cached_property
    def ego(self) -> Motion:
        """The rig (rear axle on the ground, FLU) in the world."""
        table = self.table("egomotion_estimate")
        if table.rows < 2:
            raise UserError(f"{table.path} has {table.rows} rows: an ego has two or more")
        back = np.flatnonzero(np.diff(table.times) <= 0)
        if len(back):
            row = int(back[0]) + 1
            raise UserError(
                f"{table.path}: row {row}: time {table.times[row]} is not after the {table.times[row - 1]} of the row "
                "before; the rows of an ego are in the order of time"
            )
        places, quaternions = table.columns["location"], table.columns["orientation"]
        broken = ~_within_bounds(places) | ~(np.linalg.norm(quaternions, axis=1) > SMALLEST_NORM)
        if broken.any():
            row = int(broken.argmax())
            raise UserError(
                f"{table.path}: row {row}: location {places[row].tolist()} and orientation {quaternions[row].tolist()} "
                f"must be finite numbers, within {FARTHEST:g} m and of a length above 0"
            )
        return Motion(table.times, poses(places, unit_quaternions(quaternions)))

    @cached_property
    def tracks(self) -> tuple[BoxTrack, ...]:
        """The objects, sorted by id as text: those of two rows or more.

        Rows with a quaternion of length 0 are left out, as are tracks with other numbers that are not finite, and
        tracks that repeat others (`labelstore:`).
        """
        if "obstacle" not in self.tables:
            return ()
        table = self.table("obstacle")
        ids, categories = table.columns["trackline_id"], table.columns["category"]
        rows: dict[str, list[int]] = {}
        for row in np.argsort(table.times, kind="stable").tolist():
            rows.setdefault(str(ids[row]), []).append(row)
        made, left_out = [], []
        for name in sorted(rows):
            if name.startswith(SKIPPED):
                continue
            track = _track(table, name, str(categories[rows[name][0]] or ""), np.array(rows[name]))
            made += [track] if track else []
            left_out += [] if track else [name]
        if left_out:
            self._note(f"obstacle: tracks with fewer than two usable rows left out: {some_of(left_out)}")
        return tuple(made)

    def appearances(self) -> dict[str, Appearance]:
        """{track: what our own clips tell of it beyond the format}."""
        if "obstacle" not in self.tables:
            return {}
        columns = self.table("obstacle").columns
        texts = {str(name): text for name, text in zip(columns["trackline_id"], columns[APPEARANCE])}
        found = {name: self._parsed("obstacle", text, read_appearance) for name, text in texts.items() if text}
        return {name: look for name, look in found.items() if look is not None}

    def labels(self) -> dict[str, list[Label]]:
        """{layer of RDS-HQ: its elements}, in the order of the rows. Those that cannot be drawn are left out."""
        return {layer: list(self._labels(table)) for layer, table in LAYERS.items() if table in self.tables}

    def lines(self, table: str) -> list[np.ndarray]:
        """Vertices [N,3] float64 of each row of a table with a column `location`; one vertex of a pole is its base.
        Rows of too few or not finite vertices are left out."""
        return [points for _, points in self._lines(table)]

    def lane_lines(self) -> list[tuple[np.ndarray, list[str], list[str]]]:
        """(vertices [N,3], colors, styles) of each row of lane_line; `path` where it has no `line_rail`."""
        return [(points, colors, styles) for _, points, colors, styles in self._lane_lines()]

    def lanes(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Left and right edge [N,3] of each row of lane."""
        return [(left, right) for _, left, right in self._lanes()]

    def cuboids(self, table: str) -> list[tuple[np.ndarray, Size]]:
        """(pose [4,4], (length, width, height)) of each traffic_light or traffic_sign; the usual size where any
        dimension is null."""
        return [(pose, size) for _, pose, size in self._cuboids(table)]

    def light_states(self) -> list[Callable[[int], LightState]]:
        """Of each light of `cuboids`: its state at a time, microseconds. OFF where the clip does not tell."""
        return [self._light_state(label) for label in self._labels("traffic_light")]

    def _light_state(self, label: Label) -> Callable[[int], LightState]:
        light = self._tolerated("traffic_light", lambda: traffic_light(label))
        if light is None or not light.states:
            return lambda time: LightState.OFF
        return lambda time: light.state_at((time + 0.5) / 1e6)  # times are rounded to whole microseconds

    def _labels(self, table: str) -> Iterator[Label]:
        attributes = self.table(table).columns[ATTRIBUTES] if table in self.tables else ()

        def of(row: int) -> tuple[dict[str, Any], ...]:
            text = attributes[row]
            return (self._parsed(table, text, read_attributes) or ()) if text else ()

        if table in CUBOIDS:
            yield from (Label((cuboid_corners(pose, size),), of(row)) for row, pose, size in self._cuboids(table))
        elif table == "lane":
            yield from (Label((left, right), of(row)) for row, left, right in self._lanes())
        elif table == "lane_line":
            for row, points, colors, styles in self._lane_lines():
                yield Label((points,), (*of(row), listed("colors", colors), listed("styles", styles)))
        else:
            upright = standing if table == "pole" else np.asarray
            yield from (Label((upright(points),), of(row)) for row, points in self._lines(table))

    def _lines(self, table: str) -> Iterator[tuple[int, np.ndarray]]:
        if table in self.tables:
            yield from self._usable(table, self.table(table).columns["location"])

    def _lane_lines(self) -> Iterator[tuple[int, np.ndarray, list[str], list[str]]]:
        if "lane_line" not in self.tables:
            return
        columns = self.table("lane_line").columns
        lines = [path if rail is None else rail for rail, path in zip(columns["line_rail"], columns["path"])]
        for row, points in self._usable("lane_line", lines):
            yield row, points, _words(columns["colors"][row]), _words(columns["styles"][row])

    def _lanes(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        if "lane" not in self.tables:
            return
        columns = self.table("lane").columns
        left, right = (dict(self._usable("lane", columns[side])) for side in ("left_rail", "right_rail"))
        yield from ((row, left[row], right[row]) for row in left if row in right)

    def _cuboids(self, table: str) -> Iterator[tuple[int, np.ndarray, Size]]:
        if table not in self.tables:
            return
        columns = self.table(table).columns
        centers, sizes, quaternions = columns["center"], columns["dimensions"], columns["orientation"]
        norms = np.linalg.norm(quaternions, axis=1)
        usable = _within_bounds(centers) & np.isfinite(norms) & (norms > SMALLEST_NORM)
        self._note_left_out(table, int((~usable).sum()), "without a finite center and orientation")
        made = poses(centers[usable], unit_quaternions(quaternions[usable]))
        usual = USUAL_SIZES[table]
        given = [(a, b, c) if np.isfinite((a, b, c)).all() else usual for a, b, c in sizes[usable].tolist()]
        yield from zip(np.flatnonzero(usable).tolist(), made, given)

    def _parsed(self, table: str, text: str, read: Callable[[Any, str], T]) -> T | None:
        """Of the JSON of an extension; None, with a note, where it is broken."""
        place = f"{table} of clip {self.clip_id}"
        return self._tolerated(table, lambda: read(parse_json(text, place), place))

    def _tolerated(self, table: str, make: Callable[[], T]) -> T | None:
        """None, with a note, where an extension has odd values."""
        try:
            return make()
        except (UserError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            self._note(f"{table}: odd values of our own columns are not used, such as: {error}")
            return None

    def _usable(self, table: str, rows: Iterable[np.ndarray | None]) -> Iterator[tuple[int, np.ndarray]]:
        """(row, vertices) of the rows that can be drawn."""
        short = broken = 0
        for row, points in enumerate(rows):
            if points is None or len(points) < VERTICES[table]:
                short += 1
            elif not _within_bounds(points).all():
                broken += 1
            else:
                yield row, points
        self._note_left_out(table, short, f"of fewer than {VERTICES[table]} vertices")
        self._note_left_out(table, broken, "with vertices that are not finite numbers")

    def _note_left_out(self, table: str, count: int, why: str) -> None:
        if count:
            self._note(f"{table}: {count} rows {why} left out")

    def _note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)


class ClipGt(Clip):
    """A clip in files. UserError: no such clip, or a table that every clip has is missing."""

    def __init__(self, folder: Path | str, clip_id: str | None = None):
        self.folder = Path(folder)
        ids = clip_ids(self.folder)
        if clip_id is None:
            if len(ids) > 1 and self.folder.name not in ids:
                raise UserError(f"{self.folder} holds {len(ids)} clips: name one of {some_of(ids)}")
            clip_id = self.folder.name if self.folder.name in ids else ids[0]
        elif clip_id not in ids:
            raise UserError(unknown_name(f"clip in {self.folder}", clip_id, ids))
        super().__init__(clip_id, tuple(name for name in COLUMNS if table_path(self.folder, clip_id, name).is_file()))
        for name in NEEDED:
            if name not in self.tables:
                raise UserError(f"no {self.path(name)}: a clip has at least the tables {' and '.join(NEEDED)}")
        if missing := [name for name in COLUMNS if name not in (*self.tables, *NOT_USED)]:
            self._note(f"no table {', '.join(missing)}: read as empty")

    @cached_property
    def frame_times(self) -> np.ndarray:
        """int64 [F] microseconds: those of `<clip>.camera_front_wide_120fov.json`, else 30 a second over the ego's
        time."""
        path = self.folder / f"{self.clip_id}.{FRAME_TIMES}"
        if path.is_file():
            return _listed_times(path)
        first, last = int(self.ego.times[0]), int(self.ego.times[-1])
        count = int((last - first) / 1e6 * FPS) + 1
        if count > MOST_FRAMES:
            raise UserError(
                f"{self.path('egomotion_estimate')} reaches over {(last - first) / 1e6:.3g} s, {count} frames: at "
                f"most {MOST_FRAMES} are made; times are microseconds"
            )
        return np.array([int(first + i / FPS * 1e6) for i in range(count)], np.int64)

    def table(self, name: str) -> Table:
        return read_table(self.path(name), name)

    def path(self, table: str) -> Path:
        return table_path(self.folder, self.clip_id, table)


def standing(points: np.ndarray) -> np.ndarray:
    """A pole [N,3]; one that is given by its base alone stands up."""
    return points if len(points) > 1 else np.stack([points[0], points[0] + (0.0, 0.0, POLE_HEIGHT)])


def table_path(folder: Path, clip_id: str, table: str) -> Path:
    return folder / f"{clip_id}.{table}.parquet"


def _track(table: Table, name: str, category: str, rows: np.ndarray) -> BoxTrack | None:
    """rows: in the order of time. None where fewer than two can be used."""
    norms = np.linalg.norm(table.columns["orientation"][rows], axis=1)
    rows = rows[~(norms <= SMALLEST_NORM)]
    places, sizes, quaternions = (table.columns[key][rows] for key in ("center", "size", "orientation"))
    finite = _within_bounds(places) & _within_bounds(sizes) & np.isfinite(quaternions).all(axis=1)
    if len(rows) < 2 or not finite.all():
        return None
    motion = Motion(table.times[rows], poses(places, unit_quaternions(quaternions)))
    return BoxTrack(name, category, motion, sizes, BEYOND)


def _listed_times(path: Path) -> np.ndarray:
    entries = read_json("frame times", path)
    if not isinstance(entries, list) or not entries or len(entries) > MOST_FRAMES:
        raise UserError(f"{path} is not a JSON list of 1 to {MOST_FRAMES} frames")
    times = [entry.get("timestamp") if isinstance(entry, dict) else None for entry in entries]
    wrong = next((i for i, time in enumerate(times) if type(time) is not int or abs(time) >= FARTHEST_TIME), None)
    if wrong is not None:
        raise UserError(f"{path}: frame {wrong} has no whole number of microseconds 'timestamp'")
    return np.array(times, np.int64)


def _within_bounds(values: np.ndarray) -> np.ndarray:
    """[N] bool: whether all numbers of each row are finite and no place on Earth is farther."""
    return (np.abs(values) <= FARTHEST).all(axis=1)


def _words(texts: list[str | None] | None) -> list[str]:
    return [text or "" for text in texts or ()]


def some_of(names: Sequence[str]) -> str:
    """The first few of the names, for a message."""
    return ", ".join(names[:LISTED]) + (f", ... ({len(names)} in all)" if len(names) > LISTED else "")
