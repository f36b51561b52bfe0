"""A sweep as one picture or one video: a tile per cell, in rows and columns of the swept values."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.video import VideoWriter, first_readable, frame_rate, middle_frame, stream_video, video_shape
from cosmos_exp.runs.sweep_cells import Cell, axis_values

log = logging.getLogger(__name__)

DEFAULT_RATE = 10.0  # Hz, of sheets of videos none of which can be read
TILE_WIDTH = 384
SMALLEST_TILE = 128
SLIDE = (1920, 1080)  # width and height that a video keeps to, pixels
GAP = 10
FONT_SIZE = 15
LINE = FONT_SIZE + 6
MAX_COLUMNS = 8
INK, PAPER, EMPTY, ALARM = (30, 30, 34), (250, 250, 250), (226, 226, 230), (176, 32, 32)


class ContactSheet:
    """Cells laid out, with labels; `show` is what each one shows, e.g. `grid`, by default that or the single view.

    column: the axis of the columns, by default the one of most values. within: width and height to keep to, pixels;
    UserError where the cells are too many for tiles that one can still see.
    """

    def __init__(
        self, cells: list[Cell], *, show: str = "", column: str = "", within: tuple[int, int] | None = None
    ) -> None:
        self.column, self.columns, self.rows = layout(cells, column)
        self.videos = {id(cell): path for cell in cells if (path := _video(cell, show)) is not None}
        if show and not self.videos:
            raise UserError(unknown_name("video", show, dict.fromkeys(what for cell in cells for what in cell.videos)))
        self.shape = _shape(self.videos)
        self.tile = self._tile_size(within)
        self.font = ImageFont.load_default(FONT_SIZE)
        self.sheet = self._empty()

    def picture(self) -> Image.Image:
        """The middle frame of every video."""
        sheet = self.sheet.copy()
        for corner, path in self._places():
            try:
                sheet.paste(Image.fromarray(middle_frame(path, size=self.tile)), corner)
            except UserError as error:  # of one damaged file
                log.warning("%s", error)
                self._draw_empty(ImageDraw.Draw(sheet), corner, str(error))
            self._draw_state(ImageDraw.Draw(sheet), corner)
        return sheet

    def write_video(self, path: Path) -> None:
        """All videos at once, at the frame rate of the first; one that ends earlier stands still.

        UserError where no cell has a video.
        """
        places = dict(self._places())
        if not places:
            raise UserError("none of the cells has a video")
        streams = {corner: stream_video(video, size=self.tile) for corner, video in places.items()}
        fps = first_readable(frame_rate, places.values()) or DEFAULT_RATE
        sheet = np.array(self.sheet)
        with VideoWriter(path, width=sheet.shape[1], height=sheet.shape[0], fps=fps) as writer:
            while streams:
                for corner, stream in list(streams.items()):
                    frame = _next_frame(stream)
                    if frame is None:
                        del streams[corner]
                        continue
                    x, y = corner
                    sheet[y : y + self.tile[1], x : x + self.tile[0]] = frame
                if streams:
                    writer.write(sheet)

    def _tile_size(self, within: tuple[int, int] | None) -> tuple[int, int]:
        """Even, so that the whole is even too: what H.264 asks for."""
        height, width = self.shape
        tile = TILE_WIDTH
        if within:
            across = (within[0] - GAP) // len(self.columns) - GAP
            down = (within[1] - GAP - LINE) // len(self.rows) - GAP - LINE
            tile = min(across, down * width // height)
            if tile < SMALLEST_TILE:
                raise UserError(
                    f"{len(self.columns)} columns and {len(self.rows)} rows of videos are too many for {within[0]} x "
                    f"{within[1]} pixels: choose fewer cells with --where AXIS=VALUE, or another --columns"
                )
        return tile // 2 * 2, round(tile * height / width) // 2 * 2

    def _empty(self) -> Image.Image:
        """Labels, and what there is to say of cells without a video."""
        width, height = self.tile
        size = (GAP + len(self.columns) * (width + GAP), GAP + LINE + len(self.rows) * (height + LINE + GAP))
        sheet = Image.new("RGB", (size[0] // 2 * 2, size[1] + size[1] % 2), PAPER)
        draw = ImageDraw.Draw(sheet)
        for c, value in enumerate(self.columns):
            text = f"{self.column} = {value}" if self.column else ""
            draw.text((GAP + c * (width + GAP), GAP), _fitted(text, self.font, width), INK, self.font)
        for r, label in enumerate(self.rows):
            draw.text((GAP, self._corner(0, r)[1] - LINE), _fitted(label, self.font, size[0] - 2 * GAP), INK, self.font)
        for corner, cell in self._cells():
            if cell is None or id(cell) not in self.videos:
                self._draw_empty(draw, corner)
                self._draw_state(draw, corner)
        return sheet

    def _draw_empty(self, draw: ImageDraw.ImageDraw, corner: tuple[int, int], why: str = "") -> None:
        (x, y), (width, height) = corner, self.tile
        draw.rectangle((x, y, x + width - 1, y + height - 1), fill=EMPTY)
        draw.text((x + 8, y + height // 2), _fitted(why, self.font, width - 16), ALARM, self.font)

    def _corner(self, column: int, row: int) -> tuple[int, int]:
        width, height = self.tile
        return GAP + column * (width + GAP), GAP + LINE + row * (height + LINE + GAP) + LINE

    def _cells(self) -> Iterator[tuple[tuple[int, int], Cell | None]]:
        for r, row in enumerate(self.rows.values()):
            for c, value in enumerate(self.columns):
                yield self._corner(c, r), row.get(repr(value))

    def _places(self) -> Iterator[tuple[tuple[int, int], Path]]:
        for corner, cell in self._cells():
            if cell is not None and id(cell) in self.videos:
                yield corner, self.videos[id(cell)]

    def _draw_state(self, draw: ImageDraw.ImageDraw, corner: tuple[int, int]) -> None:
        """Over a cell that is not done: its state and why."""
        cell = dict(self._cells())[corner]
        if cell is not None and cell.state == "done":
            return
        state = "missing" if cell is None else ": ".join(filter(None, (cell.state, cell.error)))
        text = _fitted(state, self.font, self.tile[0] - 16)
        x, y = corner
        draw.rectangle((x, y, x + 16 + self.font.getlength(text), y + FONT_SIZE + 10), fill=PAPER)
        draw.text((x + 8, y + 4), text, ALARM, self.font)


def layout(cells: list[Cell], column: str = "") -> tuple[str, list[Any], dict[str, dict[str, Cell]]]:
    """(column axis, its values, {row label: {repr(column value): cell}}). UserError for an axis that there is not."""
    values = axis_values(cells)
    if column and column not in values:
        raise UserError(unknown_name("axis", column, values))
    axes = {axis: v for axis, v in values.items() if 1 < len(v) <= MAX_COLUMNS}
    column = column or max(axes, key=lambda axis: len(axes[axis]), default="")
    rows: dict[str, dict[str, Cell]] = {}
    for number, cell in enumerate(cells):
        varied = [axis for axis in cell.axes if axis != column and len(values[axis]) > 1]
        label = "   ".join(f"{axis} = {cell.axes[axis]}" for axis in varied) or ("" if column else cell.run)
        place = repr(cell.axes.get(column))
        if place in rows.get(label, {}):  # the same place twice: a run made again under another name
            label = f"{label} ({cell.run or number})"
        rows.setdefault(label, {})[place] = cell
    return column, values.get(column, [None]), rows


def _video(cell: Cell, show: str) -> Path | None:
    return cell.videos.get(show) if show else cell.videos.get("grid") or cell.videos.get("single view")


def _shape(videos: dict[int, Path]) -> tuple[int, int]:
    """Height and width of the first video that can be read, 9:16 where there is none."""
    shape = first_readable(video_shape, videos.values())
    return shape[1:] if shape else (9, 16)


def _next_frame(stream: Iterator[np.ndarray]) -> np.ndarray | None:
    """None at the end, also of a file that ends too early or is damaged."""
    try:
        return next(stream, None)
    except UserError as error:
        log.warning("%s", error)
        return None


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
