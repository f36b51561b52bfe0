"""Class filters: which semantic classes keep their edges, and which keep their colour in the shaded segmentation.

The file is the one CARLA's Cosmos exporter reads: two lists of colours of the CityScapes palette. Its sample gives some
colours twice, once as RGB and once as BGR, because the exporter compares the edge list with BGR images; and its
entry for vehicles, [140, 0, 0], equals no colour of the palette in either order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosmos_exp.common.errors import UserError, ValidationErrors, unknown_name
from cosmos_exp.common.input_files import read_yaml
from cosmos_exp.rendering.palette import PALETTE, Tag

Color = tuple[int, int, int]

SHADED, CANNY = "shaded_segmentation_classes", "canny_classes"
CARLA = "carla"  # name of the classes that the sample file of CARLA's exporter means
VEHICLES = frozenset({Tag.CAR, Tag.TRUCK, Tag.BUS, Tag.TRAIN, Tag.MOTORCYCLE, Tag.BICYCLE})
VEHICLE_ENTRY = (140, 0, 0)
TAG_OF_COLOR = {tuple(color): Tag(tag) for tag, color in enumerate(PALETTE.tolist())}


@dataclass(frozen=True)
class ClassList:
    """colors: as the file gives them. tags: what they mean, in either channel order, vehicles included."""

    colors: tuple[Color, ...]
    tags: frozenset[Tag]

    def keeps(self, semantic: np.ndarray) -> np.ndarray:
        """[...] uint8 tags -> bool, True where the class is kept."""
        table = np.isin(np.arange(len(PALETTE)), list(self.tags))
        return table[semantic % len(PALETTE)]

    def keeps_literally(self, semantic: np.ndarray, *, bgr: bool = False) -> np.ndarray:
        """As CARLA's exporter does: `colors` taken literally, compared with the RGB, or BGR, image of the tags."""
        table = np.array([tuple(color[::-1] if bgr else color) in self.colors for color in PALETTE.tolist()])
        return table[semantic % len(PALETTE)]


@dataclass(frozen=True)
class ClassFilter:
    """shaded, canny: None where the file has no such list. notes: entries that are not taken literally."""

    name: str
    shaded: ClassList | None
    canny: ClassList | None
    notes: tuple[str, ...] = ()

    def required(self, key: str) -> ClassList:
        """The list of that key; UserError where the file has none."""
        found = self.shaded if key == SHADED else self.canny
        if found is None:
            raise UserError(f"class filter {self.name!r} has no list {key!r}: name the classes that are kept")
        return found


def _colors(tags: Sequence[Tag]) -> tuple[Color, ...]:
    return tuple(tuple(PALETTE[tag].tolist()) for tag in tags)


_STREET = (Tag.ROAD, Tag.SIDEWALK, Tag.GROUND, Tag.ROAD_LINE, Tag.OTHER, Tag.TRAFFIC_SIGN, Tag.TRAFFIC_LIGHT, Tag.POLE)
_SHADED = (*_STREET, Tag.VEGETATION, Tag.SKY)
CARLA_CLASSES = ClassFilter(
    CARLA,
    shaded=ClassList(_colors(_SHADED), frozenset(_SHADED)),
    canny=ClassList(
        (*_colors(_STREET), *(color[::-1] for color in _colors(_STREET)), VEHICLE_ENTRY), frozenset(_STREET) | VEHICLES
    ),
)


def find_filter(name: str | Path | None) -> ClassFilter:
    """The filter of a file; of `carla` or None, the classes that the sample file of CARLA's exporter means."""
    return CARLA_CLASSES if name is None or not is_file(name) else read_class_filter(name)


def is_file(name: str | Path | None) -> bool:
    """Whether the name of a filter is that of a file."""
    return name is not None and str(name) != CARLA


def read_class_filter(path: str | Path) -> ClassFilter:
    """A class-filter YAML: `shaded_segmentation_classes` and `canny_classes`, each a list of RGB colours.

    A colour that is of the palette only in BGR order, or is [140, 0, 0], is mapped to the class it stands for; `notes`
    says so. Raises ValidationErrors that names every other colour, unknown keys and empty lists; UserError on a broken
    file.
    """
    given = _read(Path(path))
    errors: list[str] = []
    notes: list[str] = []
    lists: dict[str, ClassList] = {}
    for key, entries in given.items():
        if key not in (SHADED, CANNY):
            errors.append(unknown_name("key of a class filter", str(key), (SHADED, CANNY)))
        elif not isinstance(entries, list) or not entries:
            errors.append(f"{key} keeps no class, so everything would be black: list colours, such as [128, 64, 128]")
        else:
            lists[key] = _read_list(key, entries, errors, notes)
    if not given:
        errors.append(f"the file is empty: it needs {SHADED} or {CANNY}")
    if errors:
        raise ValidationErrors([f"class filter {str(path)!r}: {error}" for error in errors])
    return ClassFilter(str(path), lists.get(SHADED), lists.get(CANNY), tuple(dict.fromkeys(notes)))


def _read(path: Path) -> dict:
    given = read_yaml("class filter", path, give=f"a YAML file, or {CARLA} for the usual classes")
    if given is not None and not isinstance(given, dict):
        raise UserError(f"class filter {str(path)!r} is a {type(given).__name__}, not keys {SHADED} and {CANNY}")
    return given or {}


def _read_list(key: str, entries: list, errors: list[str], notes: list[str]) -> ClassList:
    colors: list[Color] = []
    tags: set[Tag] = set()
    for entry in entries:
        if not _is_color(entry):
            errors.append(f"{key}: {entry!r} is no colour [red, green, blue] of whole numbers 0 to 255")
            continue
        color = tuple(entry)
        colors.append(color)
        try:
            tags |= _meant(color, notes)
        except UserError as error:
            errors.append(f"{key}: {error}")
    return ClassList(tuple(dict.fromkeys(colors)), frozenset(tags))


def _is_color(entry: object) -> bool:
    return isinstance(entry, list) and len(entry) == 3 and all(type(v) is int and 0 <= v <= 255 for v in entry)


def _meant(color: Color, notes: list[str]) -> frozenset[Tag]:
    """The classes that an entry means."""
    if color in TAG_OF_COLOR:
        return frozenset({TAG_OF_COLOR[color]})
    if color == VEHICLE_ENTRY:
        notes.append(
            f"{list(color)} is no colour of the palette (a car is [0, 0, 142]); it is taken for all vehicles: "
            + ", ".join(tag.name.lower() for tag in sorted(VEHICLES))
        )
        return VEHICLES
    if color[::-1] in TAG_OF_COLOR:
        tag = TAG_OF_COLOR[color[::-1]]
        notes.append(f"{list(color)} is {tag.name.lower()} in BGR order; as RGB it is {list(color[::-1])}")
        return frozenset({tag})
    nearest = min(TAG_OF_COLOR, key=lambda known: sum(abs(a - b) for a, b in zip(known, color)))
    raise UserError(
        f"{list(color)} is no colour of the CityScapes palette, in RGB or BGR order; nearest is {list(nearest)}, "
        f"{TAG_OF_COLOR[nearest].name.lower()}"
    )
