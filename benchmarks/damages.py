"""Renders of small procedural scenes, and controlled damage to them, at graded strength."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache

import cv2
import numpy as np

from cosmos_exp.config.rigs import load_rig
from cosmos_exp.evaluators.config import EvaluatorConfig
from cosmos_exp.evaluators.nano import NanoEvaluator
from cosmos_exp.metrics.references import foreign_frames
from cosmos_exp.metrics.types import GeneratedClip
from cosmos_exp.pipeline.foreign_scene import FOREIGN_SEED
from cosmos_exp.rendering.renderer import Renderer, render_camera
from cosmos_exp.scene.procedural.street import procedural_scene
from cosmos_exp.scene.types import ActorClass, LaneLine, Scene, Track, Trajectory
from cosmos_exp.sensors.camera import Camera, Rig

Videos = Mapping[str, np.ndarray]
"""{view: uint8 [F,H,W,3]}."""

OTHER_STYLE = {"Night": "Sunny"}  # the style that a clip turns into; Night for the others
DURATION = 1.0  # seconds
FPS = 12.0
SIZE = (256, 144)  # that the evaluator was trained at
LEAD = "lead"  # the car that drives ahead in every scene
ADDED_AT = ((11.0, 3.2), (20.0, -3.4), (15.0, 0.0), (26.0, 3.2))  # metres ahead and to the left


@dataclass(frozen=True)
class Truth:
    """The scene of a seed in a style, seen by some cameras, and what can be drawn in place of it."""

    seed: int
    style: str
    views: tuple[str, ...] = ("front_wide_120fov",)
    frames: int = 5

    @property
    def cameras(self) -> dict[str, Camera]:
        return {view: _rig().camera(view) for view in self.views}

    @property
    def times(self) -> np.ndarray:
        return scene_of(self.seed).frame_times(self.frames, FPS)

    def draw(self, renderer: Renderer, style: str | None = None, times: np.ndarray | None = None) -> Videos:
        times = self.times if times is None else times
        return {
            view: render_camera(renderer, camera, times, weather=style or self.style, outputs=("rgb",)).output("rgb")
            for view, camera in self.cameras.items()
        }

    @cached_property
    def clip(self) -> GeneratedClip:
        """The renderer's own picture as the generated video."""
        renderer, outputs = _renderer(unchanged, self.seed, 0.0), ("rgb", "depth", "semantic", "instance")
        renders = {v: render_camera(renderer, c, self.times, outputs=outputs) for v, c in self.cameras.items()}
        videos = self.draw(renderer)
        poses = scene_of(self.seed).rig_trajectory.sample(self.times)
        front, scene = videos[self.views[0]], scene_of(self.seed)
        return GeneratedClip(
            self.style, "", videos, front, renders, self.cameras, poses, videos, scene=scene, evaluator=_evaluator()
        )

    @cached_property
    def other_style(self) -> Videos:
        return self.draw(_renderer(unchanged, self.seed, 0.0), OTHER_STYLE.get(self.style, "Night"))

    @cached_property
    def foreign(self) -> Videos:
        """Another scene in the same style, at the frames of `foreign_frames`."""
        times = np.linspace(0, DURATION, len(foreign_frames(self.frames)))
        return self.draw(_foreign_renderer(), times=times)


@lru_cache(maxsize=2)
def scene_of(seed: int) -> Scene:
    """A street, with a car that drives ahead of the ego vehicle."""
    scene = procedural_scene(seed=seed, duration=DURATION, num_vehicles=8)
    return replace(scene, tracks=(*scene.tracks, _ahead(scene, LEAD, 16.0, -0.3)))


@cache
def _evaluator() -> NanoEvaluator:
    return NanoEvaluator(EvaluatorConfig(every=1))


@cache
def _rig() -> Rig:
    return load_rig("six_views", size=SIZE)


@cache
def _foreign_renderer() -> Renderer:
    return Renderer(procedural_scene(seed=FOREIGN_SEED, duration=DURATION, num_vehicles=8))


@lru_cache(maxsize=32)
def _renderer(change: Callable[[Scene, float], Scene], seed: int, strength: float) -> Renderer:
    """Of the changed scene; kept for its next style."""
    return Renderer(change(scene_of(seed), strength))


def unchanged(scene: Scene, strength: float) -> Scene:
    return scene


def _ahead(scene: Scene, name: str, forward: float, left: float) -> Track:
    """A car that keeps its place relative to the ego vehicle."""
    ego, size = scene.ego.trajectory, (4.6, 1.85, 1.5)
    place = np.eye(4)
    place[:2, 3] = forward, left
    return Track(name, ActorClass.CAR, size, Trajectory(ego.times, ego.poses @ place), (0.7, 0.1, 0.1), "sedan")


def blur(truth: Truth, videos: Videos, strength: float) -> Videos:
    return _each(videos, lambda video: np.stack([cv2.GaussianBlur(frame, (0, 0), 4 * strength) for frame in video]))


def noise(truth: Truth, videos: Videos, strength: float) -> Videos:
    rng = np.random.default_rng(0)
    return _each(videos, lambda video: video + rng.normal(0, 40 * strength, video.shape))


def shift(truth: Truth, videos: Videos, strength: float) -> Videos:
    """To the right, by up to 24 pixels."""
    return _each(videos, lambda video: np.roll(video, round(24 * strength), axis=2))


def wrong_style(truth: Truth, videos: Videos, strength: float) -> Videos:
    """The style fades into another."""
    other = truth.other_style
    return {view: _pixels((1 - strength) * video + strength * other[view]) for view, video in videos.items()}


def colours(truth: Truth, videos: Videos, strength: float) -> Videos:
    """The channels trade places."""
    return _each(videos, lambda video: (1 - strength) * video + strength * video[..., [2, 0, 1]])


def no_vehicles(scene: Scene, strength: float) -> Scene:
    """Tracks and parked cars are not drawn, the nearest first."""
    ego = scene.rig_trajectory.at(scene.start)[:3, 3]
    tracks = sorted(scene.tracks, key=lambda track: np.linalg.norm(track.trajectory.at(scene.start)[:3, 3] - ego))
    return replace(scene, tracks=tuple(tracks[round(strength * len(tracks)) :]))


def vehicles_added(scene: Scene, strength: float) -> Scene:
    """Up to four cars ahead that are not there."""
    places = ADDED_AT[: round(strength * len(ADDED_AT))]
    added = [_ahead(scene, f"added_{i}", *place) for i, place in enumerate(places)]
    return replace(scene, tracks=(*scene.tracks, *added))


def vehicle_moved(scene: Scene, strength: float) -> Scene:
    """The car ahead stands up to 4 metres further left."""
    others = [track for track in scene.tracks if track.id != LEAD]
    return replace(scene, tracks=(*others, _ahead(scene, LEAD, 16.0, -0.3 + 4 * strength)))


def no_lane_lines(scene: Scene, strength: float) -> Scene:
    """Lane lines are not drawn, every other one at half strength."""
    lines = scene.map.lane_lines
    erased = {round(i / strength) for i in range(round(strength * len(lines)))}
    kept = tuple(line for i, line in enumerate(lines) if i not in erased)
    return replace(scene, map=replace(scene.map, lane_lines=kept))


def lane_lines_moved(scene: Scene, strength: float) -> Scene:
    """Every lane line lies up to 0.6 metres further left, as seen along it."""
    moved = tuple(_sideways(line, 0.6 * strength) for line in scene.map.lane_lines)
    return replace(scene, map=replace(scene.map, lane_lines=moved))


def _sideways(line: LaneLine, metres: float) -> LaneLine:
    along = np.gradient(line.points, axis=0)[:, :2]
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    points = line.points.copy()
    points[:, :2] += metres * np.stack([-along[:, 1], along[:, 0]], axis=1)
    return replace(line, points=points)


def frozen(truth: Truth, videos: Videos, strength: float) -> Videos:
    """The last frames repeat the one before them."""
    moving = round((1 - strength) * (truth.frames - 1)) + 1
    return _each(videos, lambda video: video[np.minimum(np.arange(len(video)), moving - 1)])


def shuffled(truth: Truth, videos: Videos, strength: float) -> Videos:
    """The first frames are in another order."""
    count = round(strength * truth.frames)
    order = [*range(count)][::2] + [*range(count)][1::2]
    return _each(videos, lambda video: video[[*order[::-1], *range(count, len(video))]])


def views_swapped(truth: Truth, videos: Videos, strength: float) -> Videos:
    """Two neighbouring cameras trade places, in some of the frames."""
    first, second, *_ = videos
    swapped = np.arange(truth.frames) < round(strength * truth.frames)
    choose = swapped[:, None, None, None]
    return dict(videos) | {
        first: np.where(choose, videos[second], videos[first]),
        second: np.where(choose, videos[first], videos[second]),
    }


def _each(videos: Videos, change: Callable[[np.ndarray], np.ndarray]) -> Videos:
    return {view: _pixels(change(video)) for view, video in videos.items()}


def _pixels(video: np.ndarray) -> np.ndarray:
    return np.clip(video, 0, 255).astype(np.uint8)


Damage = Callable[[Truth, Videos, float], Videos]


def redrawn(change: Callable[[Scene, float], Scene]) -> Damage:
    """The video of a changed scene in place of the scene's own."""
    return lambda truth, videos, strength: truth.draw(_renderer(change, truth.seed, strength))


DAMAGES: dict[str, Damage] = {
    "blur": blur,
    "noise": noise,
    "shift": shift,
    "wrong style": wrong_style,
    "colours": colours,
    "no vehicles": redrawn(no_vehicles),
    "vehicles added": redrawn(vehicles_added),
    "vehicle moved": redrawn(vehicle_moved),
    "no lane lines": redrawn(no_lane_lines),
    "lane lines moved": redrawn(lane_lines_moved),
    "frozen": frozen,
    "shuffled": shuffled,
    "views swapped": views_swapped,
}
"""{name: damage}; `damage(truth, videos, strength)` with a strength in (0, 1]."""

OF_SEVERAL_VIEWS = ("views swapped",)
