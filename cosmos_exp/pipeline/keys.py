"""Parts of the stages' keys: what of the config changes a result, and identities of the files that go in.

Values that only say where and how fast (device, threads, folders, tracking) are no part of any key.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cosmos_exp.common.cache import StageCache, stage_key
from cosmos_exp.common.typed_config import identity
from cosmos_exp.controls.class_filter import is_file
from cosmos_exp.scene.edits.scene_edits import edit_identity
from cosmos_exp.scene.source import SceneConfig, own_options
from cosmos_exp.scene.sources import SOURCES
from cosmos_exp.sensors.carla_yaml import configured_cameras
from cosmos_exp.sensors.config import SensorsConfig
from cosmos_exp.sensors.rigs import cameras_of_views

SCENE_VERSION = 2
"""Raise it when a reader makes another scene of the same input."""


def scene_key(scene: SceneConfig, cache: StageCache) -> str:
    """Of a `scene` config; files count by name and content, wherever they lie."""
    source = SOURCES[scene.source]
    paths = {key: Path(getattr(scene, key)) for key in source.files}
    own = {key: value for key, value in identity(scene).items() if key in own_options(scene)}
    if source.take:
        own = {key: value for key, value in own.items() if key == "seed"}
    config = own | {k: p.name for k, p in paths.items()} | {"source": scene.source}
    for folder in source.folders:
        del config[folder]
    edits, edit_files = edit_identity(scene.ego_edit, scene.edits)
    config |= {"edits": edits} if edits else {}
    files = [*paths.values(), *source.contents(own_options(scene)), *edit_files]
    return stage_key("scene", SCENE_VERSION, config, [cache.file_identity(path) for path in files])


def camera_config(sensors: SensorsConfig, view: str) -> Any:
    """What a view's camera follows from, besides the scene: its own values, or those that choose the clip's."""
    if sensors.camera_type:
        return {"camera_type": sensors.camera_type, "views": sensors.views}
    cameras = configured_cameras(sensors)
    camera = cameras[cameras_of_views(list(cameras), sensors.views)[view]]
    return {"camera": camera, "actor_origin": sensors.actor_origin} if sensors.file else camera


def control_config(params: Mapping[str, Any], cache: StageCache) -> tuple[dict[str, Any], list[str]]:
    """A control's parameters, and identities of the files they name."""
    if not is_file(params.get("class_filter")):
        return dict(params), []
    return {**params, "class_filter": "file"}, [cache.file_identity(params["class_filter"])]
