"""Edge control: Canny edges at the presets of Cosmos-Transfer1, of the whole frame or of some classes of it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from cosmos_exp.controls.class_filter import CANNY, CARLA, find_filter
from cosmos_exp.controls.types import output_of
from cosmos_exp.errors import UserError, unknown_name
from cosmos_exp.render.types import CameraRender

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
    drop_sky: edges in the sky go; without a filter they are found in the luma of the frames as they are.
    reference_compat: masked edges as the CARLA exporter has them, with edges along the mask and without vehicles.
    Raises UserError on an unknown strength or a bad filter.
    """
    check_compat(class_filter, reference_compat)
    frames = output_of(render, "rgb")
    if class_filter is None:
        return edges_below_the_sky(frames, _sky(render), strength) if drop_sky else edge(frames, strength)
    keep = edge_classes(render, class_filter, reference_compat=reference_compat)
    edges = (edges_of_masked if reference_compat else masked_edges)(frames, keep, strength)
    return np.where(_sky(render)[..., None], np.uint8(0), edges) if drop_sky else edges


def check_compat(filter_name: str | Path | None, reference_compat: bool) -> None:
    if reference_compat and filter_name is None:
        raise UserError(
            "reference_compat changes masked edges only, and without class_filter nothing is masked: give class_filter "
            f"a file, or {CARLA} for the usual classes"
        )


def edge_classes(render: CameraRender, name: str | Path | None, *, reference_compat: bool = False) -> np.ndarray:
    """[F,H,W] bool: pixels of the `canny_classes` of a filter; None takes the usual classes."""
    classes, semantic = find_filter(name).required(CANNY), output_of(render, "semantic")
    return classes.keeps_literally(semantic, bgr=True) if reference_compat else classes.keeps(semantic)


def masked_rgb_of(render: CameraRender, name: str | Path | None, *, reference_compat: bool = False) -> np.ndarray:
    """The blurred picture of the `canny_classes` of a filter, black elsewhere, uint8 [F,H,W,3]."""
    return masked_rgb(output_of(render, "rgb"), edge_classes(render, name, reference_compat=reference_compat))


def _sky(render: CameraRender) -> np.ndarray:
    output_of(render, "semantic")
    return render.sky


def edge(frames: np.ndarray, strength: str = "medium") -> np.ndarray:
    """uint8 RGB [F,H,W,3] -> white edges on black, uint8 [F,H,W,3]. A higher strength keeps fewer edges."""
    return canny(frames, *thresholds(strength))


def thresholds(strength: str) -> tuple[int, int]:
    if strength not in CANNY_THRESHOLDS:
        raise UserError(unknown_name("edge strength", strength, CANNY_THRESHOLDS))
    return CANNY_THRESHOLDS[strength]


def canny(frames: np.ndarray, lower: float, upper: float) -> np.ndarray:
    """Canny with L1 gradient and aperture 3 on colour [F,H,W,3] or grey [F,H,W] frames, copied to three channels."""
    edges = np.stack([cv2.Canny(frame, lower, upper, apertureSize=3, L2gradient=False) for frame in frames])
    return np.repeat(edges[..., None], 3, axis=-1)


def luma(frames: np.ndarray) -> np.ndarray:
    """uint8 RGB [F,H,W,3] -> [F,H,W] uint8: 0.299 red, 0.587 green, 0.114 blue."""
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])


def blurred(frames: np.ndarray) -> np.ndarray:
    """Gaussian blur of the CARLA exporter."""
    return np.stack([cv2.GaussianBlur(frame, BLUR_SIZE, BLUR_SIGMA) for frame in frames])


def masked_rgb(frames: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """The blurred frames, uint8 [F,H,W,3], black where `keep` [F,H,W] is False."""
    return np.where(keep[..., None], blurred(frames), np.uint8(0))


def masked_edges(frames: np.ndarray, keep: np.ndarray, strength: str = "medium") -> np.ndarray:
    """Edges of the blurred frames' luma where `keep` [F,H,W] is True, uint8 [F,H,W,3].

    Edges are found in the whole frame and masked afterwards, so that the borders of the mask are none.
    """
    return np.where(keep[..., None], canny(luma(blurred(frames)), *thresholds(strength)), np.uint8(0))


def edges_of_masked(frames: np.ndarray, keep: np.ndarray, strength: str = "medium") -> np.ndarray:
    """As the CARLA exporter has them: edges of the masked frames, whose luma has the weights of red and blue swapped.

    The borders of the mask become edges.
    """
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in masked_rgb(frames, keep)])
    return canny(grey, *thresholds(strength))


def edges_below_the_sky(frames: np.ndarray, sky: np.ndarray, strength: str = "medium") -> np.ndarray:
    """Edges of the frames' luma, uint8 [F,H,W,3], none where `sky` [F,H,W] is True."""
    return np.where(sky[..., None], np.uint8(0), canny(luma(frames), *thresholds(strength)))
