"""Captured pictures as the arrays of a render."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cosmos_exp.common.stored_arrays import ArrayFile
from cosmos_exp.models.base import RenderRequest
from cosmos_exp.pipeline.captured import camera_name
from cosmos_exp.pipeline.scene_loading import LoadedScene
from cosmos_exp.scene.carla_live.folder import OUTPUTS, array_name
from cosmos_exp.scene.carla_live.object_ids import ids_of_tracks


def captured_arrays(
    loaded: LoadedScene, request: RenderRequest, outputs: Sequence[str]
) -> Mapping[str, np.ndarray | ArrayFile]:
    """Those of the outputs that were captured, of a request's frames: the capture's files, verified, or where it has
    more frames, pages of them.

    instance: with the numbers of the scene's tracks, as the renderer counts them.
    """
    capture, name = loaded.capture, camera_name(loaded.spec, request)
    names = [output for output in outputs if output in OUTPUTS]
    capture.verify(*(array_name(name, output) for output in names))
    frames = request.shape.frames
    found: dict[str, np.ndarray | ArrayFile] = {}
    for output in names:
        array = capture.array(name, output)
        whole = len(array) == frames
        found[output] = ArrayFile(capture.folder / array_name(name, output)) if whole else array[:frames]
    if "instance" in found:
        needed = (capture.array(name, output)[:frames] for output in ("instance", "depth", "semantic"))
        found["instance"] = ids_of_tracks(loaded.scene, loaded.camera(request), loaded.times[:frames], *needed)
    return found
