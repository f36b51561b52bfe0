"""A capture without a server: the renderer's pictures of the example drive, in the folder of a capture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.rendering.renderer import Renderer, render_camera
from cosmos_exp.scene.carla.example import EGO, example_log, example_map
from cosmos_exp.scene.carla.log import load_carla_scene
from cosmos_exp.scene.carla_live.folder import (
    LOG,
    OUTPUTS,
    Capture,
    CapturedCamera,
    CaptureWriter,
    lens_text,
    open_capture,
)
from cosmos_exp.scene.sources import load_rig
from cosmos_exp.sensors.camera import Camera
from cosmos_exp.sensors.rigs import rig_of_views

TOWN = "ExampleStreet.xodr"


def cameras_of(spec: RunSpec) -> dict[str, Camera]:
    """Of the run's views, as the run sees them."""
    front = spec.model.front.shape
    rig = rig_of_views(load_rig(spec.scene, spec.sensors, size=(front.width, front.height)), {}, spec.views)
    return {camera.name: camera for camera in rig.cameras}


def write_capture(
    folder: Path, cameras: Mapping[str, Camera], *, frames: int, fps: float, weather: str = "Original", numbers: int = 1
) -> Capture:
    """cameras: in the rig frame. numbers: what object k is called in the instance pictures is 1000 + numbers * k."""
    source = folder.with_name(f"{folder.name}_drive")
    source.mkdir(parents=True, exist_ok=True)
    (source / LOG).write_bytes(example_log())
    (source / TOWN).write_text(example_map())
    scene = load_carla_scene(source / LOG, source / TOWN, start=0.0, duration=(frames - 1) / fps)
    assert scene.ego_origin is not None
    to_ego = np.eye(4)
    to_ego[:3, 3] = -scene.ego_origin
    described = tuple(
        CapturedCamera(n, c.model.width, c.model.height, lens_text(c.model), to_ego @ c.camera_to_rig, tuple(OUTPUTS))
        for n, c in cameras.items()
    )
    writer = CaptureWriter(folder, described, frames)
    renderer, times = Renderer(scene), scene.frame_times(frames, fps)
    for name, camera in cameras.items():
        render = render_camera(renderer, camera, times, outputs=tuple(OUTPUTS), weather=weather)
        ids = render.output("instance")
        render = replace(render, instance=np.where(ids > 0, 1000 + numbers * ids, 0).astype(np.uint16))
        for output in OUTPUTS:
            for picture in render.output(output):
                writer.append(name, output, picture)
    for file in (LOG, TOWN):
        (writer.partial / file).write_bytes((source / file).read_bytes())
    about = {
        "captured": "2026-01-01T00:00:00+00:00",
        "ego": {"id": EGO, "origin": scene.ego_origin.tolist()},
        "map": TOWN,
        "playing": {"log": None, "time_factor": 1.0},
        "replay": None,
        "fps": fps,
        "frames": list(range(7, 7 + frames)),
    }
    writer.finish(about)
    return open_capture(folder)
