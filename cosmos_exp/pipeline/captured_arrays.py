"""Captured pictures as the arrays of a render."""

from __future__ import annotations

from collections.abc import Sequence

from cosmos_exp.common.stored_arrays import Arrays
from cosmos_exp.models.base import RenderRequest
from cosmos_exp.pipeline.captured import camera_name
from cosmos_exp.pipeline.scene_loading import LoadedScene
from cosmos_exp.scene.carla_live.folder import OUTPUTS, array_name
from cosmos_exp.scene.carla_live.object_ids import ids_of_tracks


def captured_arrays(loaded: LoadedScene, request: RenderRequest, outputs: Sequence[str]) -> Arrays:
    """Those of the outputs that were captured, of a request's frames; pages of the capture's files, verified.

    instance: with the numbers of the scene's tracks, as the renderer counts them.
    """
    capture, name = loaded.capture, camera_name(loaded.spec, request)
    names = [output for output in outputs if output in OUTPUTS]
    capture.verify(*(array_name(name, output) for output in names))
    arrays = {output: capture.array(name, output)[: request.shape.frames] for output in names}
    if "instance" in arrays:
        needed = (capture.array(name, output)[: request.shape.frames] for output in ("depth", "semantic"))
        times = loaded.times[: request.shape.frames]
        arrays["instance"] = ids_of_tracks(loaded.scene, loaded.camera(request), times, arrays["instance"], *needed)
    return arrays
