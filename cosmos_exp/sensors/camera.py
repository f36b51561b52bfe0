"""Camera models. Camera frame: OpenCV axes (x right, y down, z forward), metres. Pixels: (0,0) is the centre of the
top-left pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name


class CameraModel(Protocol):
    """Maps between directions in the camera frame and pixels. Hashable, so that tables of rays can be cached."""

    @property
    def width(self) -> int:
        """Pixels."""
        ...

    @property
    def height(self) -> int:
        """Pixels."""
        ...

    def __hash__(self) -> int: ...

    def project(self, points: np.ndarray) -> np.ndarray:
        """[N,3] camera-frame points -> [N,2] float64 pixels (u, v). Points behind the camera follow the
        model's own rule."""
        ...

    def unproject(self, pixels: np.ndarray) -> np.ndarray:
        """[N,2] pixels -> [N,3] float64 unit directions."""
        ...

    def rays(self) -> np.ndarray:
        """[H,W,3] float32 unit directions through the pixel centres."""
        ...

    def resized(self, width: int, height: int) -> CameraModel:
        """The same lens at another image size."""
        ...


def fields_of_view(model: CameraModel) -> tuple[float, float]:
    """Horizontal and vertical field of view, radians: between the borders of the image, through the principal point."""
    ((cx, cy),) = model.project(np.array([[0.0, 0.0, 1.0]]))
    borders = np.array([[0, cy], [model.width, cy], [cx, 0], [cx, model.height]])
    left, right, top, bottom = np.arccos(np.clip(model.unproject(borders)[:, 2], -1, 1))
    return float(left + right), float(top + bottom)


@dataclass(frozen=True)
class Camera:
    """A camera model and its extrinsics. camera_to_rig: [4,4], OpenCV camera axes to the rig's FLU frame."""

    name: str
    model: CameraModel
    camera_to_rig: np.ndarray


@dataclass(frozen=True)
class Rig:
    name: str
    cameras: tuple[Camera, ...]

    def camera(self, name: str) -> Camera:
        for camera in self.cameras:
            if camera.name == name:
                return camera
        raise UserError(unknown_name("camera", name, [c.name for c in self.cameras]))
