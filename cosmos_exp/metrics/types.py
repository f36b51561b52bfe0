"""The input of a metric: one generated clip and the ground truth of its scene."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import numpy as np

from cosmos_exp.common.memo import Memo
from cosmos_exp.common.views import VIEWS
from cosmos_exp.evaluators.labels import ViewLabels, view_labels
from cosmos_exp.evaluators.types import Evaluator, Perception
from cosmos_exp.rendering.types import CameraRender
from cosmos_exp.scene.types import Scene
from cosmos_exp.sensors.camera import Camera

T = TypeVar("T")
R = TypeVar("R", bound="Sequence[np.ndarray] | ViewLabels")
MAX_CACHED_BYTES = 64 * 2**20
"""Largest reference data of one metric and view that is kept for the next metric or clip."""


@dataclass(frozen=True)
class GeneratedClip:
    """One style of one scene. All videos and renders have F frames; those of a view have one size, H x W.

    style: one of `styles.STYLES`. prompt: of the front view.
    generated: {view: uint8 [F,H,W,3]} of the multi-view network, empty where only the single view was generated.
    single_view: uint8 [F,H,W,3], the front view before the multi-view network.
    renders: {view: ground truth}: `depth`, `semantic`, and the `rgb` that controls were computed from, in any weather,
    which no metric may compare with.
    cameras: {view: camera} at the clip's size. rig_poses: [F,4,4] rig to world at the frame times.
    targets: {view: uint8 [F,H,W,3]}, the rendered RGB in the clip's own style, where it was rendered: what metrics of
    appearance compare with.
    scene: what is seen, for its labels. evaluator: reads videos for metrics of perception; None leaves these undefined.
    read_every: it reads one of so many frames; None as it says itself.
    part_of: the clip and the [F] indices of its frames that this one is made of, with the same truth and targets, so
    that it is not read anew; None for a clip of its own.
    reference_cache: {(metric, view, style): arrays}, what metrics computed from the ground truth alone, or where a
    style is named, from its targets; clips with the same ground truth may share it.

    Several threads may compute metrics of a clip at the same time.
    """

    style: str
    prompt: str
    generated: Mapping[str, np.ndarray]
    single_view: np.ndarray
    renders: Mapping[str, CameraRender]
    cameras: Mapping[str, Camera]
    rig_poses: np.ndarray
    targets: Mapping[str, np.ndarray] = field(default_factory=dict)
    scene: Scene | None = None
    evaluator: Evaluator | None = None
    read_every: int | None = None
    part_of: tuple[GeneratedClip, np.ndarray] | None = None
    reference_cache: Memo = field(default_factory=Memo, init=False)
    _found: Memo = field(default_factory=Memo, init=False)

    @property
    def videos(self) -> dict[str, np.ndarray]:
        """The videos to evaluate: every generated view, or the single view under the front camera's name."""
        return dict(self.generated) if self.generated else {VIEWS[0]: self.single_view}

    @property
    def read_frames(self) -> np.ndarray:
        """[R] indices of the frames that the evaluator reads."""
        every = self.read_every or (self.evaluator.every if self.evaluator else 1)
        return np.arange(0, len(self.rig_poses), every)

    def perception(self, view: str) -> Perception | None:
        """What the evaluator sees in the video of a view at `read_frames`; None without an evaluator."""
        return self._perceive("video", view, self.videos)

    def target_perception(self, view: str) -> Perception | None:
        """The same of the scene rendered in the clip's style; None where it was not rendered."""
        whole, rows = self._read_by_whole()
        if whole is None:
            return self._perceive("target", view, self.targets)
        seen = whole.target_perception(view)
        return seen and self.once(("target", view), lambda: seen.at(rows))

    def _perceive(self, which: str, view: str, videos: Mapping[str, np.ndarray]) -> Perception | None:
        evaluator = self.evaluator
        if evaluator is None or view not in videos:
            return None
        return self.once((which, view), lambda: evaluator.perceive(videos[view][self.read_frames]))

    def labels(self, view: str) -> ViewLabels | None:
        """The labels of a view at `read_frames`; None without a scene."""
        scene, camera, render = self.scene, self.cameras[view], self.renders[view]
        if scene is None:
            return None
        frames = self.read_frames
        whole, rows = self._read_by_whole()

        def found() -> ViewLabels:
            if whole is not None and (labels := whole.labels(view)) is not None:
                return labels.at(rows, frames)
            compute = partial(view_labels, scene, camera, render, frames)
            return self.cached_reference(f"labels of {frames}", view, compute)

        return self.once(("labels", view), found)

    def _read_by_whole(self) -> tuple[GeneratedClip | None, np.ndarray]:
        """The clip that this one is part of, and the rows of `read_frames` in that of the whole; None where the
        evaluator reads other frames of it."""
        if self.part_of is None:
            return None, np.zeros(0, int)
        whole, frames = self.part_of
        wanted, read = frames[self.read_frames], whole.read_frames
        return (whole, np.searchsorted(read, wanted)) if np.isin(wanted, read).all() else (None, np.zeros(0, int))

    def once(self, what: tuple[str, ...], compute: Callable[[], T]) -> T:
        """The result of `compute`, kept for the other metrics of this clip."""
        return self._found.once(what, compute)

    def cached_reference(self, metric: str, view: str, compute: Callable[[], R], *, style: str = "") -> R:
        """The result of `compute`, which depends on the view's ground truth alone, or on its target in this style;
        cached up to MAX_CACHED_BYTES."""
        return self.reference_cache.once(
            (metric, view, style), compute, keep=lambda value: size(value) <= MAX_CACHED_BYTES
        )

    def sharing(self, references: Memo) -> GeneratedClip:
        """The same clip with this reference cache, of clips with the same ground truth."""
        clip = replace(self)
        object.__setattr__(clip, "reference_cache", references)
        return clip


def size(reference: Sequence[np.ndarray] | ViewLabels) -> int:
    """Bytes."""
    return reference.nbytes if isinstance(reference, ViewLabels) else sum(array.nbytes for array in reference)


GROUPS = ("style", "map", "objects", "consistency", "quality")


@dataclass(frozen=True)
class MetricInfo:
    """How to show a value. direction: 'up' or 'down' is better, '' for a plain count. unit: '' for a ratio.

    group: one of GROUPS, the question that it helps to answer; '' for an unknown key.
    """

    label: str
    direction: str
    unit: str
    description: str
    group: str = ""


Metric = Callable[[GeneratedClip], dict[str, float]]


def per_view(name: str, values: Mapping[str, float]) -> dict[str, float]:
    """`{name: mean over views, name/view: value}`; empty where no view has a value."""
    if not values:
        return {}
    return {name: float(np.mean(list(values.values())))} | {f"{name}/{view}": float(v) for view, v in values.items()}
