"""One picture of a sweep: a frame of every cell, in rows and columns of the swept values."""

from __future__ import annotations

from typing import Any

from PIL import Image, ImageDraw, ImageFont

from cosmos_exp.tracking.cells import Cell, axis_values
from cosmos_exp.video import read_video

TILE_WIDTH = 384
GAP = 10
FONT_SIZE = 15
MAX_COLUMNS = 8
INK, PAPER, EMPTY, ALARM = (30, 30, 34), (250, 250, 250), (226, 226, 230), (176, 32, 32)


def contact_sheet(cells: list[Cell]) -> Image.Image:
    """RGB picture of the cells' grids (or single views)."""
    column_axis, columns, rows = layout(cells)
    tiles = {id(cell): _tile(cell) for cell in cells}
    height = max((tile.height for tile in tiles.values() if tile), default=TILE_WIDTH * 9 // 16)
    font = ImageFont.load_default(FONT_SIZE)
    line = FONT_SIZE + 6
    sheet_size = (
        GAP + max(len(columns), 1) * (TILE_WIDTH + GAP),
        GAP + line + len(rows) * (height + line + GAP),
    )
    sheet = Image.new("RGB", sheet_size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for c, value in enumerate(columns):
        text = f"{column_axis} = {value}" if column_axis else ""
        draw.text((GAP + c * (TILE_WIDTH + GAP), GAP), _fitted(text, font, TILE_WIDTH), INK, font)
    for r, (label, row) in enumerate(rows.items()):
        top = GAP + line + r * (height + line + GAP)
        draw.text((GAP, top), _fitted(label, font, sheet_size[0] - 2 * GAP), INK, font)
        for c, value in enumerate(columns):
            corner = (GAP + c * (TILE_WIDTH + GAP), top + line)
            cell = row.get(repr(value))
            _draw_cell(draw, sheet, corner, height, cell, tiles.get(id(cell)), font)
    return sheet


def layout(cells: list[Cell]) -> tuple[str, list[Any], dict[str, dict[str, Cell]]]:
    """(column axis, its values, {row label: {repr(column value): cell}})."""
    axes = {axis: values for axis, values in axis_values(cells).items() if 1 < len(values) <= MAX_COLUMNS}
    column = max(axes, key=lambda axis: len(axes[axis]), default="")
    rows: dict[str, dict[str, Cell]] = {}
    for number, cell in enumerate(cells):
        rest = "   ".join(f"{axis} = {value}" for axis, value in cell.axes.items() if axis != column)
        label = rest or ("" if column else cell.run)
        place = repr(cell.axes.get(column))
        if place in rows.get(label, {}):  # the same place twice: a run made again under another name
            label = f"{label} ({cell.run or number})"
        rows.setdefault(label, {})[place] = cell
    return column, axes.get(column, [None]), rows


def _tile(cell: Cell) -> Image.Image | None:
    path = cell.videos.get("grid") or cell.videos.get("single view")
    if path is None:
        return None
    frames = read_video(path)
    frame = Image.fromarray(frames[len(frames) // 2])
    return frame.resize((TILE_WIDTH, round(frame.height * TILE_WIDTH / frame.width)), Image.Resampling.LANCZOS)


def _draw_cell(
    draw: ImageDraw.ImageDraw,
    sheet: Image.Image,
    corner: tuple[int, int],
    height: int,
    cell: Cell | None,
    tile: Image.Image | None,
    font: ImageFont.FreeTypeFont,
) -> None:
    x, y = corner
    if tile is not None:
        sheet.paste(tile, corner)
    else:
        draw.rectangle((x, y, x + TILE_WIDTH - 1, y + height - 1), fill=EMPTY)
    if cell is None or cell.state != "done":
        state = "missing" if cell is None else ": ".join(filter(None, (cell.state, cell.error)))
        text = _fitted(state, font, TILE_WIDTH - 16)
        draw.rectangle((x, y, x + 16 + font.getlength(text), y + FONT_SIZE + 10), fill=PAPER)
        draw.text((x + 8, y + 4), text, ALARM, font)


def _fitted(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
