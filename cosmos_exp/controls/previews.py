"""Renderer outputs as plain RGB videos, for people to look at."""

from __future__ import annotations

import numpy as np

from cosmos_exp.controls.depth import depth
from cosmos_exp.controls.seg import instance_colors
from cosmos_exp.controls.types import output_of
from cosmos_exp.errors import UserError, unknown_name
from cosmos_exp.render.palette import colorize
from cosmos_exp.render.types import CameraRender


def normal_colors(normals: np.ndarray) -> np.ndarray:
    """[F,H,W,3] int8 unit vectors x127 -> uint8 colours: each axis from -1..1 to 1..255; the sky (0,0,0) is black."""
    colors = (normals.astype(np.int16) + 128).astype(np.uint8)
    colors[~normals.any(axis=-1)] = 0
    return colors


def sky_mask(render: CameraRender) -> np.ndarray:
    """White where the sky is seen."""
    output_of(render, "semantic")
    return np.repeat((render.sky * np.uint8(255))[..., None], 3, axis=-1)


PREVIEWS = {
    "rgb": lambda render: output_of(render, "rgb"),
    "depth": lambda render: depth(output_of(render, "depth")),
    "semantic": lambda render: colorize(output_of(render, "semantic")),
    "instance": lambda render: instance_colors(output_of(render, "instance")),
    "normals": lambda render: normal_colors(output_of(render, "normals")),
    "sky": sky_mask,
    "hdmap": lambda render: output_of(render, "hdmap"),
}


def preview(name: str, render: CameraRender) -> np.ndarray:
    """uint8 [F,H,W,3] of one renderer output: rgb, depth, semantic, instance, normals, sky or hdmap."""
    if name not in PREVIEWS:
        raise UserError(unknown_name("preview", name, PREVIEWS))
    return PREVIEWS[name](render)
