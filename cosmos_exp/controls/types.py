"""What a control is: a function from one camera's render to one video."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cosmos_exp.render.types import CameraRender


@dataclass(frozen=True)
class Control:
    """make(render, **params) -> uint8 [F,H,W,3]; outputs: the renderer outputs it reads."""

    make: Callable[..., np.ndarray]
    outputs: tuple[str, ...]


def output_of(render: CameraRender, name: str) -> np.ndarray:
    """The array of one renderer output; ValueError when the render was made without it."""
    values = getattr(render, name)
    if values is None:
        raise ValueError(f"camera {render.camera!r} was rendered without its {name!r} output")
    return values
