"""A clip of the RDS-HQ format: `<root>/<folder>/<clip id>.tar`, one tar per folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from cosmos_exp.common.errors import UserError, nearest_name, unknown_name
from cosmos_exp.common.guards import CAPTION_BYTES, FARTHEST, npy_array, npz_arrays, parse_json, read_bytes, shortened
from cosmos_exp.common.input_files import did_you_mean
from cosmos_exp.scene.map_layers import LAYER_SHAPES, MapLayers
from cosmos_exp.scene.rds_hq.intrinsics import CAMERA_TYPES, camera_model
from cosmos_exp.scene.rds_hq.layers import FORMAT_LAYERS, Label, check_layer, read_labels
from cosmos_exp.scene.rds_hq.objects import Objects, read_record
from cosmos_exp.scene.rds_hq.poses import check_poses
from cosmos_exp.scene.rds_hq.tars import SampleTar
from cosmos_exp.sensors.ftheta import FTheta
from cosmos_exp.sensors.pinhole import Pinhole

FPS = 30  # of poses; the frame numbers of all folders count in it
OBJECTS = "all_object_info"
LISTED = 8  # names in a message
FRAME_DIGITS = 6


def clip_ids(root: Path | str, folder: str = "pose") -> list[str]:
    """Names of the clips below root, sorted: those that have a tar of camera poses."""
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"no such folder: {root}{did_you_mean(root)}")
    if not (root / folder).is_dir():
        below = sorted(p.parent for p in root.glob(f"*/{folder}") if p.is_dir())
        hint = f"; did you mean {below[0]}?" if below else ""
        raise UserError(f"{root} is no RDS-HQ folder: it has no folder {folder!r}{hint}")
    ids = sorted(path.stem for path in (root / folder).glob("*.tar"))
    if not ids:
        raise UserError(f"no clips in {root}: {root / folder} holds no tar")
    return ids


def find_clip(root: Path | str, clip_id: str | None = None) -> RdsHqClip:
    """The clip of that name below root; None takes the only one there is."""
    if clip_id is None:
        ids = clip_ids(root)
        if len(ids) > 1:
            raise UserError(f"{root} holds {len(ids)} clips: name one of {_listed(ids)}")
        clip_id = ids[0]
    return RdsHqClip(root, clip_id)


class RdsHqClip:
    """Lazy reader of a clip: each tar is indexed once, members are read on request.

    missing: the folders of the HD map that the clip lacks (`3d_<layer>`, `all_object_info`); these read as empty.
    notes: messages about tolerated defects; extended while the clip is read.
    default_ftheta: an `ftheta_intrinsic` tar of any clip, used for clips that have none.
    UserError: no such clip, and anything broken inside, where it is read.
    """

    def __init__(self, root: Path | str, clip_id: str, *, default_ftheta: Path | str | None = None):
        self.root, self.clip_id = Path(root), clip_id
        self.default_ftheta = Path(default_ftheta) if default_ftheta else None
        self._tars: dict[Path, SampleTar] = {}
        self._keys: dict[str, dict[str, dict[int, str]]] = {}
        self._check_name()
        wanted = [f"3d_{layer}" for layer in LAYER_SHAPES] + [OBJECTS]
        self.missing = tuple(folder for folder in wanted if not self.has(folder))
        self.notes: list[str] = []
        if self.missing:
            self._note(f"no {', '.join(self.missing)}: read as empty")
        for path in sorted(self.root.glob(f"3d_*/{clip_id}.tar")):
            if path.parent.name.removeprefix("3d_") not in FORMAT_LAYERS:
                self._note(f"{path.parent.name} is no layer of the format: not read")

    def has(self, folder: str) -> bool:
        """Whether the clip has a tar in that folder."""
        return self._path(folder).is_file()

    def layers(self, names: Iterable[str] = tuple(LAYER_SHAPES)) -> MapLayers:
        """Vertices [N,3] float64 of the elements of each layer; a layer that the clip lacks is empty."""
        return {layer: [v for label in labels for v in label.vertices] for layer, labels in self.labels(names).items()}

    def labels(self, names: Iterable[str] = tuple(FORMAT_LAYERS)) -> dict[str, list[Label]]:
        """The labels of each layer: vertices and attributes. Empty vertex lists are left out, with a note."""
        return {layer: self._labels(check_layer(layer)) for layer in names}

    def pose_cameras(self, folder: str = "pose") -> tuple[str, ...]:
        """Cameras that have poses, sorted."""
        return tuple(sorted(self._pose_keys(folder)))

    def frames(self, camera: str, folder: str = "pose") -> range:
        """Frame numbers of the camera's poses: 0 up to their number. UserError for a gap or an unknown camera."""
        cameras = self._pose_keys(folder)
        if camera not in cameras:
            raise UserError(f"{self._path(folder)}: {unknown_name('camera', camera, sorted(cameras))}")
        return self._all_frames(cameras[camera], f"poses of {camera}", folder)

    def camera_poses(
        self, camera: str, folder: str = "pose", *, frames: Iterable[int] | None = None
    ) -> dict[int, np.ndarray]:
        """{frame: camera-to-world [4,4]} in the float width of the file, OpenCV camera axes.

        folder: `pose`, or that of a novel trajectory. frames: those to decode; None for all.
        """
        present = self.frames(camera, folder)
        return self._poses(folder, self._pose_keys(folder)[camera], present if frames is None else frames)

    def vehicle_poses(self) -> dict[int, np.ndarray]:
        """{frame: vehicle-to-world [4,4]}, FLU vehicle axes; empty where the clip has none."""
        if not self.has("vehicle_pose"):
            return {}
        keys = self._frame_keys("vehicle_pose", "vehicle_pose.npy")
        return self._poses("vehicle_pose", keys, self._all_frames(keys, "vehicle poses", "vehicle_pose"))

    def cameras(self, camera_type: str) -> tuple[str, ...]:
        """Cameras that have intrinsics of that type, sorted; of the default tar where the clip has no f-theta ones."""
        return tuple(self._camera_keys(camera_type))

    def model(self, camera_type: str, camera: str, default_name: str | None = None) -> FTheta | Pinhole:
        """The camera at its calibrated size. default_name: its name in the default f-theta tar."""
        keys = self._camera_keys(camera_type)
        tar = self._intrinsics(camera_type)
        if default_name and not self.has(f"{camera_type}_intrinsic"):
            camera = default_name
        if camera not in keys:
            raise UserError(f"{tar.path}: {unknown_name('camera', camera, keys)}")
        place = f"{tar.path}: {keys[camera]}"
        return camera_model(camera_type, npy_array(tar.read(keys[camera]), place), place)

    def objects(self) -> Objects:
        """{key frame: {tracking id: record}}, as recorded; empty where the clip has none."""
        if not self.has(OBJECTS):
            return {}
        tar = self._tar(OBJECTS)
        frames = {key: frame for frame, key in self._frame_keys(OBJECTS, f"{OBJECTS}.json").items()}
        objects: Objects = {}
        for key, content in tar.read_each(frames):
            place = f"{tar.path}: {key}"
            records = parse_json(content, place)
            if not isinstance(records, dict):
                raise UserError(f"{place}: not an object of tracking ids")
            objects[frames[key]] = {n: read_record(values, f"{place}: object {n!r}") for n, values in records.items()}
        named = [(frame, name) for frame, records in objects.items() for name in records]
        check_poses(
            [objects[frame][name].pose for frame, name in named],
            lambda i: f"{tar.path}: frame {named[i][0]}: object {named[i][1]!r}",
        )
        self._note_zero_sizes(objects)
        return objects

    def lidar_frames(self) -> tuple[int, ...]:
        """Frame numbers of the LiDAR sweeps, sorted; none where the clip has no LiDAR."""
        return tuple(self._frame_keys("lidar_raw", "lidar_raw.npz")) if self.has("lidar_raw") else ()

    def lidar(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """The sweep of a frame: points [N,3] in the sensor frame, metres, and lidar-to-world [4,4]."""
        tar = self._tar("lidar_raw")
        keys = self._frame_keys("lidar_raw", "lidar_raw.npz")
        if frame not in keys:
            nearest = min(keys, key=lambda other: abs(other - frame))
            raise UserError(f"{tar.path} has no sweep at frame {frame}; the nearest is {nearest}")
        place = f"{tar.path}: {keys[frame]}"
        arrays = npz_arrays(tar.read(keys[frame]), place)
        if not {"xyz", "lidar_to_world"} <= set(arrays):
            raise UserError(f"{place}: a sweep has arrays xyz and lidar_to_world; given: {', '.join(arrays)}")
        points, pose = arrays["xyz"], arrays["lidar_to_world"]
        if points.ndim != 2 or points.shape[1] != 3:
            raise UserError(f"{place}: xyz is [N, 3], not {list(points.shape)}")
        check_poses([pose], lambda _: f"{place}: lidar_to_world")
        near = np.isfinite(points).all(axis=1) & (np.abs(points) <= FARTHEST).all(axis=1)
        if not near.all():
            self._note(f"{keys[frame]}: {int((~near).sum())} points without a finite place left out")
        return points[near], pose

    def document(self, folder: str, key: str) -> tuple[Any, str]:
        """The values of a JSON member of a folder's tar, and its name for messages."""
        tar = self._tar(folder)
        place = f"{tar.path}: {key}"
        return parse_json(tar.read(key), place), place

    def caption(self) -> str | None:
        """The text of `captions/<clip id>.txt`."""
        path = self.root / "captions" / f"{self.clip_id}.txt"
        if not path.is_file():
            return None
        try:
            return read_bytes("caption", path, CAPTION_BYTES).decode().strip()
        except UnicodeDecodeError:
            raise UserError(f"caption {str(path)!r} is no UTF-8 text") from None

    def _check_name(self) -> None:
        if "." in self.clip_id:
            raise UserError(
                f"clip id {self.clip_id!r} has a dot, after which the format's keys start: "
                f"rename its tars and their members to {self.clip_id.replace('.', '_')!r}"
            )
        if not self.has("pose") and self.clip_id not in (ids := clip_ids(self.root)):
            nearest = nearest_name(self.clip_id, ids)
            hint = f" did you mean {nearest!r}?" if nearest else ""
            raise UserError(f"no clip {self.clip_id!r} in {self.root}:{hint} there: {_listed(ids)}")

    def _path(self, folder: str) -> Path:
        return self.root / folder / f"{self.clip_id}.tar"

    def _tar(self, folder: str) -> SampleTar:
        return self._opened(self._path(folder))

    def _opened(self, path: Path) -> SampleTar:
        if path not in self._tars:
            self._tars[path] = SampleTar(path)
        return self._tars[path]

    def _note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)

    def _labels(self, layer: str) -> list[Label]:
        folder = f"3d_{layer}"
        if not self.has(folder):
            return []
        tar = self._tar(folder)
        place = f"{tar.path}: {layer}.json"
        labels, empty = read_labels(layer, parse_json(tar.read(f"{layer}.json"), place), place)
        if empty:
            self._note(f"{folder}: {empty} of its labels without vertices left out")
        return labels

    def _frame_keys(self, folder: str, kind: str) -> dict[int, str]:
        """{frame: key} of the keys `<frame>.<kind>`, sorted by frame."""
        return self._keys_by_kind(folder).get(kind, {})

    def _keys_by_kind(self, folder: str) -> dict[str, dict[int, str]]:
        """{kind: {frame: key}} of a folder whose keys are `<frame>.<kind>`, frames sorted."""
        if folder in self._keys:
            return self._keys[folder]
        tar = self._tar(folder)
        found: dict[str, dict[int, str]] = {}
        for key in tar.keys:
            digits, _, kind = key.partition(".")
            frame = frame_number(digits, f"{tar.path}: key {shortened(key)}")
            if frame in found.setdefault(kind, {}):
                raise UserError(f"{tar.path}: frame {frame} of {kind} is there twice")
            found[kind][frame] = key
        self._keys[folder] = {kind: dict(sorted(keys.items())) for kind, keys in found.items()}
        return self._keys[folder]

    def _pose_keys(self, folder: str) -> dict[str, dict[int, str]]:
        """{camera: {frame: key}}."""
        kinds = self._keys_by_kind(folder)
        return {_between("pose.", k): v for k, v in kinds.items() if k.startswith("pose.") and k.endswith(".npy")}

    def _all_frames(self, keys: Mapping[int, str], what: str, folder: str) -> range:
        absent = list(islice((f for f in range(max(keys, default=0) + 1) if f not in keys), LISTED + 1))
        if absent:
            listed = ", ".join(map(str, absent[:LISTED])) + (", ..." if len(absent) > LISTED else "")
            raise UserError(
                f"{self._path(folder)}: {what}: frames {listed} are missing; they count from 0 without gaps"
            )
        return range(len(keys))

    def _poses(self, folder: str, keys: Mapping[int, str], frames: Iterable[int]) -> dict[int, np.ndarray]:
        tar = self._tar(folder)
        frames = list(frames)
        for frame in frames:
            if frame not in keys:
                raise UserError(f"{tar.path} has no frame {frame}: allowed 0 to {max(keys)}")
        contents = tar.read_each(keys[frame] for frame in frames)
        poses = {frame: npy_array(c, f"{tar.path}: {key}") for frame, (key, c) in zip(frames, contents)}
        check_poses(list(poses.values()), lambda i: f"{tar.path}: {keys[frames[i]]}")
        return poses

    def _intrinsics(self, camera_type: str) -> SampleTar:
        if camera_type not in CAMERA_TYPES:
            raise UserError(unknown_name("camera type", camera_type, CAMERA_TYPES))
        path = self._path(f"{camera_type}_intrinsic")
        if path.is_file():
            return self._opened(path)
        if camera_type == "ftheta" and self.default_ftheta:
            self._note(f"no ftheta_intrinsic: cameras taken from {self.default_ftheta}")
            return self._opened(self.default_ftheta)
        others = [kind for kind in CAMERA_TYPES if self.has(f"{kind}_intrinsic")]
        hint = f"; it has camera type {others[0]}" if others else ""
        default = ", or give a tar of default f-theta intrinsics" if camera_type == "ftheta" else ""
        raise UserError(f"clip {self.clip_id} has no {camera_type} intrinsics (no {path}){hint}{default}")

    def _camera_keys(self, camera_type: str) -> dict[str, str]:
        """{camera: key}."""
        prefix = f"{camera_type}_intrinsic."
        keys = self._intrinsics(camera_type).keys
        return {_between(prefix, k): k for k in keys if k.startswith(prefix) and k.endswith(".npy")}

    def _note_zero_sizes(self, objects: Objects) -> None:
        flat = {name for records in objects.values() for name, record in records.items() if not all(record.size)}
        if flat:
            self._note(f"{OBJECTS}: {_listed(sorted(flat))} of zero size kept: drawn as a line or a dot")


def frame_number(digits: str, place: str) -> int:
    """The frame that a key begins with."""
    if not (digits.isascii() and digits.isdecimal()):
        raise UserError(f"{place} does not start with a frame number")
    if len(digits.lstrip("0")) > FRAME_DIGITS:
        raise UserError(f"{place}: frame numbers have at most {FRAME_DIGITS} digits")
    return int(digits)


def _between(prefix: str, key: str) -> str:
    """What stands between the prefix and `.npy`: the camera."""
    return key[len(prefix) : -len(".npy")]


def _listed(names: list[str]) -> str:
    more = f", ... ({len(names)} in all)" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
