"""A part of the picture, told by what the scene shows there, by a box, or by a file of values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cosmos_exp.common.errors import unknown_name
from cosmos_exp.controls.config import AreaConfig, WeightMapConfig
from cosmos_exp.render.palette import Tag

CLASSES = tuple(tag.name.lower() for tag in Tag)


@dataclass(frozen=True)
class Area:
    """A part of the picture: where all that is given meets; the whole of it where nothing is.

    classes: names of semantic classes, any of them. box: left, top, right, bottom as shares of width and height.
    mask: file of values, see `generate.maps`, or a folder with one for each camera.
    """

    classes: tuple[str, ...] = ()
    box: tuple[float, float, float, float] | None = None
    mask: Path | None = None

    @classmethod
    def of(cls, config: AreaConfig) -> Area:
        box, mask = config.box, config.mask
        return cls(tuple(config.classes), None if box is None else tuple(box), None if mask is None else Path(mask))

    @property
    def is_whole(self) -> bool:
        return not self.classes and self.box is None and self.mask is None

    def problems(self) -> Iterator[str]:
        """What is wrong with the values; the mask is not looked at."""
        for name in self.classes:
            if name not in CLASSES:
                yield unknown_name("class", name, CLASSES)
        if self.box is not None and not is_box(self.box):
            yield (
                f"box={[float(side) for side in self.box]}: give [left, top, right, bottom] as shares of width and "
                "height, with 0 <= left < right <= 1 and 0 <= top < bottom <= 1"
            )


def is_box(box: tuple[float, ...]) -> bool:
    if len(box) != 4:
        return False
    left, top, right, bottom = box
    return 0 <= left < right <= 1 and 0 <= top < bottom <= 1


@dataclass(frozen=True)
class WeightMap:
    """What a control's weight is multiplied by: `inside` an area and `outside` it."""

    area: Area
    inside: float = 1.0
    outside: float = 0.0

    @classmethod
    def of(cls, config: WeightMapConfig) -> WeightMap:
        return cls(Area.of(config), config.inside, config.outside)
