"""Renderer outputs, and the control set of CARLA's Cosmos exporter, as RGB videos for inspection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.threads import map_frames
from cosmos_exp.controls.class_filter import CARLA
from cosmos_exp.controls.depth import depth
from cosmos_exp.controls.edge import edge_control, masked_rgb_of
from cosmos_exp.controls.seg import instance_colors, seg_control, stored_normals
from cosmos_exp.rendering.palette import colorize
from cosmos_exp.rendering.types import SKY_TAG, CameraRender

Params = Mapping[str, Any]


def heat_colors(values: np.ndarray) -> np.ndarray:
    """[F,H,W] values from 0 to 1 -> uint8 [F,H,W,3] in colours from black over red to white."""

    def draw(frame: np.ndarray) -> np.ndarray:
        levels = np.round(np.clip(frame, 0.0, 1.0) * 255.0).astype(np.uint8)
        return cv2.applyColorMap(levels, cv2.COLORMAP_HOT)[..., ::-1]

    return map_frames(draw, values)


def normal_colors(normals: np.ndarray) -> np.ndarray:
    """[F,H,W,3] int8 unit vectors x127 -> uint8 colours: each axis from -1..1 to 1..255; the sky (0,0,0) is black."""

    def draw(frame: np.ndarray) -> np.ndarray:
        return np.where(frame.any(axis=-1, keepdims=True), stored_normals(frame), np.uint8(0))

    return map_frames(draw, normals)


def sky_mask(render: CameraRender) -> np.ndarray:
    """White where the sky is seen."""
    return map_frames(lambda tags: (tags == SKY_TAG)[..., None] * np.uint8(255), render.output("semantic"))


def _rgb_masked(render: CameraRender, edge: Params, seg: Params) -> np.ndarray:
    compat = edge.get("reference_compat", False)
    return masked_rgb_of(render, edge.get("class_filter"), reference_compat=compat)


def _rgb_edges(render: CameraRender, edge: Params, seg: Params) -> np.ndarray:
    return edge_control(render, **{**edge, "class_filter": edge.get("class_filter") or CARLA})


def _edges_below_the_sky(render: CameraRender, edge: Params, seg: Params) -> np.ndarray:
    return edge_control(render, strength=edge.get("strength", "medium"), drop_sky=True)


def _objects(mode: str) -> Callable[[CameraRender, Params, Params], np.ndarray]:
    return lambda render, edge, seg: seg_control(render, **{**seg, "mode": mode, "palette": "prism"})


PREVIEWS: dict[str, Callable[[CameraRender, Params, Params], np.ndarray]] = {
    "rgb": lambda render, edge, seg: render.output("rgb"),
    "depth": lambda render, edge, seg: depth(render.output("depth")),
    "semantic": lambda render, edge, seg: map_frames(colorize, render.output("semantic")),
    "instance": lambda render, edge, seg: map_frames(instance_colors, render.output("instance")),
    "normals": lambda render, edge, seg: normal_colors(render.output("normals")),
    "sky": lambda render, edge, seg: sky_mask(render),
    "hdmap": lambda render, edge, seg: render.output("hdmap"),
    "lidar": lambda render, edge, seg: render.output("lidar"),
    "wsm": lambda render, edge, seg: render.output("wsm"),
    "instance_segmentation": _objects("instance"),
    "shaded_segmentation": _objects("shaded"),
    "rgb_masked": _rgb_masked,
    "rgb_edges": _rgb_edges,
    "edges_below_the_sky": _edges_below_the_sky,
}


def preview(name: str, render: CameraRender, *, edge: Params | None = None, seg: Params | None = None) -> np.ndarray:
    """uint8 [F,H,W,3] of that name in PREVIEWS.

    rgb, depth, semantic, instance, normals, sky, hdmap, lidar and wsm show a renderer output. The others are of the
    control set of CARLA's exporter: instance_segmentation and shaded_segmentation with its palette, rgb_masked and
    rgb_edges with a class filter, and edges_below_the_sky. edge, seg: parameters of these controls, which apply to the
    same videos.
    """
    if name not in PREVIEWS:
        raise UserError(unknown_name("preview", name, PREVIEWS))
    return PREVIEWS[name](render, edge or {}, seg or {})
