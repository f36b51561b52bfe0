"""What each metric sees: renders damaged in known ways, at graded strength.

python -m benchmarks.metrics [--scenes 16] [--styles Original Night Snowy]

Every clip begins as the renderer's own picture in a style, the ceiling of every metric, and is damaged step by step.
The table gives, per metric and damage, the rank correlation (Spearman 1904) of the loss with the strength, mean over
the clips, and the size of the effect: the mean loss at full strength as a share of that from the ceiling to the floor,
which is the worst of another scene, another style, a displaced picture and frames in another order. `SEES` and
`IGNORES` say what a metric is there for; a metric that fails its own row is marked.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from cosmos_exp.common.progress import steps
from cosmos_exp.config.rigs import load_rig
from cosmos_exp.metrics import evaluate_metric
from cosmos_exp.metrics.info import metric_info
from cosmos_exp.metrics.types import GeneratedClip
from cosmos_exp.models.transfer1.nano import FPS, HEIGHT, WIDTH
from cosmos_exp.rendering.renderer import Renderer, render_camera
from cosmos_exp.scene.procedural.street import procedural_scene
from cosmos_exp.scene.types import Scene
from cosmos_exp.train.rendering import HELD_OUT_SEED

METRICS = ("style_score", "psnr", "blur_ssim", "edge_f1", "depth_edge_auc", "semantic_eta2", "flicker", "tse")
"""All of a single view."""

STRENGTHS = (0.25, 0.5, 0.75, 1.0)
FRAMES = 9
OTHER_STYLE = {"Night": "Sunny"}  # the style that a clip turns into; Night for the others
MUST, MUST_NOT = 0.7, 0.2
"""Least rank correlation of what a metric must see, and largest effect of what it must not."""

SEES = {
    "style_score": ("wrong style",),
    "psnr": ("blur", "noise", "shift", "wrong style", "colours", "no vehicles", "no lane lines", "frozen", "shuffled"),
    "blur_ssim": ("shift", "wrong style", "colours", "no vehicles", "frozen", "shuffled"),
    "edge_f1": ("blur", "noise", "shift", "no vehicles", "no lane lines", "frozen", "shuffled"),
    "depth_edge_auc": ("blur", "noise", "shift"),
    "semantic_eta2": ("noise", "shift"),
    "flicker": ("noise", "shuffled"),
    "tse": ("noise", "shift"),
}
IGNORES = {
    "style_score": ("shift", "no vehicles", "no lane lines", "frozen", "shuffled"),
    "blur_ssim": ("no lane lines",),
    "depth_edge_auc": ("colours", "no lane lines"),
    "semantic_eta2": ("colours",),
    "flicker": ("colours", "no vehicles", "no lane lines"),
    "tse": ("colours",),
}


@dataclass(frozen=True)
class Truth:
    """A scene in a style, and what can be drawn in place of it."""

    scene: Scene
    style: str

    def draw(self, scene: Scene | None = None, style: str | None = None) -> np.ndarray:
        """uint8 [F,H,W,3]."""
        renderer = Renderer(scene) if scene else self.renderer
        video = render_camera(renderer, self.camera, self.times, weather=style or self.style, outputs=("rgb",)).rgb
        assert video is not None
        return video

    @property
    def camera(self):
        return load_rig("front", size=(WIDTH, HEIGHT)).cameras[0]

    @property
    def times(self) -> np.ndarray:
        return self.scene.frame_times(FRAMES, FPS)

    @cached_property
    def renderer(self) -> Renderer:
        return Renderer(self.scene)

    @cached_property
    def clip(self) -> GeneratedClip:
        """The renderer's own picture as the generated video."""
        view = self.camera.name
        render = render_camera(self.renderer, self.camera, self.times, outputs=("rgb", "depth", "semantic"))
        video = self.draw()
        poses = self.scene.rig_trajectory.sample(self.times)
        return GeneratedClip(
            self.style, "", {view: video}, video, {view: render}, {view: self.camera}, poses, {view: video}
        )

    @cached_property
    def other_style(self) -> np.ndarray:
        return self.draw(style=OTHER_STYLE.get(self.style, "Night"))


def blur(truth: Truth, video: np.ndarray, strength: float) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(frame, (0, 0), 4 * strength) for frame in video])


def noise(truth: Truth, video: np.ndarray, strength: float) -> np.ndarray:
    drawn = np.random.default_rng(0).normal(0, 40 * strength, video.shape)
    return np.clip(video + drawn, 0, 255).astype(np.uint8)


def shift(truth: Truth, video: np.ndarray, strength: float) -> np.ndarray:
    return np.roll(video, round(24 * strength), axis=2)


def wrong_style(truth: Truth, video: np.ndarray, strength: float) -> np.ndarray:
    return ((1 - strength) * video + strength * truth.other_style).astype(np.uint8)


def colours(truth: Truth, video: np.ndarray, strength: float) -> np.ndarray:
    """The channels trade places."""
    return ((1 - strength) * video + strength * video[..., [2, 0, 1]]).astype(np.uint8)


def no_vehicles(truth: Truth, video: np.ndarray, strength: float) -> np.ndarray:
    """Tracks and parked cars are not drawn, the nearest first."""
    scene = truth.scene
    start = scene.rig_trajectory.sample(truth.times[:1])[0, :3, 3]
    tracks = sorted(
        scene.tracks, key=lambda track: np.linalg.norm(track.trajectory.sample(truth.times[:1])[0, :3, 3] - start)
    )
    return truth.draw(replace(scene, tracks=tuple(tracks[round(strength * len(tracks)) :])))


def no_lane_lines(truth: Truth, video: np.ndarray, strength: float) -> np.ndarray:
    """Lane lines are not drawn, every other one at half strength."""
    lines = truth.scene.map.lane_lines
    erased = {round(i / strength) for i in range(round(strength * len(lines)))}
    kept = tuple(line for i, line in enumerate(lines) if i not in erased)
    return truth.draw(replace(truth.scene, map=replace(truth.scene.map, lane_lines=kept)))


def frozen(truth: Truth, video: np.ndarray, strength: float) -> np.ndarray:
    """The last frames repeat the one before them."""
    moving = round((1 - strength) * (len(video) - 1)) + 1
    return video[np.minimum(np.arange(len(video)), moving - 1)]


def shuffled(truth: Truth, video: np.ndarray, strength: float) -> np.ndarray:
    """The first frames are in another order."""
    count = round(strength * len(video))
    order = [*range(count)][::2] + [*range(count)][1::2]
    return video[[*order[::-1], *range(count, len(video))]]


DAMAGES: dict[str, Callable[[Truth, np.ndarray, float], np.ndarray]] = {
    "blur": blur,
    "noise": noise,
    "shift": shift,
    "wrong style": wrong_style,
    "colours": colours,
    "no vehicles": no_vehicles,
    "no lane lines": no_lane_lines,
    "frozen": frozen,
    "shuffled": shuffled,
}


@dataclass(frozen=True)
class Response:
    """correlation: rank correlation of loss and strength, mean over the clips. effect: mean loss at full strength, as a
    share of that from ceiling to floor."""

    correlation: float
    effect: float


def truths(count: int, styles: Sequence[str], first_seed: int = HELD_OUT_SEED) -> list[Truth]:
    scenes = [procedural_scene(seed=first_seed + i, duration=1.0, num_vehicles=8) for i in range(count)]
    return [Truth(scene, style) for scene in scenes for style in styles]


def measure(
    clips: Sequence[Truth], metrics: Sequence[str] = METRICS, damages: Sequence[str] = tuple(DAMAGES)
) -> dict[tuple[str, str], Response]:
    """{(metric, damage): response}. A metric that is undefined for a damaged clip has a value of 0."""
    losses: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    floors: dict[str, list[list[float]]] = defaultdict(list)
    with steps("damage") as tick:
        for done, truth in enumerate(clips, 1):
            clip = truth.clip
            (video,) = clip.videos.values()
            ceiling = {name: _value(clip, name) for name in metrics}
            for name in metrics:
                foreign = clips[(done - 1 + len({t.style for t in clips})) % len(clips)].clip.single_view
                worst = [foreign, truth.other_style, shift(truth, video, 1.0), shuffled(truth, video, 1.0)]
                floors[name].append([ceiling[name] - _value(_with(clip, other), name) for other in worst])
            for damage in damages:
                made = [DAMAGES[damage](truth, video, strength) for strength in STRENGTHS]
                for name in metrics:
                    values = [_value(_with(clip, damaged), name) for damaged in made]
                    losses[name, damage].append([ceiling[name] - value for value in (ceiling[name], *values)])
            tick(done, len(clips))
    span = {name: float(np.mean(losses_to, axis=0).max()) for name, losses_to in floors.items()}
    return {
        (name, damage): Response(
            float(np.mean([rank_correlation(loss, (0.0, *STRENGTHS)) for loss in of_clips])),
            float(np.mean([loss[-1] for loss in of_clips]) / max(span[name], 1e-9)),
        )
        for (name, damage), of_clips in losses.items()
    }


def _with(clip: GeneratedClip, video: np.ndarray) -> GeneratedClip:
    (view,) = clip.videos
    made = replace(clip, generated={view: video}, single_view=video)
    made.reference_cache.update(clip.reference_cache)
    return made


def _value(clip: GeneratedClip, name: str) -> float:
    """Higher is better."""
    value = evaluate_metric(clip, name).get(name, 0.0)
    return -value if metric_info(name).direction == "down" else value


def rank_correlation(values: Sequence[float], others: Sequence[float]) -> float:
    """Spearman's, ties with their mean rank; 0 where all values are equal."""
    a, b = _ranks(values), _ranks(others)
    spread = float(np.std(a) * np.std(b))
    return float(np.mean((a - a.mean()) * (b - b.mean())) / spread) if spread else 0.0


def _ranks(values: Sequence[float]) -> np.ndarray:
    rounded = np.round(np.asarray(values, float), 9)
    return (rounded[:, None] > rounded).sum(axis=1) + ((rounded[:, None] == rounded).sum(axis=1) - 1) / 2


def failures(found: dict[tuple[str, str], Response]) -> list[tuple[str, str]]:
    """(metric, damage) where a metric does not see what it must, or sees what it must not."""
    blind = [(m, d) for m, seen in SEES.items() for d in seen if (m, d) in found and found[m, d].correlation < MUST]
    fooled = [
        (m, d) for m, unseen in IGNORES.items() for d in unseen if (m, d) in found and found[m, d].effect > MUST_NOT
    ]
    return blind + fooled


def table(found: dict[tuple[str, str], Response]) -> Table:
    damages = list(dict.fromkeys(damage for _, damage in found))
    failed, shown = set(failures(found)), Table("metric", *damages)
    for name in dict.fromkeys(name for name, _ in found):
        cells = []
        for damage in damages:
            response = found[name, damage]
            sign = "!" if (name, damage) in failed else "+" if damage in SEES.get(name, ()) else ""
            sign = sign or ("-" if damage in IGNORES.get(name, ()) else "")
            cells.append(f"{response.correlation:+.2f} {response.effect:5.2f} {sign}".rstrip())
        shown.add_row(name, *cells)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scenes", type=int, default=16)
    parser.add_argument("--styles", nargs="+", default=["Original", "Night", "Snowy"])
    options = parser.parse_args()
    found = measure(truths(options.scenes, options.styles))
    console = Console(width=180)
    console.print(
        f"{options.scenes} scenes in {', '.join(options.styles)}; rank correlation with the damage, effect size"
    )
    console.print(table(found))
    console.print("+ must be seen, - must not, ! the metric fails its own row")


if __name__ == "__main__":
    main()
