"""Pictures of a source that delivers them with its scene: captured once, then taken in place of the renderer's."""

from __future__ import annotations

import logging
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from cosmos_exp.common.cache import StageCache, stage_key
from cosmos_exp.common.errors import UserError, ValidationErrors
from cosmos_exp.common.locks import locked
from cosmos_exp.common.progress import Tick
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.models.base import RenderRequest
from cosmos_exp.pipeline.keys import camera_config
from cosmos_exp.scene.actor_frame import in_rig_frame
from cosmos_exp.scene.carla_live.folder import (
    OUTPUTS,
    Capture,
    CapturedCamera,
    is_finished,
    lens_text,
    open_capture,
)
from cosmos_exp.scene.source import Pictures, SceneConfig, own_options
from cosmos_exp.scene.sources import SOURCES, load_rig
from cosmos_exp.sensors.camera import Camera
from cosmos_exp.sensors.rigs import rig_of_views, translated

log = logging.getLogger(__name__)

VERSION = 1
"""Raise it when the same server is captured in another way."""
SAME_POSE = 1e-4  # metres, and of the rotation's numbers


def is_captured(spec: RunSpec) -> bool:
    """Whether the scene comes with pictures."""
    return SOURCES[spec.scene.source].take is not None


def take_pictures(spec: RunSpec, cache: StageCache, tick: Tick) -> Capture:
    """The capture of a run: that of its folder, or else made now, by one process for all.

    Raises UserError where it cannot be made, or a given one does not show what the run needs.
    """
    source, folder = SOURCES[spec.scene.source], capture_folder(spec, cache)
    assert source.take is not None, "the scene comes with pictures"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f"{folder.name}.lock"), before_waiting=lambda: _say_waiting(folder)):
        if is_finished(folder):
            capture = open_capture(folder)
            log.info("pictures of %s, captured %s", folder, capture.about["captured"])
        elif folder.exists():
            raise UserError(f"scene.folder={str(folder)!r} holds something else than a finished capture")
        else:
            options = own_options(spec.scene)
            pictures = Pictures(
                lambda origin: _cameras(spec, origin), tuple(OUTPUTS), spec.fps, _frames(spec), spec.threads, tick
            )
            try:
                source.take(options, pictures, folder)
            except UserError as error:
                raise UserError(f"{error} (there is no capture in {str(folder)!r}, so one is made)") from None
            log.info("captured %d frames into %s", pictures.frames, folder)
            capture = open_capture(folder)
    _check(spec, capture)
    return capture


def _say_waiting(folder: Path) -> None:
    log.info("another process captures into %s: waiting for it", folder)


def captured_scene_config(scene: SceneConfig, capture: Capture) -> SceneConfig:
    """The `scene` config that reads this capture."""
    values: dict[str, Any] = {"folder": str(capture.folder)}
    return replace(scene, **values)


def capture_folder(spec: RunSpec, cache: StageCache) -> Path:
    """Where the capture of a run lies: as given, or below paths.outputs, by what is captured of what."""
    options = own_options(spec.scene)
    if options["folder"]:
        return Path(options["folder"])
    effective = {f.name for f in fields(spec.scene) if f.metadata.get("changes_result", True)} - {"folder", "seed"}
    front = spec.model.front.shape
    config = {
        "source": spec.scene.source,
        "options": {name: value for name, value in options.items() if name in effective},
        "cameras": {
            camera_name(spec, request): [camera_config(spec.sensors, request.view), *request.shape[1:]]
            for request in spec.model.render_requests
        },
        "front": [front.height, front.width],
        "fps": spec.fps,
        "frames": _frames(spec),
    }
    log_file = options.get("log")
    inputs = [cache.file_identity(log_file)] if log_file and Path(log_file).is_file() else []
    return Path(spec.config.paths.outputs) / "captures" / stage_key("capture", VERSION, config, inputs)[:16]


def camera_name(spec: RunSpec, request: RenderRequest) -> str:
    """The view's, with the size where it is seen at several."""
    sizes = {other.shape[1:] for other in spec.model.render_requests if other.view == request.view}
    shape = request.shape
    return request.view if len(sizes) == 1 else f"{request.view}_{shape.width}x{shape.height}"


def _frames(spec: RunSpec) -> int:
    return max(request.shape.frames for request in spec.model.render_requests)


def _cameras(spec: RunSpec, origin: np.ndarray) -> list[Camera]:
    """Of all requests, relative to the ego actor. origin: [3] of that actor in the rig frame."""
    shape = spec.model.front.shape
    rig = load_rig(spec.scene, spec.sensors, size=(shape.width, shape.height))
    rig = in_rig_frame(rig, spec.sensors, lambda: origin)
    rig = translated(rig_of_views(rig, spec.sensors.views, spec.views), -origin)
    cameras = []
    for request in spec.model.render_requests:
        camera = rig.camera(request.view)
        model = camera.model.resized(request.shape.width, request.shape.height)
        cameras.append(replace(camera, name=camera_name(spec, request), model=model))
    return cameras


def _check(spec: RunSpec, capture: Capture) -> None:
    """Raises ValidationErrors where the capture is not of this run's cameras, rate and length."""
    errors = []
    where = f"the capture {str(capture.folder)!r}"
    if abs(capture.fps - spec.fps) > 1e-9:
        errors.append(f"{where} has {capture.fps:g} frames per second, the run {spec.fps:g}: set model.fps")
    if capture.frames < _frames(spec):
        errors.append(f"{where} has {capture.frames} frames, the run needs {_frames(spec)}: set model.num_frames")
    for camera in _cameras(spec, np.array(capture.about["ego"]["origin"])):
        found = capture.cameras.get(camera.name)
        if found is None:
            errors.append(f"{where} has no camera {camera.name!r}: it has {', '.join(capture.cameras) or 'none'}")
        elif problem := _difference(camera, found):
            errors.append(f"{where}, {camera.name}: {problem}")
    if errors:
        raise ValidationErrors([*errors, "give another scene.folder, or none, to capture anew"])


def _difference(camera: Camera, found: CapturedCamera) -> str:
    if (found.width, found.height) != (camera.model.width, camera.model.height):
        return f"{found.width}x{found.height} pixels, the run needs {camera.model.width}x{camera.model.height}"
    if found.lens != lens_text(camera.model):
        return f"its lens is {found.lens}, that of the run {lens_text(camera.model)}"
    if not np.allclose(found.camera_to_ego, camera.camera_to_rig, atol=SAME_POSE):
        return "mounted elsewhere than the run's camera"
    missing = [output for output in OUTPUTS if output not in found.outputs]
    return f"without {', '.join(missing)}" if missing else ""
