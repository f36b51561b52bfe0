"""Means with their intervals, one below the other, as an SVG picture: for notebooks, without a plotting package."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

AREA, LINE, TOP, MARGIN = 460, 26, 44, 24  # pixels: width of the axis, height of a row, room above it and beside it
LETTER = 6.6  # mean width of a letter, pixels
INK, FAINT, COLOUR = "#222", "#999", "#2a6fbb"
TICKS = 5


@dataclass(frozen=True)
class Bar:
    """One row. low, high: ends of the interval; None where there is none."""

    label: str
    mean: float
    low: float | None = None
    high: float | None = None


class Svg(str):
    """The text of an SVG picture, which Jupyter shows as such."""

    def _repr_svg_(self) -> str:
        return str(self)


def interval_plot(title: str, bars: Sequence[Bar], lines: Mapping[str, float] | None = None) -> Svg:
    """Points with capped intervals over one axis. lines: {label: value} of vertical lines, such as a ceiling or 0."""
    lines = lines or {}
    ends = [end for bar in bars for end in (bar.mean, bar.low, bar.high) if end is not None]
    low, high = min([*ends, *lines.values()]), max([*ends, *lines.values()])
    room = (high - low) * 0.04 or abs(high) * 0.1 or 1.0
    low, high = low - room, high + room
    left = MARGIN + LETTER * max(len(bar.label) for bar in bars)
    right = left + AREA

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * AREA

    bottom = TOP + LINE * len(bars)
    parts = [_text(left, 18, title, weight="bold")]
    for tick in _ticks(low, high):
        parts += [_line(x(tick), bottom, x(tick), bottom + 4, INK), _text(x(tick), bottom + 18, f"{tick:g}", "middle")]
    parts.append(_line(left, bottom, right, bottom, INK))
    for label, value in lines.items():
        parts += [_line(x(value), TOP - 6, x(value), bottom, FAINT, dash="4 3")]
        parts += [_text(x(value), TOP - 10, label, "middle", colour=FAINT)]
    for row, bar in enumerate(bars):
        parts += _bar(bar, left, TOP + LINE * (row + 0.5), x)
    width, height = right + MARGIN, bottom + 28
    size = f'width="{width:.0f}" height="{height}" viewBox="0 0 {width:.0f} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
    return Svg(f'{head}<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>')


def _bar(bar: Bar, left: float, y: float, x: Callable[[float], float]) -> list[str]:
    parts = [_text(left - 12, y + 4, bar.label, "end")]
    if bar.low is not None and bar.high is not None:
        parts.append(_line(x(bar.low), y, x(bar.high), y, COLOUR))
        parts += [_line(x(end), y - 4, x(end), y + 4, COLOUR) for end in (bar.low, bar.high)]
    return [*parts, f'<circle cx="{x(bar.mean):.1f}" cy="{y:.1f}" r="4" fill="{COLOUR}"/>']


def _ticks(low: float, high: float) -> list[float]:
    """About TICKS round numbers between the two."""
    rough = (high - low) / TICKS
    step = 10 ** math.floor(math.log10(rough))
    step *= next(factor for factor in (1, 2, 5, 10) if step * factor >= rough)
    return [round(k * step, 10) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _line(x0: float, y0: float, x1: float, y1: float, colour: str, dash: str = "") -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{colour}" stroke-width="1.5"{dashes}/>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start", *, colour: str = INK, weight: str = "normal") -> str:
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-weight="{weight}"'
    return f"<text {where}>{escape(text)}</text>"
