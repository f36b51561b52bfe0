"""Scene sources, one module each: `SOURCE` in `<name>.py` reads `scene.source=<name>`.

Also `load_scene` and `load_rig`, which make the scene and the rig of a config. May import `common`, `sensors` and the
rest of `scene`; readers only inside functions, since composing a config imports every source.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.scene.edits.scene_edits import apply_edits
from cosmos_exp.scene.finite import require_finite
from cosmos_exp.scene.source import SceneConfig, SceneSource, own_options
from cosmos_exp.scene.types import Scene
from cosmos_exp.sensors.camera import Rig
from cosmos_exp.sensors.carla_yaml import configured_cameras
from cosmos_exp.sensors.config import SensorsConfig
from cosmos_exp.sensors.rigs import build_rig, resized

CAMERA_TYPES = ("ftheta", "pinhole")

SOURCES: dict[str, SceneSource] = {
    module.name: import_module(f"{__name__}.{module.name}").SOURCE for module in iter_modules(__path__)
}


def load_scene(config: SceneConfig) -> Scene:
    """The scene of a `scene` config, with its edits. Raises UserError as its source and `apply_edits` do, and where one
    of its numbers is not finite."""
    scene = SOURCES[config.source].load(**own_options(config))
    require_finite(scene)
    scene = apply_edits(scene, config.ego_edit, config.edits)
    require_finite(scene)
    return scene


def load_rig(scene: SceneConfig, sensors: SensorsConfig, *, size: tuple[int, int] | None = None) -> Rig:
    """The rig of a `sensors` config: its cameras, or those that the scene of the `scene` config was recorded with.

    size: (width, height) of every camera; None leaves each its own. Cameras of a sensor file stand relative to the ego
    actor. Raises UserError where the scene has no cameras.
    """
    kind = sensors.camera_type
    if not kind:
        return build_rig(sensors.name, configured_cameras(sensors), size=size)
    if kind not in CAMERA_TYPES:
        raise UserError(f"sensors.camera_type: {unknown_name('camera type', kind, CAMERA_TYPES)}")
    source = SOURCES[scene.source]
    if source.rig is None:
        having = ", ".join(f"scene={name}" for name, other in SOURCES.items() if other.rig)
        raise UserError(f"sensors={sensors.name} goes with {having}: scene={scene.source} has no cameras of its own")
    rig = source.rig(own_options(scene), kind)
    return resized(rig, *size) if size else rig
