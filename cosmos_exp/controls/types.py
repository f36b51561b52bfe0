"""The interface of a control: a function from one camera's render to one video."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Control:
    """make(render, **params) -> uint8 [F,H,W,3]; outputs: the renderer outputs it reads."""

    make: Callable[..., np.ndarray]
    outputs: tuple[str, ...]
