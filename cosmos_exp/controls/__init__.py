"""Control videos, the spatial conditions of the generator: one function per control, computed from a `CameraRender`,
and videos that users provide in their place. Imports `common`, `sensors`, `scene` and `rendering`."""

from __future__ import annotations

import inspect

import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.controls.depth import MAX_DEPTH, MIN_DEPTH, depth
from cosmos_exp.controls.edge import edge_control
from cosmos_exp.controls.previews import PREVIEWS, preview
from cosmos_exp.controls.seg import seg_control
from cosmos_exp.controls.types import Control
from cosmos_exp.controls.vis import vis
from cosmos_exp.rendering.types import CameraRender

__all__ = ["CONTROLS", "PREVIEWS", "Control", "make_control", "preview"]


def _hdmap(render: CameraRender) -> np.ndarray:
    return render.output("hdmap")


def _lidar(render: CameraRender) -> np.ndarray:
    return render.output("lidar")


def _wsm(render: CameraRender) -> np.ndarray:
    return render.output("wsm")


def _vis(render: CameraRender, *, strength: str = "medium") -> np.ndarray:
    return vis(render.output("rgb"), strength)


def _depth(
    render: CameraRender, *, min_depth: float = MIN_DEPTH, max_depth: float = MAX_DEPTH, mapping: str = "log"
) -> np.ndarray:
    return depth(render.output("depth"), min_depth, max_depth, mapping=mapping)


CONTROLS: dict[str, Control] = {
    "hdmap": Control(_hdmap, ("hdmap",)),
    "edge": Control(edge_control, ("rgb", "semantic")),
    "vis": Control(_vis, ("rgb",)),
    "depth": Control(_depth, ("depth",)),
    "seg": Control(seg_control, ("semantic", "instance", "normals")),
    "lidar": Control(_lidar, ("lidar",)),
    "wsm": Control(_wsm, ("wsm",)),
}


def _lookup(name: str, params: dict) -> Control:
    if name not in CONTROLS:
        raise UserError(unknown_name("control", name, CONTROLS))
    control = CONTROLS[name]
    allowed = list(inspect.signature(control.make).parameters)[1:]
    for key in params:
        if key not in allowed:
            if not allowed:
                raise UserError(f"control {name!r} takes no parameters, got {key}={params[key]!r}")
            raise UserError(unknown_name(f"parameter of control {name!r}", key, allowed))
    return control


def make_control(name: str, render: CameraRender, **params) -> np.ndarray:
    """The control video uint8 [F,H,W,3] of one camera.

    edge(strength, class_filter, drop_sky, reference_compat), vis(strength), depth(min_depth, max_depth, mapping),
    seg(mode, palette, class_filter, reference_compat), hdmap(), lidar(), wsm().
    Unknown names are a UserError; a render without the needed output is a ValueError.
    """
    return _lookup(name, params).make(render, **params)
