"""A clip of the ClipGT format: `<folder>/<clip id>.<table>.parquet`, one file per table.

World: right-handed, x forward, y left, z up, by convention from the ego's first pose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.guards import FARTHEST, read_json
from cosmos_exp.common.input_files import did_you_mean
from cosmos_exp.scene.clipgt.rig import camera_name, read_cameras
from cosmos_exp.scene.clipgt.tables import COLUMNS, NEEDED, Table, read_table
from cosmos_exp.scene.motion import BoxTrack, Motion, poses
from cosmos_exp.sensors.camera import Camera

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
USUAL_SIZES = {"traffic_light": (0.6, 0.6, 1.0), "traffic_sign": (0.8, 0.3, 0.8)}
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


class ClipGt:
    """Lazy reader of a clip: a table is read when it is first asked for.

    tables: names of the tables that the clip has. notes: messages about tolerated defects; extended while the clip is
    read. UserError: no such clip, or a table that every clip has is missing; and anything broken, where it is read.
    """

    def __init__(self, folder: Path | str, clip_id: str | None = None):
        self.folder = Path(folder)
        ids = clip_ids(self.folder)
        if clip_id is None:
            if len(ids) > 1 and self.folder.name not in ids:
                raise UserError(f"{self.folder} holds {len(ids)} clips: name one of {_listed(ids)}")
            clip_id = self.folder.name if self.folder.name in ids else ids[0]
        elif clip_id not in ids:
            raise UserError(unknown_name(f"clip in {self.folder}", clip_id, ids))
        self.clip_id = clip_id
        self.tables = tuple(name for name in COLUMNS if self._path(name).is_file())
        for name in NEEDED:
            if name not in self.tables:
                raise UserError(f"no {self._path(name)}: a clip has at least the tables {' and '.join(NEEDED)}")
        self.notes: list[str] = []
        if missing := [name for name in COLUMNS if name not in self.tables]:
            self._note(f"no table {', '.join(missing)}: read as empty")

    @cached_property
    def cameras(self) -> dict[str, Camera]:
        """{name with underscores: camera at its calibrated size} of the f-theta cameras."""
        table = self._table("calibration_estimate")
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
        table = self._table("egomotion_estimate")
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
        return Motion(table.times, poses(places, _unit(quaternions)))

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
                f"{self._path('egomotion_estimate')} reaches over {(last - first) / 1e6:.3g} s, {count} frames: at "
                f"most {MOST_FRAMES} are made; times are microseconds"
            )
        return np.array([int(first + i / FPS * 1e6) for i in range(count)], np.int64)

    @cached_property
    def tracks(self) -> tuple[BoxTrack, ...]:
        """The objects, sorted by id as text: those of two rows or more.

        Rows with a quaternion of length 0 are left out, as are tracks with other numbers that are not finite, and
        tracks that repeat others (`labelstore:`).
        """
        if "obstacle" not in self.tables:
            return ()
        table = self._table("obstacle")
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
            self._note(f"obstacle: tracks with fewer than two usable rows left out: {_listed(left_out)}")
        return tuple(made)

    def lines(self, table: str) -> list[np.ndarray]:
        """Vertices [N,3] float64 of each row of a table with a column `location`; one vertex of a pole is its base.
        Rows of too few or not finite vertices are left out."""
        if table not in self.tables:
            return []
        return [points for _, points in self._usable(table, self._table(table).columns["location"])]

    def lane_lines(self) -> list[tuple[np.ndarray, list[str], list[str]]]:
        """(vertices [N,3], colors, styles) of each row of lane_line; `path` where it has no `line_rail`."""
        if "lane_line" not in self.tables:
            return []
        columns = self._table("lane_line").columns
        lines = [path if rail is None else rail for rail, path in zip(columns["line_rail"], columns["path"])]
        return [
            (points, _words(columns["colors"][row]), _words(columns["styles"][row]))
            for row, points in self._usable("lane_line", lines)
        ]

    def lanes(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Left and right edge [N,3] of each row of lane."""
        if "lane" not in self.tables:
            return []
        columns = self._table("lane").columns
        left, right = (dict(self._usable("lane", columns[side])) for side in ("left_rail", "right_rail"))
        return [(left[row], right[row]) for row in left if row in right]

    def cuboids(self, table: str) -> list[tuple[np.ndarray, tuple[float, float, float]]]:
        """(pose [4,4], (length, width, height)) of each traffic_light or traffic_sign; the usual size where any
        dimension is null."""
        if table not in self.tables:
            return []
        columns = self._table(table).columns
        centers, sizes, quaternions = columns["center"], columns["dimensions"], columns["orientation"]
        norms = np.linalg.norm(quaternions, axis=1)
        usable = _within_bounds(centers) & np.isfinite(norms) & (norms > SMALLEST_NORM)
        self._note_left_out(table, int((~usable).sum()), "without a finite center and orientation")
        made = poses(centers[usable], _unit(quaternions[usable]))
        usual = USUAL_SIZES[table]
        given = [(a, b, c) if np.isfinite((a, b, c)).all() else usual for a, b, c in sizes[usable].tolist()]
        return list(zip(made, given))

    def _table(self, name: str) -> Table:
        return read_table(self._path(name), name)

    def _path(self, table: str) -> Path:
        return self.folder / f"{self.clip_id}.{table}.parquet"

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


def _track(table: Table, name: str, category: str, rows: np.ndarray) -> BoxTrack | None:
    """rows: in the order of time. None where fewer than two can be used."""
    norms = np.linalg.norm(table.columns["orientation"][rows], axis=1)
    rows = rows[~(norms <= SMALLEST_NORM)]
    places, sizes, quaternions = (table.columns[key][rows] for key in ("center", "size", "orientation"))
    finite = _within_bounds(places) & _within_bounds(sizes) & np.isfinite(quaternions).all(axis=1)
    if len(rows) < 2 or not finite.all():
        return None
    motion = Motion(table.times[rows], poses(places, _unit(quaternions)))
    return BoxTrack(name, category, motion, sizes, BEYOND)


def _listed_times(path: Path) -> np.ndarray:
    entries = read_json("frame times", path)
    if not isinstance(entries, list) or not entries or len(entries) > MOST_FRAMES:
        raise UserError(f"{path} is not a JSON list of 1 to {MOST_FRAMES} frames")
    times = [entry.get("timestamp") if isinstance(entry, dict) else None for entry in entries]
    wrong = next((i for i, time in enumerate(times) if type(time) is not int or abs(time) >= 2**62), None)
    if wrong is not None:
        raise UserError(f"{path}: frame {wrong} has no whole number of microseconds 'timestamp'")
    return np.array(times, np.int64)


def _within_bounds(values: np.ndarray) -> np.ndarray:
    """[N] bool: whether all numbers of each row are finite and no place on Earth is farther."""
    return (np.abs(values) <= FARTHEST).all(axis=1)


def _unit(quaternions: np.ndarray) -> np.ndarray:
    return quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)


def _words(texts: list[str | None] | None) -> list[str]:
    return [text or "" for text in texts or ()]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:LISTED]) + (f", ... ({len(names)} in all)" if len(names) > LISTED else "")
