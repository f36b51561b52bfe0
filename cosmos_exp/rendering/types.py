"""The output of the renderer: the pixels of one camera over a clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

OPTIONAL_OUTPUTS = ("lidar", "wsm")  # rendered only on request
OUTPUTS = ("rgb", "depth", "semantic", "instance", "normals", "hdmap")
SKY_TAG = 11  # CityScapes tag of the sky, as in CARLA 0.9.16


@dataclass(frozen=True)
class CameraRender:
    """F frames of one camera, H x W pixels. Outputs that were not requested are None; `output` raises for them.

    rgb: [F,H,W,3] uint8. depth: [F,H,W] float32 metres along the camera's z axis (sky: +inf).
    semantic: [F,H,W] uint8 CityScapes tags. instance: [F,H,W] uint16, 0 = no object.
    normals: [F,H,W,3] int8, unit vectors x127 in the camera frame (OpenCV axes), 0 for sky.
    hdmap, lidar, wsm: [F,H,W,3] uint8. times: [F] seconds.
    """

    camera: str
    times: np.ndarray
    rgb: np.ndarray | None = None
    depth: np.ndarray | None = None
    semantic: np.ndarray | None = None
    instance: np.ndarray | None = None
    normals: np.ndarray | None = None
    hdmap: np.ndarray | None = None
    lidar: np.ndarray | None = None
    wsm: np.ndarray | None = None

    def output(self, name: str) -> np.ndarray:
        """The array of one of OUTPUTS or OPTIONAL_OUTPUTS. Raises ValueError where it was not rendered."""
        values = getattr(self, name)
        if values is None:
            raise ValueError(f"camera {self.camera!r} was rendered without its {name!r} output")
        return values

    @property
    def sky(self) -> np.ndarray:
        """[F,H,W] bool, True where the sky is seen."""
        return self.output("semantic") == SKY_TAG
