from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.street import CAMERAS, FPS, NUM_FRAMES, SIZE, SPEED, render

from cosmos_exp.metrics.types import GeneratedClip
from cosmos_exp.sensors.rigs import build_rig


@pytest.fixture(scope="session")
def truth() -> GeneratedClip:
    """The perfect generator: its videos are the renders themselves."""
    rig = build_rig("test", CAMERAS, size=SIZE)
    poses = np.tile(np.eye(4), (NUM_FRAMES, 1, 1))
    poses[:, 0, 3] = SPEED / FPS * np.arange(NUM_FRAMES)
    cameras = {camera.name: camera for camera in rig.cameras}
    renders = {name: render(camera, poses) for name, camera in cameras.items()}
    videos = {name: r.rgb for name, r in renders.items()}
    return GeneratedClip("Original", "a street", videos, videos["front_wide_120fov"], renders, cameras, poses, videos)


@pytest.fixture(scope="session")
def generated(truth):
    """The truth with other videos: `generated(lambda view, video: ...)`."""
    return lambda change: replace(truth, generated={view: change(view, v) for view, v in truth.generated.items()})
