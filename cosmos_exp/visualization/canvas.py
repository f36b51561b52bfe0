"""Antialiased drawing on a page: shapes at three times the resolution, text on top of them at page resolution."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, ...]  # RGB or RGBA, 0..255
Point = Sequence[float] | np.ndarray  # [2]

SUPERSAMPLING = 3
INK: Color = (38, 42, 50)
FAINT: Color = (120, 126, 136)
WHITE: Color = (255, 255, 255)


@dataclass(frozen=True)
class Box:
    """A rectangle on the page, pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def corners(self) -> np.ndarray:
        """[4,2]"""
        return np.array(
            [(self.left, self.top), (self.right, self.top), (self.right, self.bottom), (self.left, self.bottom)]
        )

    def overlaps(self, other: Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def inside(self, other: Box) -> bool:
        return (
            other.left <= self.left
            and self.right <= other.right
            and other.top <= self.top
            and self.bottom <= other.bottom
        )

    def grown(self, margin: float) -> Box:
        return Box(self.left - margin, self.top - margin, self.right + margin, self.bottom + margin)

    def count(self, points: np.ndarray) -> int:
        """How many of the points [N,2] lie in it."""
        x, y = points[:, 0], points[:, 1]
        return int(((x > self.left) & (x < self.right) & (y > self.top) & (y < self.bottom)).sum())


@cache
def font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


class Canvas:
    """A page of width x height pixels. Points are [N,2] page pixels (x right, y down), colours may have an alpha."""

    def __init__(self, width: int, height: int, background: Color = WHITE):
        self.width, self.height = width, height
        self._image = Image.new("RGB", (width * SUPERSAMPLING, height * SUPERSAMPLING), background)
        self._draw = ImageDraw.Draw(self._image, "RGBA")
        self._texts: list[tuple] = []

    @property
    def box(self) -> Box:
        return Box(0, 0, self.width, self.height)

    def polygon(self, points: np.ndarray, fill: Color | None = None, line: Color | None = None, width: float = 1):
        if len(points) < 3 or not self._visible(points):
            return
        if fill is not None:
            self._draw.polygon(_flat(points), fill=fill)
        if line is not None:
            self.line(np.concatenate([points, points[:1]]), line, width)

    def line(self, points: np.ndarray, color: Color, width: float = 1, dashes: tuple[float, float] | None = None):
        """A polyline. dashes: lengths of dash and gap, pixels."""
        if len(points) < 2 or not self._visible(points):
            return
        for part in dashed(points, *dashes) if dashes else [points]:
            self._draw.line(_flat(part), fill=color, width=max(1, round(width * SUPERSAMPLING)), joint="curve")

    def disc(self, center: Point, radius: float, fill: Color, line: Color | None = None, width: float = 1):
        (x, y), r = np.asarray(center) * SUPERSAMPLING, radius * SUPERSAMPLING
        stroke = round(width * SUPERSAMPLING) if line else 0
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill=fill, outline=line, width=stroke)

    def arrow(self, start: Point, end: Point, color: Color, width: float = 2, head: float = 8):
        """A straight arrow; head: length of its head, pixels."""
        tail, tip = np.asarray(start, float), np.asarray(end, float)
        along = (tip - tail) / max(np.linalg.norm(tip - tail), 1e-9)
        across = np.array([-along[1], along[0]])
        neck = tip - along * head
        self.line(np.stack([tail, neck]), color, width)
        self.polygon(np.stack([tip, neck + across * head * 0.45, neck - across * head * 0.45]), color)

    def text(
        self,
        at: Point,
        text: str,
        size: float = 14,
        color: Color = INK,
        *,
        anchor: str = "lm",
        halo: float = 0,
    ) -> None:
        """anchor: which point of the text `at` is, by Pillow's letters. halo: width of a white outline, pixels."""
        self._texts.append((tuple(map(float, at)), text, size, color, anchor, halo))

    def paste(self, other: Canvas, left: int, top: int) -> None:
        self._image.paste(other._image, (left * SUPERSAMPLING, top * SUPERSAMPLING))
        self._texts += [((x + left, y + top), *rest) for (x, y), *rest in other._texts]

    def pixels(self) -> np.ndarray:
        """[H,W,3] uint8."""
        image = self._image.reduce(SUPERSAMPLING)
        draw = ImageDraw.Draw(image, "RGBA")
        for at, text, size, color, anchor, halo in self._texts:
            rim = {"stroke_width": halo, "stroke_fill": (*WHITE, 235)} if halo else {}
            draw.text(at, text, font=font(size), fill=color, anchor=anchor, **rim)
        return np.asarray(image)

    def _visible(self, points: np.ndarray) -> bool:
        low, high = points.min(axis=0), points.max(axis=0)
        return bool(high[0] >= 0 and high[1] >= 0 and low[0] <= self.width and low[1] <= self.height)


@dataclass(frozen=True)
class PlanTransform:
    """Maps metres to page pixels. low, high: [2] metres, corners of the visible area. scale: pixels per metre."""

    low: np.ndarray
    high: np.ndarray
    scale: float

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """[N,2+] metres -> [N,2] pixels."""
        points = np.asarray(points, float)
        return np.stack([points[:, 0] - self.low[0], self.high[1] - points[:, 1]], axis=1) * self.scale

    def canvas(self, background: Color = (250, 251, 253)) -> Canvas:
        width, height = np.round((self.high - self.low) * self.scale).astype(int)
        return Canvas(int(width), int(height), background)


class Labels:
    """Places labels without overlaps. area: where labels are allowed."""

    def __init__(self, canvas: Canvas, area: Box, *, size: float, obstacles: np.ndarray | None = None):
        self.canvas, self.area, self.size = canvas, area, size
        self.obstacles = np.zeros((0, 2)) if obstacles is None else obstacles
        self.taken: list[Box] = []

    def place(self, places: Iterable[tuple[Point, str]], text: str, color: Color = INK) -> bool:
        """Write the text at the place (point, anchor) that covers the fewest obstacles [N,2]; False where all are
        occupied.

        Of equal places the first is taken. A text may have several lines.
        """
        lines = text.split("\n")
        best = None
        for at, anchor in places:
            box = text_box(at, lines, self.size, anchor)
            if not box.inside(self.area) or any(box.overlaps(other) for other in self.taken):
                continue
            hit = box.count(self.obstacles)
            if best is None or hit < best[0]:
                best = hit, box
        if best is None:
            return False
        box = best[1]
        self.taken.append(box.grown(2))
        for i, line in enumerate(lines):
            at = (box.left, box.top + (i + 0.5) * 1.15 * self.size)
            self.canvas.text(at, line, self.size, color, anchor="lm", halo=2)
        return True


def text_box(at: Point, lines: Sequence[str], size: float, anchor: str = "lm") -> Box:
    """Bounding box of lines of text; anchor: l, m or r and t, m or b."""
    width, height = max(font(size).getlength(line) for line in lines), 1.15 * size * len(lines)
    left = at[0] - width * {"l": 0, "m": 0.5, "r": 1}[anchor[0]]
    top = at[1] - height * {"t": 0, "m": 0.5, "b": 1}[anchor[1]]
    return Box(left, top, left + width, top + height)


def dashed(points: np.ndarray, dash: float, gap: float) -> list[np.ndarray]:
    """The dashes of a polyline [N,2], each a polyline."""
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    parts = []
    for start in np.arange(0, lengths[-1], dash + gap):
        end = min(start + dash, lengths[-1])
        inner = lengths[(lengths > start) & (lengths < end)]
        at = np.array([start, *inner, end])
        parts.append(np.stack([np.interp(at, lengths, points[:, k]) for k in (0, 1)], axis=1))
    return parts


def dotted(points: np.ndarray, spacing: float = 6) -> np.ndarray:
    """[M,2] points along a polyline [N,2], at most `spacing` apart."""
    parts = (np.linspace(a, b, 2 + int(np.linalg.norm(b - a) / spacing)) for a, b in pairwise(points))
    return np.concatenate([points, *parts])


def _flat(points: np.ndarray) -> list[tuple[float, float]]:
    return [(x, y) for x, y in (np.asarray(points)[:, :2] * SUPERSAMPLING).tolist()]
