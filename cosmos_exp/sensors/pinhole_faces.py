"""Any lens as pinhole pictures: which ones cover it, and how its picture is read from them.

CARLA's cameras are pinholes with square pixels and a centred principal point. A camera of another lens is seen by one
or more of them from the same place, its faces, and every pixel of it reads the face whose axis is nearest to its ray.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.guards import SIDE
from cosmos_exp.sensors.camera import CameraModel
from cosmos_exp.sensors.pinhole import Pinhole

ONE_FACE = np.radians(65.0)  # the largest angle to the axis that a single face shows
SECTOR = np.radians(80.0)  # the widest sector of a face beside others
HIGHEST = np.radians(60.0)  # elevation up to which sectors round the vertical are enough
MARGIN = 2  # pixels of a face beyond the outermost ray


@dataclass(frozen=True)
class Face:
    """model: square pixels, principal point in the middle. rotation: [3,3] from the face's axes (OpenCV) to the
    camera's."""

    model: Pinhole
    rotation: np.ndarray


@dataclass(frozen=True)
class PinholeFaces:
    """The faces of a lens. direct: the only face is the camera itself."""

    lens: CameraModel
    faces: tuple[Face, ...]
    direct: bool = False

    def assemble(self, output: str, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """The camera's picture [H,W] or [H,W,3], of the faces' pictures of the same output.

        rgb is interpolated between four pixels; the others are those of the nearest pixel, depth as that of a surface
        parallel to the face, metres along the camera's z axis. normals: turned into the camera's axes.
        """
        if self.direct:
            return pictures[0]
        out = np.empty((self.lens.height, self.lens.width, *pictures[0].shape[2:]), pictures[0].dtype)
        for face, part, picture in zip(self.faces, self._parts, pictures, strict=True):
            out[part.rows, part.columns] = _read(output, picture, face, part)
        return out

    @cached_property
    def _parts(self) -> list[_Part]:
        rays = self.lens.rays().astype(np.float64)
        nearest = np.argmax(rays @ np.stack([face.rotation[:, 2] for face in self.faces], axis=1), axis=-1)
        return [_part(rays, nearest == i, face) for i, face in enumerate(self.faces)]


@dataclass(frozen=True)
class _Part:
    """N pixels of the camera that read one face. rows, columns: [N]. u, v: [N] float32 pixels of the face. steps:
    [N] float32, depth along the camera's axis per depth along the face's."""

    rows: np.ndarray
    columns: np.ndarray
    u: np.ndarray
    v: np.ndarray
    steps: np.ndarray


def _part(rays: np.ndarray, mask: np.ndarray, face: Face) -> _Part:
    rows, columns = np.nonzero(mask)
    local = rays[rows, columns] @ face.rotation
    u, v = (local[:, :2] / local[:, 2:] * face.model.fx + (face.model.cx, face.model.cy)).T.astype(np.float32)
    return _Part(rows, columns, u, v, (rays[rows, columns, 2] / local[:, 2]).astype(np.float32))


def _read(output: str, picture: np.ndarray, face: Face, part: _Part) -> np.ndarray:
    """[N] or [N,3] values of a part's pixels."""
    if output == "rgb":
        return _bilinear(picture, part.u, part.v)
    values = picture[np.rint(part.v).astype(int), np.rint(part.u).astype(int)]
    if output == "depth":
        return np.where(np.isinf(values), np.float32(np.inf), values * part.steps)
    if output == "normals":
        return np.rint(values.astype(np.float32) @ face.rotation.T.astype(np.float32)).astype(np.int8)
    return values


def _bilinear(picture: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """[N,3] uint8. OpenCV's maps have fewer than 32768 columns, so the pixels are laid out in rows."""
    width = 4096
    padding = -len(u) % width
    x, y = (np.pad(values, (0, padding)).reshape(-1, width) for values in (u, v))
    return cv2.remap(picture, x, y, cv2.INTER_LINEAR).reshape(-1, 3)[: len(u)]


def pinhole_faces(lens: CameraModel) -> PinholeFaces:
    """The faces of a lens, at least as fine as the lens everywhere.

    Raises UserError where a face would have more than `SIDE` pixels either way.
    """
    if isinstance(lens, Pinhole) and _is_plain(lens):
        return PinholeFaces(lens, (Face(lens, np.eye(3)),), direct=True)
    rays = lens.rays().astype(np.float64)
    axes = np.stack(_axes(rays), axis=1)
    nearest = np.argmax(rays @ axes, axis=-1)
    faces = (_face(rays, nearest == i, axes[:, i]) for i in range(axes.shape[1]) if (nearest == i).any())
    return PinholeFaces(lens, tuple(faces))


def _is_plain(lens: Pinhole) -> bool:
    """Whether CARLA has this camera."""
    middle = np.isclose([lens.cx, lens.cy], [lens.width / 2, lens.height / 2], rtol=1e-6)
    return bool(middle.all()) and bool(np.isclose(lens.fx, lens.fy, rtol=1e-6))


def _axes(rays: np.ndarray) -> list[np.ndarray]:
    """[3] directions of the faces' axes."""
    x, y, z = np.moveaxis(rays, -1, 0)
    if np.arccos(np.clip(z, -1, 1)).max() <= ONE_FACE:
        return [np.array([0.0, 0.0, 1.0])]
    azimuth = np.arctan2(x, z)
    span = float(azimuth.max() - azimuth.min())
    if np.abs(np.arcsin(np.clip(y, -1, 1))).max() > HIGHEST or span > 2 * np.pi - SECTOR:
        return [sign * axis for axis in np.eye(3) for sign in (1.0, -1.0)]
    count = int(np.ceil(span / SECTOR))
    middles = azimuth.min() + span * (np.arange(count) + 0.5) / count
    return [np.array([np.sin(a), 0.0, np.cos(a)]) for a in middles]


def _face(rays: np.ndarray, mask: np.ndarray, axis: np.ndarray) -> Face:
    """The smallest face about an axis that shows the pixels of the mask."""
    rotation = _towards(axis)
    local = rays @ rotation
    with np.errstate(divide="ignore", invalid="ignore"):
        plane = local[..., :2] / local[..., 2:]
        apart = [
            np.linalg.norm(np.diff(plane, axis=i), axis=-1)[both]
            for i, both in enumerate((mask[1:] & mask[:-1], mask[:, 1:] & mask[:, :-1]))
        ]
    focal = 1.0 / min(float(steps.min(initial=np.inf)) for steps in apart)
    width, height = (2 * int(np.ceil(focal * half + MARGIN)) for half in np.abs(plane[mask]).max(axis=0))
    if max(width, height) > SIDE:
        raise UserError(
            f"the lens needs a pinhole picture of {width}x{height} pixels, at most {SIDE} are taken either way: give "
            "it fewer pixels, or a narrower field of view"
        )
    return Face(Pinhole(width, height, focal, focal, width / 2, height / 2), rotation)


def _towards(axis: np.ndarray) -> np.ndarray:
    """[3,3] from the axes of a face that looks along `axis` to the camera's; level where that has a meaning."""
    down = np.array([0.0, 1.0, 0.0]) if abs(axis[1]) < 0.99 else np.array([0.0, 0.0, -np.sign(axis[1])])
    right = np.cross(down, axis)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(axis, right), axis], axis=1)
