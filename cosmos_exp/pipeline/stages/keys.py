"""Parts of the stages' keys: what of the config changes a result, and identities of the files that go in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cosmos_exp.common.cache import Entry, StageCache, stage_key
from cosmos_exp.controls.class_filter import is_file
from cosmos_exp.models.kernels.speed import EIGHT_BITS
from cosmos_exp.models.transfer1.clip_shapes import Video
from cosmos_exp.pipeline.cached_results import VERSIONS
from cosmos_exp.sampling.chunks import Chunk
from cosmos_exp.scene.edits.scene_edits import edit_identity
from cosmos_exp.scene.source import own_options
from cosmos_exp.scene.sources import SOURCES
from cosmos_exp.sensors.carla_yaml import configured_cameras
from cosmos_exp.sensors.rigs import cameras_of_views


def keys_of(*entries: Entry | None) -> list[str]:
    return [entry.key for entry in entries if entry]


def scene_key(scene: Mapping[str, Any], cache: StageCache) -> str:
    """Of a `scene` config; files count by name and content, wherever they lie."""
    source = SOURCES[scene["source"]]
    paths = {key: Path(scene[key]) for key in source.files}
    config = own_options(scene) | {k: p.name for k, p in paths.items()} | {"source": scene["source"]}
    for folder in source.folders:
        del config[folder]
    edits, edit_files = edit_identity(scene)
    config |= {"edits": edits} if edits else {}
    files = [*paths.values(), *source.contents(own_options(scene)), *edit_files]
    return stage_key("scene", VERSIONS["scene"], config, [cache.file_identity(path) for path in files])


def camera_config(sensors: Mapping[str, Any], view: str) -> Any:
    """What a view's camera follows from, besides the scene: its own values, or those that choose the clip's."""
    if sensors["camera_type"]:
        return {"camera_type": sensors["camera_type"], "views": sensors["views"]}
    cameras = configured_cameras(sensors)
    camera = cameras[cameras_of_views(list(cameras), sensors["views"])[view]]
    return {"camera": camera, "actor_origin": sensors["actor_origin"]} if sensors["file"] else camera


def control_config(params: Mapping[str, Any], cache: StageCache) -> tuple[dict[str, Any], list[str]]:
    """A control's parameters, and identities of the files they name."""
    if not is_file(params.get("class_filter")):
        return dict(params), []
    return {**params, "class_filter": "file"}, [cache.file_identity(params["class_filter"])]


def chunk_config(video: Video, chunk: Chunk) -> dict[str, int]:
    """Which frames a chunk has; nothing where it is the whole video."""
    return {} if chunk.covers(video.shape.frames) else {"start": chunk.start, "size": chunk.size}


def given_config(video: Video, chunk: Chunk) -> dict[str, int]:
    """Which chunk is made and from how many given frames; nothing of the first."""
    return {"chunk": chunk.index, "overlap": video.overlap} if chunk.index else {}


def speed_config(speed: Mapping[str, Any]) -> dict[str, Any]:
    """What of the `speed` group changes a result by more than rounding: of kernels and layers, the 8-bit ones."""
    changing = {key: speed[key] for key in ("guidance_interval", "cache_threshold") if speed[key]}
    changing |= {key: speed[key] for key in ("attention", "linears") if speed[key] in EIGHT_BITS}
    return {"speed": changing} if changing else {}
