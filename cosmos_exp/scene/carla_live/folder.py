"""The folder of a capture: pictures, actors and map of one drive, complete or not there at all.

    capture.json             what was captured, and the size and SHA-256 of every other file
    scene.log                actors, boxes and traffic lights, as a recorder log; frame i is at i / fps seconds
    <town>.xodr              the map
    replayed.log             the log that the server replayed, where this machine has it
    <camera>.<output>.npy    one array for each camera and output: [frames, height, width, ...] of a `CameraRender`

Everything is written into a partial folder beside it, capture.json last, which is then renamed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.files import file_sha256, json_text, partial_name, sync_to_disk, write_atomic
from cosmos_exp.common.guards import parse_json, read_bytes, read_npy
from cosmos_exp.sensors.camera import CameraModel

FORMAT = 1
ABOUT, LOG, REPLAYED = "capture.json", "scene.log", "replayed.log"
OUTPUTS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "rgb": ("|u1", (3,)),
    "depth": ("<f4", ()),
    "semantic": ("|u1", ()),
    "instance": ("<u2", ()),
    "normals": ("|i1", (3,)),
}
"""{output: dtype and what follows height and width in its shape}"""
MOST = 1 << 24  # bytes of capture.json


@dataclass(frozen=True)
class CapturedCamera:
    """width, height: pixels. lens: its model, as text. camera_to_ego: [4,4], OpenCV camera axes to the ego actor's
    frame (FLU, metres)."""

    name: str
    width: int
    height: int
    lens: str
    camera_to_ego: np.ndarray
    outputs: tuple[str, ...]


class CaptureWriter:
    """A capture under construction. Frames of an array are appended in their order; arrays grow side by side."""

    def __init__(self, folder: Path, cameras: tuple[CapturedCamera, ...], frames: int):
        self.folder = folder
        self.cameras = cameras
        self.frames = frames
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.partial = folder.with_name(partial_name(folder.name))
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir()
        self._arrays = {(c.name, o): _ArrayFile(self.partial, c, o, frames) for c in cameras for o in c.outputs}

    def append(self, camera: str, output: str, picture: np.ndarray) -> None:
        """The next frame of a camera's output. May be called for different arrays at the same time."""
        self._arrays[camera, output].append(picture)

    def finish(self, about: Mapping[str, Any]) -> Path:
        """Put the folder in its place. about: what capture.json holds beside cameras and files, plain values.

        A capture that is there is replaced. Raises ValueError where an array lacks frames.
        """
        for array in self._arrays.values():
            array.close()
        files = {
            path.name: {"bytes": path.stat().st_size, "sha256": self._digests.get(path.name) or file_sha256(path)}
            for path in sorted(self.partial.iterdir())
        }
        cameras = {
            camera.name: {
                "width": camera.width,
                "height": camera.height,
                "lens": camera.lens,
                "camera_to_ego": np.asarray(camera.camera_to_ego).tolist(),
                "outputs": list(camera.outputs),
            }
            for camera in self.cameras
        }
        content = {"format": FORMAT, **about, "cameras": cameras, "files": files}
        write_atomic(self.partial / ABOUT, (json_text(content, 2) + "\n").encode())
        sync_to_disk(self.partial)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.rename(self.partial, self.folder)
        sync_to_disk(self.folder.parent)
        return self.folder

    def discard(self) -> None:
        """Remove what was written, where the capture is not finished."""
        for array in self._arrays.values():
            array.file.close()
        shutil.rmtree(self.partial, ignore_errors=True)

    @property
    def _digests(self) -> dict[str, str]:
        return {array.path.name: array.digest.hexdigest() for array in self._arrays.values()}


class _ArrayFile:
    """A .npy file that is written frame by frame."""

    def __init__(self, folder: Path, camera: CapturedCamera, output: str, frames: int):
        dtype, last = OUTPUTS[output]
        self.shape = (camera.height, camera.width, *last)
        self.dtype = np.dtype(dtype)
        self.missing = frames
        self.path = folder / array_name(camera.name, output)
        self.digest = hashlib.sha256()
        self.file = open(self.path, "wb")  # noqa: SIM115, `close` closes it
        header = {"descr": dtype, "fortran_order": False, "shape": (frames, *self.shape)}
        text = f"{header!r}".encode()
        text += b" " * (-(len(text) + 11) % 64) + b"\n"
        self._write(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)

    def append(self, picture: np.ndarray) -> None:
        if picture.shape != self.shape or picture.dtype != self.dtype or not self.missing:
            raise ValueError(f"{self.path.name}: {picture.shape} of {picture.dtype} is not its next frame")
        self.missing -= 1
        self._write(np.ascontiguousarray(picture).data)

    def _write(self, data: bytes | memoryview) -> None:
        self.digest.update(data)
        self.file.write(data)

    def close(self) -> None:
        if self.missing:
            raise ValueError(f"{self.path.name} lacks {self.missing} frames")
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()


def lens_text(model: CameraModel) -> str:
    """A lens as text that is the same for equal lenses."""
    assert dataclasses.is_dataclass(model) and not isinstance(model, type), "lenses are dataclasses"
    values = dataclasses.asdict(model)
    return json.dumps({"model": type(model).__name__} | values, default=float)


def array_name(camera: str, output: str) -> str:
    return f"{camera}.{output}.npy"


def is_finished(folder: Path | str) -> bool:
    return (Path(folder) / ABOUT).is_file()


@dataclass(frozen=True)
class Capture:
    """A finished capture. about: the values of capture.json."""

    folder: Path
    about: Mapping[str, Any]

    @property
    def frames(self) -> int:
        return len(self.about["frames"])

    @property
    def fps(self) -> float:
        return self.about["fps"]

    @property
    def ego(self) -> int:
        return self.about["ego"]["id"]

    @property
    def log(self) -> Path:
        return self.folder / LOG

    @property
    def map(self) -> Path:
        return self.folder / self.about["map"]

    @cached_property
    def cameras(self) -> dict[str, CapturedCamera]:
        return {
            name: CapturedCamera(
                name,
                camera["width"],
                camera["height"],
                camera["lens"],
                np.array(camera["camera_to_ego"], np.float64),
                tuple(camera["outputs"]),
            )
            for name, camera in self.about["cameras"].items()
        }

    def camera(self, name: str) -> CapturedCamera:
        if name not in self.cameras:
            raise UserError(f"capture {str(self.folder)!r}: {unknown_name('camera', name, self.cameras)}")
        return self.cameras[name]

    def array(self, camera: str, output: str) -> np.ndarray:
        """[frames, height, width, ...] of a camera's output, pages of its file."""
        found = self.camera(camera)
        if output not in found.outputs:
            what = unknown_name("output", output, found.outputs)
            raise UserError(f"capture {str(self.folder)!r}, camera {camera}: {what}")
        array = read_npy("array", self.folder / array_name(camera, output))
        dtype, last = OUTPUTS[output]
        if array.shape != (self.frames, found.height, found.width, *last) or array.dtype != np.dtype(dtype):
            raise UserError(self._damaged(array_name(camera, output), f"it holds {array.shape} of {array.dtype}"))
        return array

    def verify(self, *names: str) -> None:
        """UserError where one of the files is not the one that was captured; without names, of all."""
        for name in names or tuple(self.about["files"]):
            if file_sha256(self.folder / name) != self.about["files"][name]["sha256"]:
                raise UserError(self._damaged(name, "its content has changed"))

    def _damaged(self, name: str, why: str) -> str:
        return f"{name} of the capture {str(self.folder)!r} is damaged ({why}): remove the folder and capture again"


def open_capture(folder: Path | str) -> Capture:
    """The capture in a folder. Raises UserError where there is none, or a file is missing or of another size."""
    folder = Path(folder)
    try:
        about = parse_json(read_bytes("capture", folder / ABOUT, MOST), f"capture {str(folder / ABOUT)!r}")
    except FileNotFoundError:
        raise UserError(f"{str(folder)!r} holds no finished capture: it has no {ABOUT}") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise UserError(f"{str(folder / ABOUT)!r} is no capture of format {FORMAT}")
    capture = Capture(folder, about)
    try:
        sizes = {_plain(name): file["bytes"] for name, file in about["files"].items()}
        capture.cameras, capture.frames, capture.fps, capture.ego, sizes[LOG], sizes[about["map"]]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{str(folder / ABOUT)!r} is broken: {error!r}") from None
    for name, size in sizes.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            held = f"{path.stat().st_size} bytes" if path.is_file() else "none"
            raise UserError(capture._damaged(name, f"{size} bytes were captured, there are {held}"))
    return capture


def _plain(name: str) -> str:
    """A file's name, which is of the folder itself."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise ValueError(f"file name {name!r}")
    return name
