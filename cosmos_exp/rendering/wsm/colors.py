"""Colours (RGB 0..255), widths and paint of a World Scenario map: NVIDIA's tables hdmap v3, bbox v3 and light v2."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.scene.rds_hq.objects import HDMAP_CLASSES, OTHERS

Color = tuple[int, int, int]

LINE_WIDTH, POLE_WIDTH, BOX_EDGE_WIDTH = 12.0, 5.0, 4.0  # pixels at depth 0, at any resolution
POLE = (183, 69, 177)
ROAD_BOUNDARY = (253, 1, 232)
WAIT_LINE = (108, 179, 59)
CROSSWALK = (139, 93, 255)
ROAD_MARKING = (20, 254, 185)
TRAFFIC_SIGN = (8, 2, 255)
BOX_EDGE = (200, 200, 200)
LIGHTS = {"red": (240, 50, 50), "yellow": (255, 200, 0), "green": (130, 240, 132), "unknown": (100, 100, 100)}
BOXES: dict[str, tuple[Color, Color]] = {  # front, rear
    "Car": ((0, 46, 136), (126, 206, 255)),
    "Truck": ((204, 55, 0), (255, 192, 64)),
    "Pedestrian": ((148, 0, 62), (255, 124, 171)),
    "Cyclist": ((0, 80, 66), (102, 208, 198)),
    "Others": ((53, 26, 20), (166, 136, 125)),
}
CLASSES = {kind: name for name, kinds in HDMAP_CLASSES.items() for kind in kinds if kind != "Truck"} | {
    "Bicycle": "Cyclist",
    "Motorcycle": "Cyclist",
    "Truck": "Truck",
}
_CLASS_OF_LOWER_CASE = {kind.lower(): name for kind, name in CLASSES.items()}


class Paint(Enum):
    """What of a lane line is painted: all, 3 m of 12, 1.5 m of 3, dots in groups, or a tenth in dots."""

    SOLID = "solid"
    LONG_DASHES = "long dashes"
    SHORT_DASHES = "short dashes"
    DOT_DASHES = "dot dashes"
    DOTS = "dots"


@dataclass(frozen=True)
class Style:
    """Of a lane line. paint: of a single line, or of the left and the right of two."""

    color: Color
    paint: tuple[Paint, ...]


WHITE, YELLOW, OCHRE = (255, 255, 255), (255, 255, 0), (181, 164, 71)
LINE_COLORS = {"WHITE": WHITE, "YELLOW": YELLOW, "BLUE": OCHRE}
PAINTS = {
    "SOLID_SINGLE": (Paint.SOLID,),
    "DASHED_SINGLE": (Paint.LONG_DASHES,),
    "LONG_DASHED_SINGLE": (Paint.LONG_DASHES,),
    "SHORT_DASHED_SINGLE": (Paint.SHORT_DASHES,),
    "DOT_DASHED_SINGLE": (Paint.DOT_DASHES,),
    "DOT_SOLID_SINGLE": (Paint.DOTS,),
    "SOLID_DOUBLE": (Paint.SOLID, Paint.SOLID),
    "SOLID_GROUP": (Paint.SOLID, Paint.SOLID),
    "DASHED_DOUBLE": (Paint.LONG_DASHES, Paint.LONG_DASHES),
    "LONG_DASHED_GROUP": (Paint.LONG_DASHES, Paint.LONG_DASHES),
    "DOT_DASHED_GROUP": (Paint.DOT_DASHES, Paint.DOT_DASHES),
    "DOT_SOLID_GROUP": (Paint.DOTS, Paint.DOTS),
    "SOLID_DASHED": (Paint.LONG_DASHES, Paint.SOLID),
    "DASHED_SOLID": (Paint.SOLID, Paint.LONG_DASHES),
}
REFERENCE_STYLES = (  # all that the reference paints; it draws every other line solid and ochre
    *("WHITE SOLID_SINGLE", "YELLOW SOLID_SINGLE", "WHITE LONG_DASHED_SINGLE", "YELLOW LONG_DASHED_SINGLE"),
    *("WHITE SHORT_DASHED_SINGLE", "WHITE DOT_DASHED_SINGLE", "YELLOW DOT_SOLID_SINGLE"),
    *("WHITE SOLID_GROUP", "YELLOW SOLID_GROUP", "YELLOW DOT_SOLID_GROUP"),
    *("YELLOW DASHED_SOLID", "YELLOW SOLID_DASHED"),
)
INVISIBLE = "VIRTUAL"  # a style of lines that are not painted on the road


def line_style(colors: Sequence[str], styles: Sequence[str], *, reference_compat: bool) -> Style | None:
    """By the most frequent pair of a colour and a style; white and solid where there is none. None: not painted.

    reference_compat: as the reference, which paints REFERENCE_STYLES alone.
    """
    pairs = Counter(zip(colors, styles)).most_common(1)
    color, style = (word.upper() for word in pairs[0][0]) if pairs else ("WHITE", "SOLID_SINGLE")
    if reference_compat:
        known = f"{color} {style}" in REFERENCE_STYLES
        return Style(LINE_COLORS[color], PAINTS[style]) if known else Style(OCHRE, (Paint.SOLID,))
    if style == INVISIBLE:
        return None
    return Style(LINE_COLORS.get(color, OCHRE), PAINTS.get(style, (Paint.SOLID,)))


def box_class(category: str, *, reference_compat: bool, any_case: bool = True) -> str:
    """The class of BOXES that an object is drawn as; Others for unknown categories.

    reference_compat: trucks are drawn as Others, and with any_case=False upper and lower case matter.
    """
    if reference_compat:
        name = _CLASS_OF_LOWER_CASE.get(category.lower()) if any_case else CLASSES.get(category)
        return OTHERS if name in (None, "Truck") else str(name)
    return _CLASS_OF_LOWER_CASE.get(category.lower(), OTHERS)


def is_known(category: str) -> bool:
    """Whether an object of that category has a class of its own."""
    return category.lower() in _CLASS_OF_LOWER_CASE


def light_color(state: str) -> Color:
    if state not in LIGHTS:
        raise UserError(unknown_name("state of a traffic light", state, LIGHTS))
    return LIGHTS[state]
