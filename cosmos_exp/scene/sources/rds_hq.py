from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_exp.scene.source import REQUIRED, SceneConfig, SceneSource, clip_problems, require_root
from cosmos_exp.scene.types import Scene

if TYPE_CHECKING:
    from cosmos_exp.sensors.camera import Rig


FOLDERS_READ = (
    "3d_",
    "all_object_info",
    "ftheta_intrinsic",
    "lidar_raw",
    "pinhole_intrinsic",
    "pose",
    "vehicle_pose",
)  # prefixes of the folders that a scene reads


@dataclass
class RdsHqConfig(SceneConfig):
    """A clip of NVIDIA's RDS-HQ format."""

    root: str = REQUIRED
    """Folder of the clips: <root>/<layer>/<clip>.tar."""
    clip: str | None = None
    """Name of the clip; null: the only one; all: a sweep over every clip of the folder."""
    start: float = 0.0
    """Seconds after the clip's first frame."""
    duration: float | None = None
    """Seconds; null: to the end of the clip."""
    seed: int = 0
    """Of the scenery (buildings, trees) generated beside the roads."""


def load(root: str, clip: str | None, **options: Any) -> Scene:
    from cosmos_exp.scene.rds_hq.scene import load_rds_hq_scene

    return load_rds_hq_scene(root, clip, **options)


def rig(options: Mapping[str, Any], camera_type: str) -> Rig:
    from cosmos_exp.scene.rds_hq.clip import find_clip
    from cosmos_exp.scene.rds_hq.rig import clip_rig

    return clip_rig(find_clip(options["root"], options["clip"]), camera_type)


def contents(options: Mapping[str, Any]) -> Iterator[Path]:
    from cosmos_exp.scene.rds_hq.clip import find_clip

    clip = find_clip(options["root"], options["clip"])
    yield from (p for p in sorted(clip.root.glob(f"*/{clip.clip_id}.tar")) if p.parent.name.startswith(FOLDERS_READ))


def clips(options: Mapping[str, Any]) -> list[str]:
    from cosmos_exp.scene.rds_hq.clip import clip_ids

    require_root(options)
    return clip_ids(options["root"])


def check(options: Mapping[str, Any]) -> Iterator[str]:
    from cosmos_exp.scene.rds_hq.clip import find_clip

    yield from clip_problems(options, find_clip)


SOURCE = SceneSource(
    RdsHqConfig, load, folders=("root",), contents=contents, rig=rig, every={"clip": clips}, check=check
)
