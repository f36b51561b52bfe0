"""What a metric measures: one generated clip beside the truth of its scene."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cosmos_exp.common.views import VIEWS
from cosmos_exp.render.types import CameraRender
from cosmos_exp.sensors.camera import Camera

SMALL = 64 * 2**20
"""Bytes of one metric and view that are worth their memory until the next clip."""


@dataclass(frozen=True)
class GeneratedClip:
    """One style of one scene. All videos and renders have F frames; those of a view have one size, H x W.

    style: one of `styles.STYLES`. prompt: of the front view.
    generated: {view: uint8 [F,H,W,3]} of the multi-view net, empty where only the single view was made.
    single_view: uint8 [F,H,W,3], the front view before the multi-view net.
    renders: {view: truth}: `rgb` as the controls saw it (whatever its weather), `depth`, `semantic`.
    cameras: {view: camera} at the clip's size. rig_poses: [F,4,4] rig to world at the frame times.
    targets: {view: uint8 [F,H,W,3]}, the renderer's picture in the clip's own style, where it was made.
    found: what metrics have found out about the renders, cameras and poses alone: clips of the same truth may share it.
    """

    style: str
    prompt: str
    generated: Mapping[str, np.ndarray]
    single_view: np.ndarray
    renders: Mapping[str, CameraRender]
    cameras: Mapping[str, Camera]
    rig_poses: np.ndarray
    targets: Mapping[str, np.ndarray] = field(default_factory=dict)
    found: dict[tuple[str, str], Sequence[np.ndarray]] = field(default_factory=dict, init=False)

    @property
    def videos(self) -> dict[str, np.ndarray]:
        """The videos that metrics look at: every generated view, or the single view under the front camera's name."""
        return dict(self.generated) if self.generated else {VIEWS[0]: self.single_view}

    def of_truth(self, metric: str, view: str, find: Callable[[], Sequence[np.ndarray]]) -> Sequence[np.ndarray]:
        """What `find` returns of a view, which follows from the truth alone. Not found again where it is small."""
        if (metric, view) in self.found:
            return self.found[metric, view]
        arrays = find()
        if sum(array.nbytes for array in arrays) <= SMALL:
            self.found[metric, view] = arrays
        return arrays


@dataclass(frozen=True)
class MetricInfo:
    """How to show a value. direction: 'up' or 'down' is better, '' for a plain count. unit: '' for a ratio."""

    label: str
    direction: str
    unit: str
    description: str


Metric = Callable[[GeneratedClip], dict[str, float]]


def per_view(name: str, values: Mapping[str, float]) -> dict[str, float]:
    """`{name: mean over views, name/view: value}`; empty where no view has a value."""
    if not values:
        return {}
    return {name: float(np.mean(list(values.values())))} | {f"{name}/{view}": float(v) for view, v in values.items()}
