"""Raw images of CARLA's cameras -> the arrays of a `CameraRender`.

CARLA delivers bytes in the order blue, green, red, alpha: uint8 [...,4].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import cv2
import numpy as np

FAR_PLANE = 1000.0  # metres: far plane of CARLA's depth camera, at which the sky lies
LARGEST = 256**3 - 1
BLUEPRINTS: Mapping[str, str] = MappingProxyType(
    {
        "rgb": "sensor.camera.rgb",
        "depth": "sensor.camera.depth",
        "semantic": "sensor.camera.semantic_segmentation",
        "instance": "sensor.camera.instance_segmentation",
        "normals": "sensor.camera.normals",
    }
)
"""{output of a `CameraRender`: blueprint of the camera that delivers it}"""


def rgb_of(bgra: np.ndarray) -> np.ndarray:
    """[...,4] -> [...,3] uint8 RGB."""
    return np.ascontiguousarray(bgra[..., 2::-1])


def depth_of(bgra: np.ndarray) -> np.ndarray:
    """[...,4] of the depth camera -> [...] float32 metres: 1000 (R + 256 G + 65536 B) / (2^24 - 1)."""
    blue, green, red = (bgra[..., i].astype(np.float64) for i in range(3))
    return ((red + 256.0 * green + 65536.0 * blue) * (FAR_PLANE / LARGEST)).astype(np.float32)


def sky_depth_of(bgra: np.ndarray) -> np.ndarray:
    """As `depth_of`, but +inf at the far plane, where CARLA has the sky."""
    depth = depth_of(bgra)
    depth[(bgra[..., :3] == 255).all(axis=-1)] = np.inf
    return depth


def semantic_of(bgra: np.ndarray) -> np.ndarray:
    """[...,4] of the semantic or instance camera -> [...] uint8 tags: the red byte."""
    return np.ascontiguousarray(bgra[..., 2])


def instance_of(bgra: np.ndarray) -> np.ndarray:
    """[...,4] of the instance camera -> [...] uint16 ids: the green byte above the blue one."""
    return (bgra[..., 1].astype(np.uint16) << 8) | bgra[..., 0]


def normals_of(bgra: np.ndarray) -> np.ndarray:
    """[...,4] of the normals camera, whose bytes store -1 to 1 as 0 to 255 -> [...,3] int8 vectors x127, same axes."""
    return cv2.LUT(np.ascontiguousarray(bgra[..., 2::-1]), _NORMAL_OF_BYTE.view(np.uint8)).view(np.int8)


_NORMAL_OF_BYTE = np.round(np.arange(256, dtype=np.float32) * (254.0 / 255.0) - 127.0).astype(np.int8)

DECODERS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = MappingProxyType(
    {
        "rgb": rgb_of,
        "depth": sky_depth_of,
        "semantic": semantic_of,
        "instance": instance_of,
        "normals": normals_of,
    }
)
"""{output: from a camera's bytes [H,W,4] to its array}"""
