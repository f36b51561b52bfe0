"""Image regions, given by semantic classes, a box, or a mask file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cosmos_exp.common.errors import unknown_name
from cosmos_exp.controls.config import AreaConfig, WeightMapConfig
from cosmos_exp.rendering.palette import Tag

CLASSES = tuple(tag.name.lower() for tag in Tag)


@dataclass(frozen=True)
class Area:
    """A region of the image: the intersection of all criteria; the whole image without any.

    classes: names of semantic classes, their union. box: left, top, right, bottom as fractions of width and height.
    mask: file of values in 0..1, or a folder with one for each camera.
    """

    classes: tuple[str, ...] = ()
    box: tuple[float, ...] | None = None
    mask: Path | None = None

    @classmethod
    def of(cls, config: AreaConfig) -> Area:
        box, mask = config.box, config.mask
        return cls(tuple(config.classes), None if box is None else tuple(box), None if mask is None else Path(mask))

    @property
    def is_whole(self) -> bool:
        return not self.classes and self.box is None and self.mask is None

    def problems(self) -> Iterator[str]:
        """Messages about invalid values; the mask file is not read."""
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
    """Factors of a control's weight: `inside` an area and `outside` it."""

    area: Area
    inside: float = 1.0
    outside: float = 0.0

    @classmethod
    def of(cls, config: WeightMapConfig) -> WeightMap:
        """From the keys of a config."""
        return cls(Area.of(config), config.inside, config.outside)
