"""Edge control: Canny edges at the presets of Cosmos-Transfer1, of the whole frame or of some classes of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.threads import map_frames
from cosmos_exp.controls.class_filter import CANNY, CARLA, find_filter
from cosmos_exp.rendering.types import SKY_TAG, CameraRender

# strength: lower and upper hysteresis threshold
CANNY_THRESHOLDS = {
    "very_low": (20, 50),
    "low": (50, 100),
    "medium": (100, 200),
    "high": (200, 300),
    "very_high": (300, 400),
}
BLUR_SIZE, BLUR_SIGMA = (5, 5), 1.0  # of the CARLA exporter, pixels


def edge_control(
    render: CameraRender,
    *,
    strength: str = "medium",
    class_filter: str | Path | None = None,
    drop_sky: bool = False,
    reference_compat: bool = False,
) -> np.ndarray:
    """White edges on black, uint8 [F,H,W,3].

    By default those that Cosmos-Transfer1 finds in the colour frames.
    class_filter: a file or `carla`; only edges of its `canny_classes` stay, found in the luma of the blurred frames.
    drop_sky: edges in the sky are removed; without a filter they are found in the luma of the frames as they are.
    reference_compat: masked edges as the CARLA exporter has them, with edges along the mask and without vehicles.
    Raises UserError on an unknown strength or a bad filter.
    """
    check_compat(class_filter, reference_compat)
    limits, frames = thresholds(strength), render.output("rgb")
    if class_filter is None and not drop_sky:
        return canny(frames, *limits)
    keeps = None if class_filter is None else edge_classes(class_filter, reference_compat=reference_compat)
    find = edges_of_masked if reference_compat else masked_edges

    def draw(frame: np.ndarray, tags: np.ndarray) -> np.ndarray:
        edges = find(frame, keeps(tags), limits) if keeps else _canny(_luma(frame), *limits)
        return _white(np.where(tags == SKY_TAG, np.uint8(0), edges) if drop_sky else edges)

    return map_frames(draw, frames, render.output("semantic"))


def check_compat(filter_name: str | Path | None, reference_compat: bool) -> None:
    if reference_compat and filter_name is None:
        raise UserError(
            "reference_compat changes masked edges only, and without class_filter nothing is masked: give class_filter "
            f"a file, or {CARLA} for the usual classes"
        )


def edge_classes(name: str | Path | None, *, reference_compat: bool = False) -> Callable[[np.ndarray], np.ndarray]:
    """From tags to bool: whether they are of the `canny_classes` of a filter; None takes the usual classes."""
    classes = find_filter(name).required(CANNY)
    return partial(classes.keeps_literally, bgr=True) if reference_compat else classes.keeps


def masked_rgb_of(render: CameraRender, name: str | Path | None, *, reference_compat: bool = False) -> np.ndarray:
    """The blurred RGB of the `canny_classes` of a filter, black elsewhere, uint8 [F,H,W,3]."""
    keeps = edge_classes(name, reference_compat=reference_compat)
    clips = render.output("rgb"), render.output("semantic")
    return map_frames(lambda frame, tags: masked_rgb(frame, keeps(tags)), *clips)


def edge(frames: np.ndarray, strength: str = "medium") -> np.ndarray:
    """uint8 RGB [F,H,W,3] -> white edges on black, uint8 [F,H,W,3]. A higher strength keeps fewer edges."""
    return canny(frames, *thresholds(strength))


def thresholds(strength: str) -> tuple[int, int]:
    if strength not in CANNY_THRESHOLDS:
        raise UserError(unknown_name("edge strength", strength, CANNY_THRESHOLDS))
    return CANNY_THRESHOLDS[strength]


def canny(frames: np.ndarray, lower: float, upper: float) -> np.ndarray:
    """Canny with L1 gradient and aperture 3 on colour frames [F,H,W,3], copied to three channels."""
    return map_frames(lambda frame: _white(_canny(frame, lower, upper)), frames)


# Of one frame: `frame` uint8 RGB [H,W,3], `keep` bool [H,W]; limits: lower and upper threshold


def masked_rgb(frame: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """The frame with the Gaussian blur of the CARLA exporter, uint8 [H,W,3], black where `keep` is False."""
    return np.where(keep[..., None], cv2.GaussianBlur(frame, BLUR_SIZE, BLUR_SIGMA), np.uint8(0))


def masked_edges(frame: np.ndarray, keep: np.ndarray, limits: tuple[int, int]) -> np.ndarray:
    """Edges of the blurred frame's luma where `keep` is True, uint8 [H,W].

    Edges are found in the whole frame and masked afterwards, so that the mask's borders are not edges.
    """
    return np.where(keep, _canny(_luma(cv2.GaussianBlur(frame, BLUR_SIZE, BLUR_SIGMA)), *limits), np.uint8(0))


def edges_of_masked(frame: np.ndarray, keep: np.ndarray, limits: tuple[int, int]) -> np.ndarray:
    """As the CARLA exporter has them: edges of the masked frame, whose luma has the weights of red and blue swapped,
    uint8 [H,W].

    The borders of the mask become edges.
    """
    return _canny(cv2.cvtColor(masked_rgb(frame, keep), cv2.COLOR_BGR2GRAY), *limits)


def _canny(frame: np.ndarray, lower: float, upper: float) -> np.ndarray:
    return cv2.Canny(frame, lower, upper, apertureSize=3, L2gradient=False)


def _luma(frame: np.ndarray) -> np.ndarray:
    """0.299 red, 0.587 green, 0.114 blue."""
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


def _white(edges: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(edges, cv2.COLOR_GRAY2RGB)
