"""Faces in frames: found by CenterFace (Xu et al. 2019, arXiv:1911.03599), and pixelated.

The network sees RGB of 0 to 255 and gives, for every fourth pixel each way, how likely a face's centre is there, the
logarithm of its height and width, and how far the centre is from that pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from cosmos_exp.guardrails.networks import CENTERFACE, load, outputs

NAME = "faces"
STRIDE = 4
MULTIPLE = 32
"""Of pixels each way, that the network takes."""
OVERLAP = 0.3
"""Intersection over union from which two boxes are one face."""
MARGIN = 0.15
"""Of a face's size, that is pixelated around it on each side."""
BLOCKS = 5
"""Pixels that a face has left each way, as in Cosmos-Transfer."""
REACH = 2
"""Frames before and after it in which a found face is pixelated too, so that it does not flash up where it was
missed."""
OUTPUTS = ("537", "538", "539", "540")
"""Of the network: centres, sizes, offsets, and where eyes, nose and mouth are."""
LARGEST_LOG = 8.0
"""Of a size in strides: larger is no number that the network was trained for."""


class Face(NamedTuple):
    """Pixels of a frame, the right and bottom ones not included; score: 0 to 1."""

    left: int
    top: int
    right: int
    bottom: int
    score: float


@dataclass(frozen=True)
class FaceGuard:
    """weights: as `guardrails.weights`. threshold: the least score of a face. size: pixels of the smallest face."""

    weights: str
    threshold: float
    size: int

    @cached_property
    def _net(self) -> cv2.dnn.Net:
        return load(CENTERFACE, self.weights)

    def find(self, frame: np.ndarray) -> list[Face]:
        """Faces of a frame, uint8 [H,W,3] RGB, the surest first. UserError where the network fails."""
        height, width = frame.shape[:2]
        padded = np.zeros((-(-height // MULTIPLE) * MULTIPLE, -(-width // MULTIPLE) * MULTIPLE, 3), np.uint8)
        padded[:height, :width] = frame
        centres, sizes, offsets, _ = outputs(self._net, CENTERFACE, cv2.dnn.blobFromImage(padded), OUTPUTS)
        rows, columns = np.nonzero(centres[0] >= self.threshold)
        scores = centres[0, rows, columns]
        extent = np.exp(np.minimum(sizes[:, rows, columns], LARGEST_LOG)) * STRIDE
        middle = (np.stack([rows, columns]) + offsets[:, rows, columns] + 0.5) * STRIDE
        low, high = middle - extent / 2, middle + extent / 2
        boxes = np.concatenate([low, high]).T  # top, left, bottom, right
        found = (_face(boxes[i], float(scores[i]), width, height) for i in _apart(boxes, scores))
        return [face for face in found if max(face.right - face.left, face.bottom - face.top) >= self.size]

    def record(self) -> dict[str, Any]:
        """What the guard is, as plain values."""
        return {"network": CENTERFACE.name, "threshold": self.threshold, "size": self.size}

    @property
    def files(self) -> tuple[Path, ...]:
        """That its results follow from."""
        return (CENTERFACE.path(self.weights),)


def _face(box: np.ndarray, score: float, width: int, height: int) -> Face:
    """The whole pixels that a box touches, within the frame."""
    top, left = (int(value) for value in np.floor(box[:2]))
    bottom, right = (int(value) for value in np.ceil(box[2:]))
    inside = max(0, left), max(0, top), min(width, right), min(height, bottom)
    return Face(*inside, round(score, 4))


def _apart(boxes: np.ndarray, scores: np.ndarray) -> list[int]:
    """Of boxes [N,4] that overlap, the one with the highest score. Returns indices, the highest score first."""
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    left, kept = list(np.argsort(-scores, kind="stable")), []
    while left:
        best = left.pop(0)
        kept.append(int(best))
        others = np.array(left, int)
        inner = np.minimum(boxes[others, 2:], boxes[best, 2:]) - np.maximum(boxes[others, :2], boxes[best, :2])
        shared = np.prod(np.clip(inner, 0, None), axis=1)
        left = list(others[shared < OVERLAP * (areas[others] + areas[best] - shared)])
    return kept


def pixelate(frames: np.ndarray, faces: Sequence[Sequence[Face]]) -> np.ndarray:
    """A copy of uint8 [F,H,W,3] in which the faces of each frame, and of the `REACH` frames around it, are blocks."""
    made = frames.copy()
    for at in range(len(frames)):
        for face in dict.fromkeys(f for own in faces[max(0, at - REACH) : at + REACH + 1] for f in own):
            _pixelate(made[at], face)
    return made


def _pixelate(frame: np.ndarray, face: Face) -> None:
    rows, columns = pixelated_area(face, *frame.shape[:2])
    area = frame[rows, columns]
    height, width = area.shape[:2]
    if height and width:
        blocks = cv2.resize(area, (min(BLOCKS, width), min(BLOCKS, height)), interpolation=cv2.INTER_AREA)
        area[:] = cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST)


def pixelated_area(face: Face, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of a frame that become blocks: the face and `MARGIN` around it."""
    across, down = (round(MARGIN * side) for side in (face.right - face.left, face.bottom - face.top))
    rows = slice(max(0, face.top - down), min(height, face.bottom + down))
    return rows, slice(max(0, face.left - across), min(width, face.right + across))
