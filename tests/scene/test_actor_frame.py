"""Cameras of a CARLA sensor file in the rig frame of a scene."""

from __future__ import annotations

import numpy as np

from cosmos_exp.common.cache import StageCache
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.config.validate import validate
from cosmos_exp.pipeline.scene_loading import LoadedScene
from cosmos_exp.scene.actor_frame import actor_origin
from cosmos_exp.scene.procedural.street import procedural_scene

SENSORS = """
- {sensor: rgb, attributes: {fov: 110}, transform: {location: {z: 1.8}}}
- {sensor: depth, attributes: {fov: 110}, transform: {location: {z: 1.8}}}
"""


def test_the_origin_of_an_actor_without_a_record_is_below_its_middle():
    scene = procedural_scene(seed=1, duration=1.0)
    origin = actor_origin(scene)
    centre = np.linalg.inv(scene.rig_trajectory.at(scene.start)) @ scene.ego.trajectory.at(scene.start)
    np.testing.assert_allclose(origin[:2], centre[:2, 3])
    assert origin[2] == 0 and 0.5 < origin[0] < 2.5


def test_cameras_of_a_run_config(configure, tmp_path):
    """Mounted where the scene's ego has its origin, or where the config says."""
    path = tmp_path / "sensors.yaml"
    path.write_text(SENSORS)
    base = (f"sensors.file={path}", "sensors=carla_yaml", "views=single")
    places = []
    for override in ("sensors.actor_origin=null", "sensors.actor_origin=[1.0,0.5,0.1]"):
        cfg = configure(*base, override)
        assert validate(cfg) == []
        loaded = LoadedScene(RunSpec.of(cfg), StageCache(tmp_path))
        camera = loaded.rig.camera("front_wide_120fov")
        assert (camera.model.width, camera.model.height) == (48, 32)
        places.append(camera.camera_to_rig[:3, 3] - [0, 0, 1.8])
    np.testing.assert_allclose(places[0], actor_origin(loaded.scene))
    np.testing.assert_allclose(places[1], [1.0, 0.5, 0.1])
    assert "give sensors.file" in " ".join(validate(configure("sensors=carla_yaml", "views=single")))
    both = validate(configure(*base, "+sensors.cameras.front.hfov=90"))
    assert "give one of them" in " ".join(both)
