"""Clips that World Scenario maps are drawn of: folders in the RDS-HQ or in the ClipGT format, behind one interface."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.input_files import did_you_mean
from cosmos_exp.rendering.wsm.colors import box_class, is_known
from cosmos_exp.rendering.wsm.drawing import Box
from cosmos_exp.rendering.wsm.elements import (
    RIGHT_DOWN_FORWARD,
    Elements,
    elements_of_clipgt,
    elements_of_rds_hq,
    frame_time,
    moved,
    rds_hq_tracks,
)
from cosmos_exp.scene.clipgt.clip import FPS, Clip, ClipGt, clip_folders
from cosmos_exp.scene.clipgt.rig import camera_name
from cosmos_exp.scene.clipgt.tables import NEEDED
from cosmos_exp.scene.map_layers import LAYER_SHAPES, cuboid_corners
from cosmos_exp.scene.motion import BoxTrack
from cosmos_exp.scene.rds_hq.clip import OBJECTS, RdsHqClip
from cosmos_exp.scene.rds_hq.clip import clip_ids as rds_hq_ids
from cosmos_exp.scene.rds_hq.rig import rig_trajectory
from cosmos_exp.sensors.ftheta import FTheta

REFERENCE_CAMERAS = (  # that the reference renders, whatever the rig holds
    "camera_front_wide_120fov",
    "camera_front_tele_30fov",
    "camera_cross_right_120fov",
    "camera_cross_left_120fov",
    "camera_rear_left_70fov",
    "camera_rear_right_70fov",
    "camera_rear_tele_30fov",
)
LISTED = 8  # names in a message
RDS_HQ_POSES = ("pose", "vehicle_pose")
RDS_HQ_LAYERS = (*(f"3d_{layer}" for layer in LAYER_SHAPES), "3d_lanes", OBJECTS, "ftheta_intrinsic")


class Source(Protocol):
    """One clip. elements, boxes and poses are in one world frame, poses [4,4] with OpenCV camera axes.

    fps: Hz of its frames. frame_times: int64 [F] microseconds. rig_poses: [N,4,4] of frames. native_model: of a
    camera at its calibrated size. notes: tolerated defects of the clip, extended while it is read.
    """

    clip_id: str
    reference_compat: bool

    @property
    def notes(self) -> list[str]: ...

    @property
    def fps(self) -> float: ...

    @property
    def cameras(self) -> tuple[str, ...]: ...

    @property
    def frame_times(self) -> np.ndarray: ...

    @property
    def tracks(self) -> tuple[BoxTrack, ...]: ...

    def frames(self, camera: str) -> range: ...

    def rig_poses(self, frames: Sequence[int]) -> np.ndarray: ...

    def elements(self) -> Elements: ...

    def boxes(self, frame: int) -> list[Box]: ...

    def native_model(self, camera: str) -> FTheta: ...

    def model(self, camera: str, size: tuple[int, int]) -> FTheta: ...

    def poses(self, camera: str, frames: Iterable[int]) -> Mapping[int, np.ndarray]: ...


def find_clips(root: Path) -> dict[str, Path]:
    """{clip: folder} below a folder: RDS-HQ clips, a ClipGT clip, or folders of ClipGT clips. UserError for none."""
    if not root.is_dir():
        raise UserError(f"no such folder: {root}{did_you_mean(root)}")
    if is_rds_hq(root):
        return dict.fromkeys(rds_hq_ids(root), root)
    found = clip_folders(root)
    if not found:
        raise UserError(
            f"{root} is neither a ClipGT clip (<clip>.{NEEDED[0]}.parquet, ...) or a folder of such, nor an RDS-HQ "
            f"folder ({' or '.join(RDS_HQ_POSES)}, and {RDS_HQ_LAYERS[0]}, ...)"
        )
    return found


def is_rds_hq(root: Path) -> bool:
    """By the reference's rule: poses and one other layer."""
    return any((root / name).is_dir() for name in RDS_HQ_POSES) and any(
        (root / name).is_dir() for name in RDS_HQ_LAYERS
    )


def open_source(
    folder: Path,
    clip_id: str,
    *,
    reference_compat: bool = False,
    tables: Iterable[str] | None = None,
    default_ftheta: Path | None = None,
) -> Source:
    """tables: of ClipGT, those that are read; None for all. default_ftheta: f-theta cameras of RDS-HQ clips without."""
    if is_rds_hq(folder):
        return RdsHqSource(RdsHqClip(folder, clip_id, default_ftheta=default_ftheta), reference_compat)
    return ClipGtSource(ClipGt(folder, clip_id), reference_compat, tables)


class ClipGtSource:
    """reference_compat: the world has the axes right, down, forward; cameras are squeezed by the reference's rule."""

    def __init__(self, clip: Clip, reference_compat: bool = False, tables: Iterable[str] | None = None):
        self.clip, self.reference_compat = clip, reference_compat
        self.clip_id = clip.clip_id
        self._tables = None if tables is None else set(tables)
        self._axes = RIGHT_DOWN_FORWARD if reference_compat else np.eye(4)

    @property
    def notes(self) -> list[str]:
        return [*self.clip.notes, *unknown_categories(self.__dict__.get("tracks", ()))]

    @property
    def fps(self) -> float:
        """By the median step of the frame times; the reference says 30 Hz of every clip."""
        times = self.clip.frame_times
        if self.reference_compat or len(times) < 2:
            return float(FPS)
        step = float(np.median(np.diff(times)))
        if step <= 0:
            raise UserError(f"clip {self.clip_id}: the times of its frames do not ascend")
        return max(round(1e6 / step, 1), 0.1)

    @property
    def frame_times(self) -> np.ndarray:
        return self.clip.frame_times

    @property
    def cameras(self) -> tuple[str, ...]:
        return tuple(self.clip.cameras)

    def rig_poses(self, frames: Sequence[int]) -> np.ndarray:
        return np.stack([self.clip.ego.at(int(self.clip.frame_times[frame])) for frame in frames])

    def frames(self, camera: str) -> range:
        return range(len(self.clip.frame_times))

    def elements(self) -> Elements:
        times = self.clip.frame_times
        time_of = None if self.reference_compat else lambda frame: int(times[frame])
        return elements_of_clipgt(self.clip, self._axes, self._tables, time_of)

    def boxes(self, frame: int) -> list[Box]:
        if self._tables is not None and "obstacle" not in self._tables:
            return []
        time = int(self.clip.frame_times[frame])
        return boxes_at(self.tracks, time, self._axes, reference_compat=self.reference_compat)

    @cached_property
    def tracks(self) -> tuple[BoxTrack, ...]:
        return self.clip.tracks

    def native_model(self, camera: str) -> FTheta:
        model = self.clip.camera(camera).model
        assert isinstance(model, FTheta)  # as are all that the reader makes
        return model

    def model(self, camera: str, size: tuple[int, int]) -> FTheta:
        return _at_size(self.native_model(camera), size, self.reference_compat)

    def poses(self, camera: str, frames: Iterable[int]) -> Mapping[int, np.ndarray]:
        mount = self.clip.camera(camera).camera_to_rig
        return {frame: self._axes @ self.clip.ego.at(int(self.clip.frame_times[frame])) @ mount for frame in frames}


class RdsHqSource:
    """reference_compat: a camera is mounted as in its first frame where the clip has vehicle poses, and at the rig's
    origin, with its axes, where it has no pose. Else it has its own pose of each frame."""

    def __init__(self, clip: RdsHqClip, reference_compat: bool = False):
        self.clip, self.reference_compat = clip, reference_compat
        self.clip_id = clip.clip_id
        self.fps = float(FPS)

    @property
    def notes(self) -> list[str]:
        return [*self.clip.notes, *unknown_categories(self.__dict__.get("tracks", ()))]

    @property
    def cameras(self) -> tuple[str, ...]:
        posed = self.clip.pose_cameras()
        return tuple(camera for camera in self.clip.cameras("ftheta") if camera in posed)

    @property
    def frame_times(self) -> np.ndarray:
        last = max((self.frames(camera)[-1] for camera in self.cameras), default=-1)
        return np.array([frame_time(frame) for frame in range(last + 1)], np.int64)

    def rig_poses(self, frames: Sequence[int]) -> np.ndarray:
        path = rig_trajectory(self.clip)
        return path.sample(np.array(frames) / FPS)

    def frames(self, camera: str) -> range:
        vehicle = self._vehicle_poses if self.reference_compat else {}
        return range(len(vehicle)) if vehicle else self.clip.frames(camera)

    def elements(self) -> Elements:
        return elements_of_rds_hq(self.clip)

    def boxes(self, frame: int) -> list[Box]:
        options = {"reference_compat": self.reference_compat, "any_case": False}
        return boxes_at(self.tracks, frame_time(frame), np.eye(4), **options)

    def native_model(self, camera: str) -> FTheta:
        model = self.clip.model("ftheta", camera)
        assert isinstance(model, FTheta)  # as the type asked for says
        return model

    def model(self, camera: str, size: tuple[int, int]) -> FTheta:
        return _at_size(self.native_model(camera), size, self.reference_compat)

    def poses(self, camera: str, frames: Iterable[int]) -> Mapping[int, np.ndarray]:
        vehicle = self._vehicle_poses if self.reference_compat else {}
        if not vehicle:
            return self.clip.camera_poses(camera, frames=frames)
        mount = self._first_mount(camera)
        return {frame: vehicle[frame] @ mount for frame in frames}

    def _first_mount(self, camera: str) -> np.ndarray:
        if camera not in self.clip.pose_cameras():
            return np.eye(4)
        return np.linalg.inv(self._vehicle_poses[0]) @ self.clip.camera_poses(camera, frames=[0])[0]

    @cached_property
    def _vehicle_poses(self) -> dict[int, np.ndarray]:
        return self.clip.vehicle_poses()

    @cached_property
    def tracks(self) -> tuple[BoxTrack, ...]:
        return rds_hq_tracks(self.clip.objects())


def boxes_at(
    tracks: Sequence[BoxTrack], time: int, axes: np.ndarray, *, reference_compat: bool, any_case: bool = True
) -> list[Box]:
    """The boxes of the tracks that exist at a time (microseconds). axes: [4,4], to the world they are drawn in."""
    made = []
    for track in tracks:
        if (box := track.at(time)) is not None:
            kind = box_class(track.category, reference_compat=reference_compat, any_case=any_case)
            made.append(Box(track.id, kind, moved(cuboid_corners(*box), axes)))
    return made


def chosen_cameras(source: Source, names: Sequence[str] | None) -> tuple[str, ...]:
    """The cameras of these names, with colons or underscores; None: all of the clip, or REFERENCE_CAMERAS.

    UserError for one that the clip does not have; with reference_compat it may lack poses.
    """
    available = source.cameras
    if names is None:
        names = REFERENCE_CAMERAS if source.reference_compat else available
    wanted = tuple(camera_name(name) for name in names)
    for name in wanted:
        if name in available or (source.reference_compat and _has_lens(source, name)):
            continue
        hint = "; without --reference-compat, all cameras of the clip are drawn" if source.reference_compat else ""
        raise UserError(f"clip {source.clip_id}: {unknown_name('camera', name, available)}{hint}")
    return wanted


def unknown_categories(tracks: Iterable[BoxTrack]) -> list[str]:
    """A sentence on those that have no class of their own, if there are any."""
    unknown = sorted({track.category for track in tracks if not is_known(track.category)})
    return [f"objects of other categories are drawn as Others: {', '.join(map(repr, unknown[:LISTED]))}"] * bool(
        unknown
    )


def _has_lens(source: Source, camera: str) -> bool:
    return isinstance(source, RdsHqSource) and camera in source.clip.cameras("ftheta")


def _at_size(model: FTheta, size: tuple[int, int], reference_compat: bool) -> FTheta:
    return model.squeezed(*size) if reference_compat else model.resized(*size)
