"""Meshes of the road network: surface, kerbs, sidewalks, paint and the ground around them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from cosmos_exp.rendering.mesh import NO_FRAME, Material, Mesh, fan, join, mesh, quad, strip
from cosmos_exp.rendering.palette import Tag
from cosmos_exp.scene.types import Lane, LaneLine, LaneType, SceneMap

KERB_HEIGHT = 0.12
KERB_WIDTH = 0.16
LINE_LIFT = 0.012
MARKING_LIFT = 0.018
CROSSWALK_LIFT = 0.024
DASH, GAP = 3.0, 4.5
STRIPE = 0.5
GROUND_DROP = 0.06
GROUND_CELL = 12.0
GROUND_MARGIN = 90.0
HORIZON = 4000.0

SURFACES = {
    LaneType.DRIVING: (Material.ASPHALT, Tag.ROAD, (0.33, 0.33, 0.34), 0.0),
    LaneType.BIKING: (Material.ASPHALT, Tag.ROAD, (0.42, 0.30, 0.27), 0.0),
    LaneType.PARKING: (Material.ASPHALT, Tag.ROAD, (0.40, 0.40, 0.40), 0.0),
    LaneType.SHOULDER: (Material.ASPHALT, Tag.ROAD, (0.38, 0.37, 0.36), 0.0),
    LaneType.SIDEWALK: (Material.PAVING, Tag.SIDEWALK, (0.62, 0.60, 0.57), KERB_HEIGHT),
    LaneType.MEDIAN: (Material.GRASS, Tag.TERRAIN, (0.34, 0.44, 0.20), KERB_HEIGHT),
    LaneType.OTHER: (Material.ASPHALT, Tag.GROUND, (0.42, 0.42, 0.40), -0.01),
}
PAINTS = {"white": (0.93, 0.93, 0.91), "yellow": (0.93, 0.72, 0.16)}
GROUNDS = {
    "downtown": (Material.PAVING, (0.52, 0.51, 0.49)),
    "rural": (Material.GRASS, (0.40, 0.45, 0.20)),
}
LAWN = (Material.GRASS, (0.34, 0.46, 0.20))


def road_mesh(scene_map: SceneMap, area: str = "") -> Mesh:
    """All surfaces on the ground. area: the ground between the roads is paved in `downtown`, else grass."""
    parts = [lane_mesh(lane) for lane in scene_map.lanes]
    parts += [kerb_mesh(line) for line in scene_map.road_boundaries]
    parts += [line_mesh(line) for line in scene_map.lane_lines]
    parts += [crosswalk_mesh(polygon) for polygon in scene_map.crosswalks]
    parts += [marking_mesh(polygon) for polygon in scene_map.road_markings]
    parts += [wait_line_mesh(line) for line in scene_map.wait_lines]
    parts.append(ground_mesh(scene_map, area))
    return join(parts)


def lane_mesh(lane: Lane) -> Mesh:
    """The lane's surface, and the faces below its edges where it is raised."""
    material, tag, color, lift = SURFACES[lane.type]
    keep = simplified_stations(lane.left, lane.right)
    left, right = lane.left[keep] + [0, 0, lift], lane.right[keep] + [0, 0, lift]
    if len(left) < 2:
        return join([])
    ruts = lane.type is LaneType.DRIVING and not lane.junction
    frame = lateral_frames(left, right) if ruts else NO_FRAME
    parts = [mesh(strip(left, right), material, tag, color, frame=frame, seed=float(ruts), two_sided=True)]
    if lift > 0:
        for edge in (left, right):
            face = strip(edge, edge - [0, 0, lift + 0.3])
            parts.append(mesh(face, Material.KERB, tag, (0.66, 0.65, 0.62), two_sided=True))
    return join(parts)


def simplified_stations(left: np.ndarray, right: np.ndarray, tolerance: float = 0.02) -> np.ndarray:
    """Indices of the stations that keep both edges within `tolerance` metres of the full polylines, and a fifth of that
    in height, so that paint stays above the surface."""
    both = np.concatenate([left, right], axis=1)
    keep = [0]
    last = len(both) - 1
    i = 0
    while i < last:
        step = 1
        while i + 2 * step <= last and _straight(both[i : i + 2 * step + 1], tolerance):
            step *= 2
        i = min(i + step, last)
        keep.append(i)
    return np.array(keep)


def _straight(points: np.ndarray, tolerance: float) -> bool:
    """Whether the inner points lie near the chord: true for both halves of the columns (two edges)."""
    for half in (points[:, :3], points[:, 3:]):
        chord = half[-1] - half[0]
        length = np.linalg.norm(chord)
        if length < 1e-6:
            return False
        offset = half - half[0]
        across = offset - (offset @ chord)[:, None] / length**2 * chord
        if np.linalg.norm(across, axis=1).max() > tolerance or np.abs(across[:, 2]).max() > 0.2 * tolerance:
            return False
    return True


def lateral_frames(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """[2(N-1),8] texture frames of a strip: u = metres left of the lane's centre line, v = metres along."""
    centre = (left[:-1] + right[:-1]) / 2
    along = (left[1:] + right[1:]) / 2 - centre
    along[:, 2] = 0
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    across = np.stack([-along[:, 1], along[:, 0], np.zeros(len(along))], axis=1)
    frames = np.zeros((len(along), 8))
    frames[:, 0:3], frames[:, 3] = across, -(across * centre).sum(1)
    frames[:, 4:7], frames[:, 7] = along, -(along * centre).sum(1)
    return np.concatenate([frames, frames])


def kerb_mesh(line: np.ndarray) -> Mesh:
    """A kerb stone along a polyline."""
    line = without_repeated_points(line)
    if len(line) < 2:
        return join([])
    low_left, low_right = offset_polyline(line, KERB_WIDTH / 2), offset_polyline(line, -KERB_WIDTH / 2)
    up = np.array([0, 0, KERB_HEIGHT + 0.005])
    faces = [
        strip(low_left + up, low_right + up),
        strip(low_left - [0, 0, 0.1], low_left + up),
        strip(low_right + up, low_right - [0, 0, 0.1]),
    ]
    return mesh(np.concatenate(faces), Material.KERB, Tag.SIDEWALK, (0.70, 0.69, 0.66), two_sided=True)


def line_mesh(line: LaneLine) -> Mesh:
    points = without_repeated_points(line.points)
    if len(points) < 2:
        return join([])
    pieces = dashes(points, DASH, GAP) if line.style == "broken" else [points]
    offsets = (-line.width, line.width) if line.style == "solid_solid" else (0.0,)
    parts = []
    for piece in pieces:
        for offset in offsets:
            left = offset_polyline(piece, offset + line.width / 2) + [0, 0, LINE_LIFT]
            right = offset_polyline(piece, offset - line.width / 2) + [0, 0, LINE_LIFT]
            parts.append(strip(left, right))
    if not parts:
        return join([])
    color = PAINTS.get(line.color, PAINTS["white"])
    return mesh(np.concatenate(parts), Material.PAINT, Tag.ROAD_LINE, color, two_sided=True)


def crosswalk_mesh(polygon: np.ndarray) -> Mesh:
    """Bars parallel to the traffic: across the longer side of the polygon's tightest rectangle."""
    if len(polygon) < 3:
        return join([])
    (cx, cy), (width, height), angle = cv2.minAreaRect(np.asarray(polygon[:, :2], np.float32))
    angle = np.radians(angle)
    across, along = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    if height > width:
        width, height, across, along = height, width, along, -across
    count = int(width / (2 * STRIPE))
    plane = fitted_plane(polygon)
    bars = []
    for i in range(count):
        middle = np.array([cx, cy]) + (i + 0.5 - count / 2) * 2 * STRIPE * across
        corners = [middle + a * STRIPE / 2 * across + b * height / 2 * along for a, b in _CORNERS]
        bars.append(quad(*[(*c, plane[0] + (c - polygon[0, :2]) @ plane[1:] + CROSSWALK_LIFT) for c in corners]))
    if not bars:
        return join([])
    return mesh(np.concatenate(bars), Material.PAINT, Tag.ROAD_LINE, PAINTS["white"], two_sided=True)


def fitted_plane(points: np.ndarray) -> np.ndarray:
    """[3] height at the first of the points [K,3] and slopes along x and y of their plane by least squares; level where
    they are within 1 cm."""
    if np.ptp(points[:, 2]) < 0.01:
        return np.array([float(np.mean(points[:, 2])), 0.0, 0.0])
    offsets = points - points[0]
    columns = np.column_stack([np.ones(len(points)), offsets[:, :2]])
    return np.linalg.lstsq(columns, offsets[:, 2], rcond=None)[0] + [points[0, 2], 0.0, 0.0]


_CORNERS = ((-1, -1), (1, -1), (1, 1), (-1, 1))


def marking_mesh(polygon: np.ndarray) -> Mesh:
    if len(polygon) < 3:
        return join([])
    raised = np.asarray(polygon, np.float64) + [0, 0, MARKING_LIFT]
    return mesh(triangulated(raised), Material.PAINT, Tag.ROAD_LINE, PAINTS["white"], two_sided=True)


def wait_line_mesh(line: np.ndarray) -> Mesh:
    line = without_repeated_points(line)
    if len(line) < 2:
        return join([])
    left, right = offset_polyline(line, 0.2), offset_polyline(line, -0.2)
    surface = strip(left, right) + [0, 0, MARKING_LIFT]
    return mesh(surface, Material.PAINT, Tag.ROAD_LINE, PAINTS["white"], two_sided=True)


def ground_mesh(scene_map: SceneMap, area: str) -> Mesh:
    """Ground just below the lanes, up to the horizon: a height field where the lanes are not level."""
    material, color = GROUNDS.get(area, LAWN)
    edges = [np.concatenate([lane.left[::4], lane.right[::4]]) for lane in scene_map.lanes if len(lane.left)]
    points = np.concatenate([*edges, *[p for p in scene_map.road_boundaries if len(p)], np.zeros((0, 3))])
    if not len(points):
        points = np.zeros((1, 3))
    low, high = points.min(0) - GROUND_MARGIN, points.max(0) + GROUND_MARGIN
    if np.ptp(points[:, 2]) < 0.3:
        level = points[:, 2].min() - GROUND_DROP
        inner = quad(*[(x, y, level) for x, y in _rectangle(low, high)])
    else:
        edges = [edge for lane in scene_map.lanes for edge in (lane.left, lane.right)]
        inner, level = height_field(np.concatenate([points, *edges]), low, high)
    outer = []
    corners, far = _rectangle(low, high), _rectangle(low - HORIZON, high + HORIZON)
    for i in range(4):
        j = (i + 1) % 4
        outer.append(quad(*[(*p, level) for p in (far[i], far[j], corners[j], corners[i])]))
    surface = np.concatenate([inner, *outer])
    return mesh(surface, material, Tag.TERRAIN if material is Material.GRASS else Tag.GROUND, color, two_sided=True)


def height_field(points: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, float]:
    """Triangles [N,3,3] of a grid that stays below all points, and the level at its border.

    The means of the points around each node, lowered by the most that any of these points lies below them.
    """
    columns, rows = np.ceil((high - low)[:2] / GROUND_CELL).astype(int) + 1
    spacing = (high - low)[:2] / [columns - 1, rows - 1]
    at = (points[:, :2] - low[:2]) / spacing
    corners = [(at.astype(int) + [dx, dy])[:, ::-1] for dx in (0, 1) for dy in (0, 1)]
    total, weight, lowest = np.zeros((rows, columns)), np.zeros((rows, columns)), np.full((rows, columns), np.inf)
    for row, column in (corner.T for corner in corners):
        np.add.at(total, (row, column), points[:, 2])
        np.add.at(weight, (row, column), 1.0)
    known = weight > 0
    means = extended(total / np.maximum(weight, 1.0), known)
    below = points[:, 2] - on_triangles(means, at)
    for row, column in (corner.T for corner in corners):
        np.minimum.at(lowest, (row, column), below)
    filled = extended(np.where(known, means + np.where(known, lowest, 0.0), 0.0), known)
    filled -= GROUND_DROP
    border = np.concatenate([filled[0], filled[-1], filled[:, 0], filled[:, -1]])
    level = float(border.min())
    filled[0], filled[-1], filled[:, 0], filled[:, -1] = level, level, level, level
    x = np.linspace(low[0], high[0], columns)
    y = np.linspace(low[1], high[1], rows)
    grid = np.stack([*np.meshgrid(x, y), filled], axis=-1)
    a, b, c, d = (grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1])
    corners = [p.reshape(-1, 3) for p in (a, b, c, d)]
    return np.concatenate([np.stack(corners[:3], 1), np.stack([corners[0], *corners[2:]], 1)]), level


def extended(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """[rows, columns] float32 with each unknown cell as the nearest known one, smoothed once, close to GroundHeight."""
    labels = cv2.distanceTransformWithLabels(
        1 - known.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )[1]
    nearest = np.zeros(int(labels.max()) + 1, np.float32)
    nearest[labels[known]] = values[known]
    filled = nearest[labels]
    smooth = cv2.blur(filled, (3, 3), borderType=cv2.BORDER_REPLICATE)
    return np.where(known, filled, smooth).astype(np.float32)


def on_triangles(heights: np.ndarray, at: np.ndarray) -> np.ndarray:
    """[N] heights of a grid at columns and rows `at` [N,2], on the triangles that `height_field` makes of it."""
    column, row = at.astype(int).T
    x, y = (at - at.astype(int)).T
    a, b = heights[row, column], heights[row, column + 1]
    c, d = heights[row + 1, column + 1], heights[row + 1, column]
    return np.where(x >= y, a + x * (b - a) + y * (c - b), a + y * (d - a) + x * (c - d))


def _rectangle(low: np.ndarray, high: np.ndarray) -> list[tuple[float, float]]:
    return [(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])]


def without_repeated_points(line: np.ndarray) -> np.ndarray:
    """[M,3] without repeated points."""
    line = np.asarray(line, np.float64).reshape(-1, 3)
    if len(line) < 2:
        return line
    moves = np.linalg.norm(np.diff(line[:, :2], axis=0), axis=1) > 1e-4
    return line[np.concatenate([[True], moves])]


def offset_polyline(line: np.ndarray, distance: float) -> np.ndarray:
    """Parallel polyline, `distance` metres to the left in the ground plane (mitred, at most twice the distance)."""
    steps = np.diff(line[:, :2], axis=0)
    steps /= np.linalg.norm(steps, axis=1, keepdims=True)
    normals = np.stack([-steps[:, 1], steps[:, 0]], axis=1)
    before, after = np.concatenate([normals[:1], normals]), np.concatenate([normals, normals[-1:]])
    middle = before + after
    middle /= np.maximum((middle * after).sum(1, keepdims=True), 0.5)
    result = line.copy()
    result[:, :2] += distance * middle
    return result


def dashes(line: np.ndarray, length: float, gap: float) -> list[np.ndarray]:
    """Pieces of the polyline, `length` metres each, `gap` metres apart."""
    stations = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    pieces = []
    for start in np.arange(0.0, stations[-1] - 0.2, length + gap):
        end = min(start + length, stations[-1])
        inner = stations[(stations > start + 1e-3) & (stations < end - 1e-3)]
        at = np.concatenate([[start], inner, [end]])
        pieces.append(np.stack([np.interp(at, stations, line[:, k]) for k in range(3)], axis=1))
    return pieces


def triangulated(polygon: np.ndarray) -> np.ndarray:
    """Triangles [N,3,3] of a simple polygon [K,3] by ear clipping in the ground plane."""
    flat = polygon[:, :2]
    area = _cross(flat, np.roll(flat, -1, axis=0)).sum()
    order = list(range(len(flat))) if area >= 0 else list(range(len(flat)))[::-1]
    triangles = []
    while len(order) > 3:
        ear = _find_ear(flat, order)
        if ear is None:  # not a simple polygon: the rest as a fan
            break
        i, j, k = order[ear - 1], order[ear], order[(ear + 1) % len(order)]
        triangles.append(polygon[[i, j, k]])
        del order[ear]
    return np.concatenate([np.array(triangles).reshape(-1, 3, 3), fan(polygon[order])])


def _find_ear(flat: np.ndarray, order: Sequence[int]) -> int | None:
    for n in range(len(order)):
        a, b, c = flat[order[n - 1]], flat[order[n]], flat[order[(n + 1) % len(order)]]
        if _cross(b - a, c - b) <= 1e-12:
            continue
        others = flat[[o for o in order if o not in (order[n - 1], order[n], order[(n + 1) % len(order)])]]
        inside = (_cross(b - a, others - a) > 0) & (_cross(c - b, others - b) > 0) & (_cross(a - c, others - c) > 0)
        if not inside.any():
            return n
    return None


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
