"""Figure of a camera rig: fields of view from above and from the left, and a table of the cameras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cosmos_exp.sensors.camera import Camera, Rig, fields_of_view
from cosmos_exp.sensors.ftheta import FTheta
from cosmos_exp.sensors.rigs import cameras_of_views, mounting
from cosmos_exp.visualization.canvas import FAINT, INK, WHITE, Canvas, Labels, PlanTransform, dotted
from cosmos_exp.visualization.frusta import color_of, draw_distance, frustum_from_above, frustum_from_the_side

PAGE_WIDTH = 1200
MARGIN = 36
HEADER = 84
GAP = 56
ROW = 25
MAX_SCALE = 56.0  # pixels per metre
MAX_HEIGHT = 640  # of the view from above
LABEL = (170.0, 48.0)  # room for labels beside and above the areas, pixels
AXES = {"x": (214, 54, 54), "y": (38, 150, 70), "z": (44, 96, 220)}

# The car that is drawn for scale, metres in the rig frame.
LENGTH, WIDTH, HEIGHT, REAR_OVERHANG, WHEELBASE = 4.9, 1.9, 1.5, 1.05, 2.85
PROFILE = np.array(
    [(-1.05, 0.42), (-1.02, 0.98), (-0.45, 1.06), (0.25, 1.44), (0.9, 1.5), (1.6, 1.46), (2.55, 1.02), (3.55, 0.86),
     (3.82, 0.66), (3.85, 0.32), (-0.95, 0.28)]
)  # fmt: skip
COLUMNS = (
    ("camera", 66, "lm"), ("lens", 312, "lm"), ("image", 392, "lm"), ("hfov", 540, "rm"), ("vfov", 602, "rm"),
    ("x", 664, "rm"), ("y", 720, "rm"), ("z", 776, "rm"), ("roll", 838, "rm"), ("pitch", 896, "rm"),
    ("yaw", 958, "rm"), ("view", 984, "lm"),
)  # fmt: skip


@dataclass(frozen=True)
class CameraRow:
    """A line of the table. size: pixels. hfov, vfov, rotation (roll, pitch, yaw): degrees. position: metres."""

    name: str
    lens: str
    size: tuple[int, int]
    hfov: float
    vfov: float
    position: tuple[float, float, float]
    rotation: tuple[float, float, float]
    view: str

    def cells(self) -> list[str]:
        """The texts of COLUMNS."""
        size, fov = f"{self.size[0]}x{self.size[1]}", [f"{self.hfov:.1f}", f"{self.vfov:.1f}"]
        numbers = [f"{v + 0.0:.2f}" for v in self.position] + [f"{round(v, 1) + 0.0:.1f}" for v in self.rotation]
        return [self.name, self.lens, size, *fov, *numbers, self.view]


def camera_rows(rig: Rig, views: Mapping[str, str]) -> list[CameraRow]:
    """views: {camera: view}, as in the config of the rig."""
    view_of = {camera: view for view, camera in cameras_of_views([c.name for c in rig.cameras], views).items()}
    return [_row(camera, view_of.get(camera.name, "-")) for camera in rig.cameras]


def _row(camera: Camera, view: str) -> CameraRow:
    hfov, vfov = np.degrees(fields_of_view(camera.model))
    position, rotation = mounting(camera.camera_to_rig)
    lens = "f-theta" if isinstance(camera.model, FTheta) else "pinhole"
    size = camera.model.width, camera.model.height
    return CameraRow(camera.name, lens, size, hfov, vfov, tuple(position), tuple(rotation), view)


def format_table(rows: Sequence[CameraRow]) -> str:
    """The table as lines of text."""
    table = [[name for name, _, _ in COLUMNS], *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(COLUMNS))]
    sides = [anchor[0] for _, _, anchor in COLUMNS]
    cells = ([c.rjust(w) if s == "r" else c.ljust(w) for c, w, s in zip(line, widths, sides)] for line in table)
    return "\n".join("  ".join(line).rstrip() for line in cells)


def draw_rig(rig: Rig, views: Mapping[str, str]) -> np.ndarray:
    """uint8 [H,1200,3]. views: {camera: view}, as in the config of the rig."""
    above = [frustum_from_above(camera, draw_distance(camera.model)) for camera in rig.cameras]
    side = [frustum_from_the_side(camera, draw_distance(camera.model)) for camera in rig.cameras]
    top_sheet, side_sheet = _transforms(above, side)
    top, low = _draw_top(rig, above, top_sheet), _draw_side(side, side_sheet)
    rows = camera_rows(rig, views)
    table_top = HEADER + top.height + GAP + low.height + GAP
    page = Canvas(PAGE_WIDTH, table_top + ROW * (len(rows) + 1) + 40)
    _header(page, rig)
    for canvas, y, title in ((top, HEADER, "from above"), (low, HEADER + top.height + GAP, "from the left")):
        left = (PAGE_WIDTH - canvas.width) // 2
        page.paste(canvas, left, y)
        page.text((left, y - 12), title, 13, FAINT)
    _draw_table(page, rows, table_top)
    return page.pixels()


def _header(page: Canvas, rig: Rig) -> None:
    cameras = f"{len(rig.cameras)} camera{'s' if len(rig.cameras) != 1 else ''}"
    page.text((MARGIN, 30), rig.name, 26)
    page.text((PAGE_WIDTH - MARGIN, 26), cameras, 15, anchor="rm")
    note = "grid 1 m; origin on the ground below the rear axle; areas have no end, narrow ones are drawn longer"
    page.text((PAGE_WIDTH - MARGIN, 46), note, 13, FAINT, anchor="rm")


def _transforms(above: list[np.ndarray], side: list[np.ndarray]) -> tuple[PlanTransform, PlanTransform]:
    """Both drawings at one scale and with the same x."""
    points = np.concatenate([*above, [(-1.8, -1.8), (4.6, 1.8)]])
    heights = np.concatenate([*side, [(0, 0), (0, 2.2)]])[:, 1]
    low, high = points.min(axis=0), points.max(axis=0)
    room = np.array([PAGE_WIDTH - 2 * MARGIN, MAX_HEIGHT]) - 2 * np.array(LABEL)
    scale = float(min(*(room / (high - low)), MAX_SCALE))
    spare = np.array([(PAGE_WIDTH - 2 * MARGIN) / scale - (high[0] - low[0]), 2 * LABEL[1] / scale]) / 2
    low, high = low - spare, high + spare
    bottom, top = -0.7, heights.max() + 0.6
    return (
        PlanTransform(low, high, scale),
        PlanTransform(np.array([low[0], bottom]), np.array([high[0], top]), scale),
    )


def _draw_top(rig: Rig, shapes: list[np.ndarray], to_page: PlanTransform) -> Canvas:
    canvas = to_page.canvas()
    _grid(canvas, to_page)
    _car_from_above(canvas, to_page)
    _areas(canvas, [to_page(shape) for shape in shapes])
    _origin(canvas, to_page, ("x", "y"))
    for i, camera in enumerate(rig.cameras):
        canvas.disc(to_page(camera.camera_to_rig[None, :2, 3])[0], 4.5, color_of(i), WHITE, 1.2)
    outlines = np.concatenate([dotted(to_page(np.concatenate([shape, shape[:1]]))) for shape in shapes])
    car = np.stack(np.meshgrid(np.linspace(-1, 3.8, 40), np.linspace(-0.9, 0.9, 20)), axis=-1).reshape(-1, 2)
    labels = Labels(canvas, canvas.box.grown(-6), size=14, obstacles=np.concatenate([outlines, to_page(car)]))
    for i, (camera, shape) in enumerate(zip(rig.cameras, shapes)):
        hfov, vfov = np.degrees(fields_of_view(camera.model))
        text = f"{i + 1}  {camera.name}\n    {hfov:.0f}° x {vfov:.0f}°"
        placed = labels.place(_around_the_arc(to_page(shape)), text, color_of(i))
        assert placed or len(rig.cameras) > 12, camera.name
    return canvas


def _draw_side(shapes: list[np.ndarray], to_page: PlanTransform) -> Canvas:
    canvas = to_page.canvas()
    _grid(canvas, to_page)
    ground = to_page(np.array([(to_page.low[0], 0.0), (to_page.high[0], 0.0)]))
    under = np.concatenate([ground, [(canvas.width, canvas.height), (0, canvas.height)]])
    canvas.polygon(under, (232, 234, 238))
    canvas.line(ground, FAINT, 1.5)
    _car_from_the_side(canvas, to_page)
    _areas(canvas, [to_page(shape) for shape in shapes])
    _origin(canvas, to_page, ("x", "z"))
    labels = Labels(canvas, canvas.box.grown(-4), size=14)
    for i, shape in enumerate(shapes):
        canvas.disc(to_page(shape[:1])[0], 4.5, color_of(i), WHITE, 1.2)
        labels.place(_around_the_arc(to_page(shape)), str(i + 1), color_of(i))
    return canvas


def _grid(canvas: Canvas, to_page: PlanTransform) -> None:
    for axis in (0, 1):
        for metre in range(int(np.ceil(to_page.low[axis])), int(np.floor(to_page.high[axis])) + 1):
            ends = np.array([to_page.low, to_page.high])
            ends[:, axis] = metre
            strong = metre % 5 == 0
            canvas.line(to_page(ends), (206, 212, 222) if strong else (230, 234, 240), 1 if strong else 0.7)
            if strong:
                (x, y) = to_page(ends)[0]
                at, anchor = ((x, canvas.height + 11), "mm") if axis == 0 else ((-6, y), "rm")
                canvas.text(at, f"{metre}", 12, FAINT, anchor=anchor)


def _areas(canvas: Canvas, shapes: list[np.ndarray]) -> None:
    for i, shape in enumerate(shapes):
        canvas.polygon(shape, (*color_of(i), 38))
    for i, shape in enumerate(shapes):
        canvas.polygon(shape, None, color_of(i), 1.6)


def _origin(canvas: Canvas, to_page: PlanTransform, axes: tuple[str, str]) -> None:
    start, length = to_page(np.zeros((1, 2)))[0], 0.9 * to_page.scale
    for name, along, anchor in zip(axes, np.array([(1, 0), (0, -1)]), ("lm", "mm")):
        canvas.arrow(start, start + length * along, AXES[name], 2)
        canvas.text(start + (length + 6) * along, name, 13, AXES[name], anchor=anchor, halo=2)
    canvas.disc(start, 3, INK)


def _car_from_above(canvas: Canvas, to_page: PlanTransform) -> None:
    front, half = LENGTH - REAR_OVERHANG, WIDTH / 2
    for x in (0.0, WHEELBASE):
        for y in (-half + 0.1, half - 0.1):
            wheel = np.array([(-0.33, -0.11), (0.33, -0.11), (0.33, 0.11), (-0.33, 0.11)]) + (x, y)
            canvas.polygon(to_page(wheel), (70, 74, 82))
    canvas.polygon(to_page(_rounded(-REAR_OVERHANG, front, half, 0.5)), (255, 255, 255, 225), INK, 1.6)
    glass = np.array([(1.55, -0.62), (1.55, 0.62), (2.25, 0.78), (2.25, -0.78)])
    rear_glass = np.array([(-0.25, -0.6), (-0.25, 0.6), (-0.7, 0.7), (-0.7, -0.7)])
    for pane in (glass, rear_glass):
        canvas.polygon(to_page(pane), (196, 206, 220, 190), FAINT, 1)


def _car_from_the_side(canvas: Canvas, to_page: PlanTransform) -> None:
    canvas.polygon(to_page(PROFILE), (255, 255, 255, 225), INK, 1.6)
    glass = np.array([(0.0, 1.06), (0.5, 1.38), (1.5, 1.36), (2.2, 1.04)])
    canvas.polygon(to_page(glass), (196, 206, 220, 190), FAINT, 1)
    for x in (0.0, WHEELBASE):
        (hub,) = to_page(np.array([(x, 0.33)]))
        canvas.disc(hub, 0.33 * to_page.scale, (70, 74, 82))
        canvas.disc(hub, 0.19 * to_page.scale, (200, 204, 210))


def _rounded(back: float, front: float, half: float, radius: float) -> np.ndarray:
    """A rectangle with round corners, [N,2]."""
    turn = np.linspace(0, np.pi / 2, 12)
    corners = [(front, half, 0), (back, half, 1), (back, -half, 2), (front, -half, 3)]
    arcs = []
    for x, y, k in corners:
        centre = np.array([x - np.sign(x) * radius, y - np.sign(y) * radius])
        angle = turn + k * np.pi / 2
        arcs.append(centre + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1))
    return np.concatenate(arcs)


def _around_the_arc(shape: np.ndarray) -> list[tuple[np.ndarray, str]]:
    """Places for a label: outside the arc, then inside it, from its middle outwards."""
    arc, found = shape[1:], []
    order = sorted(range(2, len(arc) - 2, 2), key=lambda i: abs(i - len(arc) // 2))
    for offset in (8, 26, -8, 50):
        for i in order:
            outwards = arc[i] - shape[0]
            outwards = outwards / max(np.linalg.norm(outwards), 1e-9) * np.sign(offset)
            side = "m" if abs(outwards[0]) < 0.35 else "lr"[int(outwards[0] < 0)]
            level = "m" if abs(outwards[1]) < 0.35 else "tb"[int(outwards[1] < 0)]
            found.append((arc[i] + outwards * abs(offset), side + level))
    return found


def _draw_table(page: Canvas, rows: Sequence[CameraRow], top: int) -> None:
    units = {"image": "image (px)", "hfov": "hfov (°)", "vfov": "vfov (°)", "x": "x (m)", "y": "y (m)", "z": "z (m)"}
    units |= {"roll": "roll (°)", "pitch": "pitch (°)", "yaw": "yaw (°)", "view": "stands for the view"}
    for name, x, anchor in COLUMNS:
        page.text((x, top), units.get(name, name), 13, FAINT, anchor=anchor)
    page.line(np.array([(MARGIN, top + 13), (PAGE_WIDTH - MARGIN, top + 13)]), (206, 212, 222))
    for i, row in enumerate(rows):
        y = top + ROW * (i + 1) + 4
        page.text((MARGIN, y), str(i + 1), 14, color_of(i))
        page.disc((MARGIN + 18, y), 4, color_of(i))
        for (_, x, anchor), text in zip(COLUMNS, row.cells()):
            page.text((x, y), text, 14, anchor=anchor)
