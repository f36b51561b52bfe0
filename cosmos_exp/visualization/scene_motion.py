"""The tracks of a scene from above: paths, boxes with headings, names, and time marks of the ego vehicle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cosmos_exp.scene.types import ActorClass, Scene, Track
from cosmos_exp.visualization.canvas import WHITE, Box, Canvas, Color, Labels, PlanTransform, Point, dotted

SAMPLES_PER_SECOND = 5
EGO: Color = (24, 92, 214)
CLASSES: dict[ActorClass, Color] = {
    ActorClass.CAR: (218, 86, 26),
    ActorClass.TRUCK: (128, 62, 172),
    ActorClass.BUS: (176, 122, 0),
    ActorClass.TRAIN: (112, 76, 52),
    ActorClass.MOTORCYCLE: (204, 40, 130),
    ActorClass.BICYCLE: (0, 134, 148),
    ActorClass.RIDER: (196, 30, 62),
    ActorClass.PEDESTRIAN: (30, 132, 60),
    ActorClass.OTHER: (84, 88, 96),
}


def draw_motion(
    canvas: Canvas, to_page: PlanTransform, scene: Scene, tracks: Sequence[Track], reserved: Sequence[Box]
) -> int:
    """Each track where it first is during the scene, its path from there, its name; the ego with times.

    reserved: areas without labels. Returns the number of tracks without room for a name.
    """
    path = to_page(path_of(scene.ego, scene))
    for track in tracks:
        points, color = to_page(path_of(track, scene)), CLASSES[track.actor_class]
        canvas.line(points, (*color, 190), 1.8)
        if length(points) > 14:
            canvas.arrow(points[_before(points, 8)], points[-1], color, 1.8, 7)
    canvas.line(path, WHITE, 5)
    canvas.line(path, EGO, 3)
    obstacles = [dotted(path)]
    for track in [*tracks, scene.ego]:
        color = EGO if track is scene.ego else CLASSES[track.actor_class]
        outline = to_page(_outline(track, _first(track, scene)))
        obstacles.append(np.concatenate([dotted(outline), outline.mean(axis=0)[None]]))
        _draw_box(canvas, outline, color)
    labels = Labels(canvas, canvas.box.grown(-4), size=12, obstacles=np.concatenate(obstacles))
    labels.taken += reserved
    labels.place(_around(to_page(_outline(scene.ego, scene.start))), "ego", EGO)
    _time_ticks(canvas, to_page, scene, labels)
    nearest = sorted(tracks, key=lambda t: _distance(t, scene))
    places = [(t, _around(to_page(_outline(t, _first(t, scene))))) for t in nearest]
    return sum(not labels.place(around, t.id, CLASSES[t.actor_class]) for t, around in places)


def _draw_box(canvas: Canvas, outline: np.ndarray, color: Color) -> None:
    """A cuboid from above, with a pointer to its front. outline: [4,2] from the front left corner on."""
    if length(outline[:3]) < 16:  # people
        canvas.disc(outline.mean(axis=0), 3.4, color, WHITE, 0.8)
        return
    canvas.polygon(outline, (*color, 225), WHITE, 1)
    front, back = outline[[0, 3]].mean(axis=0), outline[[1, 2]].mean(axis=0)
    middle, half = (front + back) / 2, (outline[0] - outline[3]) / 2
    base = middle + (front - middle) * 0.25
    tip = middle + (front - middle) * 0.85
    canvas.polygon(np.stack([tip, base + half * 0.7, base - half * 0.7]), (255, 255, 255, 235))


def _time_ticks(canvas: Canvas, to_page: PlanTransform, scene: Scene, labels: Labels) -> None:
    """Marks across the ego's path at round seconds after the start, as dense as is readable."""
    total = length(to_page(path_of(scene.ego, scene)))
    per_second = total / max(scene.duration, 1e-9)
    step = next((s for s in (1, 2, 5, 10, 20, 30) if s * per_second > 34), 60)
    for seconds in np.arange(0, scene.duration + 1e-6, step):
        t = scene.start + seconds
        here, ahead = to_page(
            np.stack([scene.ego.trajectory.at(t)[:2, 3], (scene.ego.trajectory.at(t) @ (1, 0, 0, 1))[:2]])
        )
        along = (ahead - here) / max(np.linalg.norm(ahead - here), 1e-9)
        across = np.array([-along[1], along[0]])
        canvas.line(np.stack([here - 7 * across, here + 7 * across]), WHITE, 4.5)
        canvas.line(np.stack([here - 6 * across, here + 6 * across]), EGO, 2)
        places = [(here + side * across, "mm") for side in (17, -17, 26, -26)]
        labels.place(places, f"{seconds:g} s", EGO)


def path_of(track: Track, scene: Scene) -> np.ndarray:
    """[N,2] metres during the scene."""
    begin, end = _first(track, scene), min(track.trajectory.times[-1], scene.end)
    count = max(int((end - begin) * SAMPLES_PER_SECOND), 2)
    return track.trajectory.sample(np.linspace(begin, end, count))[:, :2, 3]


def is_seen(canvas: Canvas, to_page: PlanTransform, track: Track, scene: Scene) -> bool:
    """Whether any of its path is on the canvas."""
    exists = track.trajectory.times[0] <= scene.end and track.trajectory.times[-1] >= scene.start
    return bool(exists) and canvas.box.count(to_page(path_of(track, scene))) > 0


def _first(track: Track, scene: Scene) -> float:
    return max(float(track.trajectory.times[0]), scene.start)


def _outline(track: Track, t: float) -> np.ndarray:
    """[4,2] metres: the cuboid from above, counter-clockwise from the front left corner."""
    pose, (length, width, _) = track.trajectory.at(t), track.size
    corners = np.array([(length, width), (-length, width), (-length, -width), (length, -width)]) / 2
    return corners @ pose[:2, :2].T + pose[:2, 3]


def _around(outline: np.ndarray) -> list[tuple[Point, str]]:
    """Places for a label next to a box, the near ones first."""
    (left, top), (right, bottom) = outline.min(axis=0), outline.max(axis=0)
    x, y = (left + right) / 2, (top + bottom) / 2
    found: list[tuple[Point, str]] = []
    for gap in (3, 9, 18, 30):
        found += [((right + gap, y), "lm"), ((left - gap, y), "rm"), ((x, top - gap), "mb"), ((x, bottom + gap), "mt")]
        found += [((right + gap, top - gap), "lb"), ((left - gap, bottom + gap), "rt")]
    return found


def _distance(track: Track, scene: Scene) -> float:
    t = _first(track, scene)
    return float(np.linalg.norm(track.trajectory.at(t)[:2, 3] - scene.ego.trajectory.at(t)[:2, 3]))


def length(points: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def _before(points: np.ndarray, distance: float) -> int:
    """Index of the last point at least `distance` before the end, along the line."""
    left = np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1)[::-1])
    return max(len(points) - 2 - int(np.searchsorted(left, distance)), 0)
