"""What an evaluator sees in a video, in classes that the renderer's truth has too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from cosmos_exp.rendering.palette import Tag
from cosmos_exp.scene.types import ActorClass, LaneLine

IGNORED = 255
"""Semantic class of pixels that are not compared."""

SEMANTIC_CLASSES: dict[str, tuple[Tag, ...]] = {
    "road": (Tag.ROAD, Tag.ROAD_LINE),
    "sidewalk": (Tag.SIDEWALK,),
    "building": (Tag.BUILDING, Tag.WALL, Tag.FENCE, Tag.BRIDGE),
    "pole": (Tag.POLE,),
    "traffic_light": (Tag.TRAFFIC_LIGHT,),
    "traffic_sign": (Tag.TRAFFIC_SIGN,),
    "vegetation": (Tag.VEGETATION,),
    "terrain": (Tag.TERRAIN, Tag.GROUND),
    "sky": (Tag.SKY,),
    "person": (Tag.PEDESTRIAN, Tag.RIDER),
    "vehicle": (Tag.CAR, Tag.TRUCK, Tag.BUS, Tag.TRAIN, Tag.MOTORCYCLE, Tag.BICYCLE),
}
"""{class: CityScapes tags of the renderer}. Tags of no class are ignored."""

PAINT_CLASSES = ("solid_white", "broken_white", "yellow", "marking")
"""Paint on the road: lane lines by style and colour; markings are crosswalks, wait lines, arrows and letters."""

OBJECT_CLASSES: dict[str, tuple[ActorClass, ...]] = {
    "car": (ActorClass.CAR,),
    "large_vehicle": (ActorClass.TRUCK, ActorClass.BUS, ActorClass.TRAIN),
    "two_wheeler": (ActorClass.MOTORCYCLE, ActorClass.BICYCLE, ActorClass.RIDER),
    "pedestrian": (ActorClass.PEDESTRIAN,),
    "traffic_light": (),
    "traffic_sign": (),
}
"""{class: classes of tracks}; lights and signs are of the map."""

_SEMANTIC = np.full(256, IGNORED, np.uint8)
for _index, _tags in enumerate(SEMANTIC_CLASSES.values()):
    _SEMANTIC[list(_tags)] = _index
_OBJECT = {actor: i for i, actors in enumerate(OBJECT_CLASSES.values()) for actor in actors}


def semantic_classes(tags: np.ndarray) -> np.ndarray:
    """CityScapes tags [...] uint8 -> index into SEMANTIC_CLASSES, or IGNORED."""
    return _SEMANTIC[tags]


def object_class(actor: ActorClass) -> int | None:
    """Index into OBJECT_CLASSES; None for a track of no class."""
    return _OBJECT.get(actor)


def paint_class(line: LaneLine) -> int:
    """Index into PAINT_CLASSES."""
    if line.color == "yellow":
        return PAINT_CLASSES.index("yellow")
    return PAINT_CLASSES.index("broken_white" if line.style == "broken" else "solid_white")


@dataclass(frozen=True)
class Perception:
    """What an evaluator sees in F frames of H x W pixels. What it cannot tell is None.

    semantic: uint8 [F,h,w], index into SEMANTIC_CLASSES; known: the classes that it tells apart. depth: float32 [F,h,w]
    metres, or in any unit: measures of it are scale-invariant. paint: uint8 [F,h,w], 0 or 1 + index into PAINT_CLASSES.
    boxes: float32 [N,7]: frame, index into OBJECT_CLASSES, score 0..1, left, top, right, bottom in pixels of the H x W
    frame. Maps may be smaller than the frame: they cover it. features: float32 [F,D], what the network makes of frames.
    """

    semantic: np.ndarray | None = None
    depth: np.ndarray | None = None
    paint: np.ndarray | None = None
    boxes: np.ndarray | None = None
    features: np.ndarray | None = None
    known: Sequence[str] = tuple(SEMANTIC_CLASSES)

    def boxes_of(self, frame: int) -> np.ndarray:
        """[n,6]: class, score, left, top, right, bottom."""
        assert self.boxes is not None
        return self.boxes[self.boxes[:, 0] == frame, 1:]

    def at(self, rows: np.ndarray) -> Perception:
        """Of these of the frames, [r]."""
        whole = {name: getattr(self, name) for name in ("semantic", "depth", "paint", "features")}
        maps: dict[str, Any] = {name: x[rows] for name, x in whole.items() if x is not None}
        boxes = self.boxes
        if boxes is not None:
            of_rows = [boxes[boxes[:, 0] == row] for row in rows]
            numbers = np.repeat(np.arange(len(rows)), [len(found) for found in of_rows])
            boxes = np.concatenate([numbers[:, None], np.concatenate(of_rows)[:, 1:]], axis=1, dtype=np.float32)
        return replace(self, **maps, boxes=boxes)

    def arrays(self) -> dict[str, np.ndarray]:
        """For storage; `from_arrays` reads them back."""
        names = ("semantic", "depth", "paint", "boxes", "features")
        values = {name: getattr(self, name) for name in names}
        known = np.array([name in self.known for name in SEMANTIC_CLASSES])
        return {"known": known} | {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Perception:
        known = tuple(name for name, told in zip(SEMANTIC_CLASSES, arrays["known"], strict=True) if told)
        return cls(**{name: value for name, value in arrays.items() if name != "known"}, known=known)


class Evaluator(Protocol):
    """A perception network. identity: what its output depends on beside the frames, for cache keys. every: it is given
    one of so many frames of a video."""

    @property
    def identity(self) -> Mapping[str, object]: ...

    @property
    def every(self) -> int: ...

    def perceive(self, frames: np.ndarray) -> Perception:
        """frames: uint8 [F,H,W,3] RGB."""
        ...
