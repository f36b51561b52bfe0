from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.source import REQUIRED, SceneConfig, SceneSource, clip_problems, require_root
from cosmos_exp.scene.types import Scene

if TYPE_CHECKING:
    from cosmos_exp.sensors.camera import Rig


@dataclass
class ClipGtConfig(SceneConfig):
    """A clip of NVIDIA's ClipGT format."""

    root: str = REQUIRED
    """Folder of the clip, or of folders of clips: <root>/<clip>/<clip>.<table>.parquet."""
    clip: str | None = None
    """Name of the clip; null: the only one; all: a sweep over every clip of the folder."""
    start: float = 0.0
    """Seconds after the clip's first frame."""
    duration: float | None = None
    """Seconds; null: to the end of the clip."""
    seed: int = 0
    """Of the scenery (buildings, trees) generated beside the roads."""


def load(root: str, clip: str | None, **options: Any) -> Scene:
    from cosmos_exp.scene.clipgt.scene import load_clipgt_scene

    return load_clipgt_scene(root, clip, **options)


def rig(options: Mapping[str, Any], camera_type: str) -> Rig:
    from cosmos_exp.scene.clipgt.clip import find_clip
    from cosmos_exp.scene.clipgt.scene import clip_rig

    if camera_type != "ftheta":
        raise UserError(f"sensors.camera_type={camera_type}: a ClipGT clip has ftheta cameras only")
    return clip_rig(find_clip(options["root"], options["clip"]))


def contents(options: Mapping[str, Any]) -> Iterator[Path]:
    from cosmos_exp.scene.clipgt.clip import FRAME_TIMES, find_clip

    clip = find_clip(options["root"], options["clip"])
    yield from sorted(clip.path(name) for name in clip.tables)
    if (times := clip.folder / f"{clip.clip_id}.{FRAME_TIMES}").is_file():
        yield times


def clips(options: Mapping[str, Any]) -> list[str]:
    from cosmos_exp.scene.clipgt.clip import clip_folders, clip_ids

    require_root(options)
    root = Path(options["root"])
    return sorted(clip_folders(root) if root.is_dir() else ()) or clip_ids(root)


def check(options: Mapping[str, Any]) -> Iterator[str]:
    from cosmos_exp.scene.clipgt.clip import find_clip

    yield from clip_problems(options, find_clip)


SOURCE = SceneSource(
    ClipGtConfig, load, folders=("root",), contents=contents, rig=rig, every={"clip": clips}, check=check
)
