"""World Scenario maps of a scene: what is drawn of the ClipGT clip that it is exported as, without the files."""

from __future__ import annotations

import logging

import numpy as np

from cosmos_exp.common.memo import Memo
from cosmos_exp.rendering.wsm.drawing import MERGE, WorldScenario
from cosmos_exp.rendering.wsm.elements import elements_of_clipgt
from cosmos_exp.rendering.wsm.sources import boxes_at
from cosmos_exp.scene.clipgt.rig import as_calibrated
from cosmos_exp.scene.clipgt.scene_clip import SceneClip
from cosmos_exp.scene.types import Scene
from cosmos_exp.sensors.camera import Camera
from cosmos_exp.sensors.ftheta import FTheta

logger = logging.getLogger(__name__)


class SceneScenario:
    """The map of a scene, prepared once. `draw` may be called from several threads."""

    def __init__(self, scene: Scene):
        self._clip = SceneClip(scene)
        self._axes = np.eye(4)
        elements = elements_of_clipgt(self._clip, self._axes, time_of=lambda time: time)
        self._scenario = WorldScenario(elements, merge=MERGE, scaled=True)
        self._tracks = self._clip.tracks
        self._cameras = Memo()
        for note in self._clip.notes:
            logger.warning("World Scenario map of %s: %s", scene.clip_id, note)

    def draw(self, camera: Camera, t: float) -> np.ndarray:
        """[H,W,3] uint8 RGB of a camera at t seconds: to the bit that of a clip with this camera and a frame then, with
        widths of lines as in a picture 1280 pixels wide.

        A pinhole is drawn as the f-theta lens that fits it best.
        """
        key = camera.name, camera.model, camera.camera_to_rig.tobytes()
        calibrated = self._cameras.once(key, lambda: as_calibrated(camera))
        assert isinstance(calibrated.model, FTheta)  # as are all of a clip
        time = self._clip.time(t)
        boxes = boxes_at(self._tracks, time, self._axes, reference_compat=False)
        pose = self._clip.ego.at(time) @ calibrated.camera_to_rig
        return self._scenario.draw(calibrated.model, pose, boxes, time)
