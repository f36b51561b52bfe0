"""Interface of a scene source: a config type and a function that makes a scene from its values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.typed_config import NO_EFFECT, REQUIRED
from cosmos_exp.scene.edits.ego_edit import EgoEdit
from cosmos_exp.scene.types import Scene

if TYPE_CHECKING:
    from cosmos_exp.common.progress import Tick
    from cosmos_exp.sensors.camera import Camera, Rig

ALL = "all"


@dataclass
class SceneConfig:
    """Fields of every scene source."""

    name: str = field(default=REQUIRED, metadata=NO_EFFECT)
    """Of the scene in the name of a run."""
    source: str = REQUIRED
    """Which of `cosmos_exp.scene.sources` reads it; follows from the option of the group."""
    weather: str = "Original"
    """Style that the renderer draws the rgb input of the edge and vis controls in."""
    ego_edit: EgoEdit = field(default_factory=EgoEdit)
    """Edit of the ego trajectory."""
    edits: dict[str, Any] = field(default_factory=dict)
    """{name: edit of other tracks}: kind is drop, move, retime, copy or add; its fields: scene/edits/scene_edits.py."""


@dataclass(frozen=True)
class Pictures:
    """What a run needs of a source that delivers pictures with the scene.

    cameras: from the origin [3] of the ego actor in the rig frame to the cameras, whose poses are relative to that
    actor (FLU metres). outputs: of a `CameraRender`. frames: 1/fps apart from the scene's start on. threads: to work
    with. tick: told (frames done, frames in all).
    """

    cameras: Callable[[np.ndarray], Sequence[Camera]]
    outputs: tuple[str, ...]
    fps: float
    frames: int
    threads: int
    tick: Tick


@dataclass(frozen=True)
class SceneSource:
    """config: type of its `scene` group. load: takes the fields that this type adds to SceneConfig as keywords.

    files: those of them that are paths of files; they are checked before a run and count in the cache by content.
    folders: those that are paths of folders, checked likewise. contents: from the values of these fields to the files
    below the folders that the scene is made of; they count in the cache by content.
    rig: from these values and a camera type (ftheta or pinhole) to the cameras of the recording.
    take: of a source with pictures of its own: capture them into a folder, from these values. Such a source has the
    fields `folder`, which `load` reads, and `seed`; of its fields seed alone counts in the cache beside `contents`.
    every: {field: function from these values to all values of that field that have a scene}, for the value `all`.
    check: from these values to their problems, one message each.
    """

    config: type[SceneConfig]
    load: Callable[..., Scene]
    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    contents: Callable[[Mapping[str, Any]], Iterable[Path]] = lambda options: ()
    rig: Callable[[Mapping[str, Any], str], Rig] | None = None
    take: Callable[[Mapping[str, Any], Pictures, Path], None] | None = None
    every: Mapping[str, Callable[[Mapping[str, Any]], Sequence[str]]] = field(default_factory=dict)
    check: Callable[[Mapping[str, Any]], Iterable[str]] = lambda options: ()


def window_problems(start: float, duration: float | None) -> Iterator[str]:
    """Of a time window of a recording, as far as they can be told without it."""
    if duration is not None and not 0 < duration < math.inf:
        yield f"scene.duration={duration:g}: a time window must be longer than 0 s, and finite"
    if not 0 <= start < math.inf:
        yield f"scene.start={start:g}: must be 0 s or later, and finite"


def own_options(config: SceneConfig) -> dict[str, Any]:
    """The values of a `scene` config that only its source knows."""
    names = [entry.name for entry in fields(config) if entry.name not in SceneConfig.__dataclass_fields__]
    return {name: getattr(config, name) for name in names}


def require_root(options: Mapping[str, Any]) -> None:
    """Raises UserError where scene.clip=all is given without the folder of the clips."""
    if "root" not in options:
        raise UserError("scene.clip=all needs to know where the clips are: give scene.root=FOLDER beside it")


def clip_problems(options: Mapping[str, Any], find_clip: Callable[[str, str | None], object]) -> Iterator[str]:
    """What is wrong with the clip of a folder of clips, and with the part of it. find_clip: of a root and a name."""
    if options["clip"] == ALL:
        yield "scene.clip=all makes a sweep over the clips: give it, and scene.root, on the command line"
        return
    if Path(options["root"]).is_dir():
        try:
            find_clip(options["root"], options["clip"])
        except UserError as error:
            yield f"scene: {error}"
    yield from window_problems(options["start"], options["duration"])
