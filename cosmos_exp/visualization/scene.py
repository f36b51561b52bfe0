"""Figure of a scene from above: the map, the path of the ego vehicle, and the tracks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from cosmos_exp.scene.types import Scene, Track
from cosmos_exp.sensors.camera import Camera, Rig
from cosmos_exp.visualization.canvas import FAINT, INK, Box, Canvas, Color, PlanTransform, font
from cosmos_exp.visualization.frusta import color_of, draw_distance, frustum_from_above
from cosmos_exp.visualization.scene_map import GROUND, draw_map, map_entries
from cosmos_exp.visualization.scene_motion import CLASSES, EGO, draw_motion, is_seen, length, path_of

PAGE_WIDTH = 1200
MARGIN = 36
HEADER = 92
MAX_SCALE = 13.0  # pixels per metre
MARGIN_M = 32.0  # metres around the ego's path
HEIGHTS = (440, 800)  # least and most of the map, pixels
LONGEST_BAR = 160  # pixels
RIG_DISTANCE = 12.0  # metres, of a camera with a field of view of 60 degrees
Entry = tuple[str, Color, str]  # of the legend: symbol (box, line, disc or none), colour, text


def draw_scene(scene: Scene, rig: Rig | None = None) -> np.ndarray:
    """uint8 [H,1200,3]. rig: its fields of view are drawn where the ego vehicle starts."""
    to_page = _transform(scene)
    plan = to_page.canvas(GROUND)
    draw_map(plan, to_page, scene.map, scene.start)
    seen = [track for track in scene.tracks if is_seen(plan, to_page, track, scene)]
    if rig:
        _draw_rig(plan, to_page, scene, rig)
    reserved = [_bar_box(plan).grown(4), _axes_box(plan).grown(4)]
    unnamed = draw_motion(plan, to_page, scene, seen, reserved)
    _scale_bar(plan, to_page)
    _axes(plan)
    legend = _legend(scene, seen, unnamed, rig)
    page = Canvas(PAGE_WIDTH, HEADER + plan.height + 40 + legend.height)
    _header(page, scene)
    page.paste(plan, MARGIN, HEADER)
    _coordinates(page, to_page, plan)
    page.paste(legend, MARGIN, HEADER + plan.height + 34)
    return page.pixels()


def count_actors(scene: Scene) -> str:
    count = len(scene.tracks)
    return f"{count or 'no'} actor{'s' if count != 1 else ''} besides the ego"


def _transform(scene: Scene) -> PlanTransform:
    path = scene.ego.trajectory.sample(np.linspace(scene.start, scene.end, 40))[:, :2, 3]
    low, high = path.min(axis=0) - MARGIN_M, path.max(axis=0) + MARGIN_M
    width = PAGE_WIDTH - 2 * MARGIN
    scale = float(min(width / (high[0] - low[0]), HEIGHTS[1] / (high[1] - low[1]), MAX_SCALE))
    height = max((high[1] - low[1]) * scale, HEIGHTS[0])
    middle, half = (low + high) / 2, np.array([width, round(height)]) / scale / 2
    return PlanTransform(middle - half, middle + half, scale)


def _draw_rig(canvas: Canvas, to_page: PlanTransform, scene: Scene, rig: Rig) -> None:
    pose = scene.rig_trajectory.at(scene.start)
    shapes = [to_page(_on_map(camera, pose)) for camera in rig.cameras]
    for i, shape in enumerate(shapes):
        canvas.polygon(shape, (*color_of(i), 44), (*color_of(i), 230), 1.4)


def _on_map(camera: Camera, pose: np.ndarray) -> np.ndarray:
    shape = frustum_from_above(camera, draw_distance(camera.model, at_60_degrees=RIG_DISTANCE))
    return shape @ pose[:2, :2].T + pose[:2, 3]


def _legend(scene: Scene, seen: Sequence[Track], unnamed: int, rig: Rig | None) -> Canvas:
    """Rows of entries, each with a symbol and a text."""
    counts = Counter(track.actor_class for track in seen)
    actors = [(CLASSES[c], f"{c.value}: {counts[c]}") for c in CLASSES if counts[c]]
    note = left_out(len(scene.tracks) - len(seen), unnamed)
    boxes: list[Entry] = [("box", color, text) for color, text in [(EGO, "ego at the start, and its path"), *actors]]
    rows = [[*boxes, *([("", INK, note)] if note else [])], map_entries(scene.map)]
    if rig:
        rows.append([("", INK, f"rig {rig.name}:"), *(("box", color_of(i), c.name) for i, c in enumerate(rig.cameras))])
    lines = [line for row in rows for line in _wrapped(row)]
    canvas = Canvas(PAGE_WIDTH - 2 * MARGIN, 24 * len(lines) + 16)
    for i, line in enumerate(lines):
        x, y = 0.0, 14 + 24 * i
        for sign, color, text in line:
            _draw_symbol(canvas, sign, color, x, y)
            x += 24 if sign else 0
            canvas.text((x, y), text, 13, INK if sign else FAINT)
            x += font(13).getlength(text) + 22
    return canvas


def left_out(outside: int, unnamed: int) -> str:
    """Text of the legend about what is not shown."""
    notes = [(outside, "outside the picture"), (unnamed, "without room for a name")]
    return ", ".join(f"{count} {what}" for count, what in notes if count)


def _wrapped(row: list[Entry]) -> list[list[Entry]]:
    """A row of the legend as lines that fit the page."""
    lines: list[list[Entry]] = [[]]
    x = 0.0
    for entry in row:
        width = (24 if entry[0] else 0) + font(13).getlength(entry[2]) + 22
        if x + width > PAGE_WIDTH - 2 * MARGIN and lines[-1]:
            lines, x = [*lines, []], 0.0
        lines[-1].append(entry)
        x += width
    return [line for line in lines if line]


def _draw_symbol(canvas: Canvas, sign: str, color: Color, x: float, y: float) -> None:
    if sign == "box":
        corners = np.array([(0, -6), (16, -6), (16, 6), (0, 6)]) + (x, y)
        canvas.polygon(corners, color, (150, 154, 160), 0.6)
    elif sign == "line":
        canvas.line(np.array([(x, y), (x + 16, y)]), color, 2.4)
    elif sign == "disc":
        canvas.disc((x + 8, y), 5, color)


def _header(page: Canvas, scene: Scene) -> None:
    size = min(26.0, 26 * 780 / font(26).getlength(scene.clip_id))
    page.text((MARGIN, 30), scene.clip_id, size)
    page.text((PAGE_WIDTH - MARGIN, 26), f"{scene.duration:.1f} s, {count_actors(scene)}", 15, anchor="rm")
    driven = length(path_of(scene.ego, scene))
    page.text((PAGE_WIDTH - MARGIN, 46), f"the ego drives {driven:.0f} m", 13, FAINT, anchor="rm")
    named = [f"map {scene.map.name}"] if scene.map.name != scene.clip_id else []
    known = [f"{key} {value}" for key, value in scene.facts.items() if value != scene.map.name]
    page.text((MARGIN, 58), ", ".join([scene.source, *named, *known]), 13, FAINT)


def _coordinates(page: Canvas, to_page: PlanTransform, plan: Canvas) -> None:
    """World coordinates along the border of the map, metres."""
    step = next(s for s in (5, 10, 20, 50, 100, 200, 500, 1000, 10**6) if s * to_page.scale > 80)
    for axis in (0, 1):
        first = np.ceil(to_page.low[axis] / step) * step
        for metre in np.arange(first, to_page.high[axis], step):
            point = to_page.low.copy()
            point[axis] = metre
            x, y = to_page(point[None])[0] + (MARGIN, HEADER)
            if axis == 0:
                page.line(np.array([(x, HEADER + plan.height), (x, HEADER + plan.height + 5)]), FAINT)
                page.text((x, HEADER + plan.height + 14), f"{metre:g}", 12, FAINT, anchor="mm")
            else:
                page.line(np.array([(MARGIN - 5, y), (MARGIN, y)]), FAINT)
                page.text((MARGIN - 7, y), f"{metre:g}", 11, FAINT, anchor="rm")
    page.text((MARGIN, HEADER - 10), "from above; world coordinates in metres", 13, FAINT)


def _bar_box(canvas: Canvas) -> Box:
    return Box(6, canvas.height - 40, LONGEST_BAR + 26, canvas.height - 8)


def _scale_bar(canvas: Canvas, to_page: PlanTransform) -> None:
    metres = max(m for m in (1, 2, 5, 10, 20, 50, 100, 200) if m * to_page.scale <= LONGEST_BAR)
    box, bar = _bar_box(canvas), metres * to_page.scale
    middle, y = (box.left + box.right) / 2, box.bottom - 10
    left, right = middle - bar / 2, middle + bar / 2
    canvas.polygon(box.corners, (255, 255, 255, 225))
    canvas.line(np.array([(left, y - 5), (left, y), (right, y), (right, y - 5)]), INK, 2)
    canvas.text((middle, y - 11), f"{metres} m", 12, anchor="mm")


def _axes_box(canvas: Canvas) -> Box:
    return Box(canvas.width - 90, 10, canvas.width - 8, 88)


def _axes(canvas: Canvas) -> None:
    box = _axes_box(canvas)
    canvas.polygon(box.corners, (255, 255, 255, 225))
    start = np.array([box.left + 14, box.bottom - 14])
    for name, color, along in (("x", (214, 54, 54), (1, 0)), ("y", (38, 150, 70), (0, -1))):
        canvas.arrow(start, start + 40 * np.array(along), color, 2)
        canvas.text(start + 50 * np.array(along), name, 14, color, anchor="mm")
