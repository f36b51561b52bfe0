"""Label verdicts as a video on black, to be laid over the generated one."""

from __future__ import annotations

import cv2
import numpy as np

from cosmos_exp.metrics.survival import LOST, SHOWN, UNDECIDED, Survival
from cosmos_exp.metrics.types import GeneratedClip

COLORS = {SHOWN: (40, 230, 80), LOST: (255, 50, 50), UNDECIDED: (150, 150, 150)}


def label_overlay(clip: GeneratedClip, survival: Survival, view: str) -> np.ndarray:
    """uint8 [F,H,W,3]: boxes of objects and pixels of lane lines in the colour of their verdict. Frames that the
    evaluator did not read show the verdicts of the one before."""
    labels, (height, width) = clip.labels(view), clip.videos[view].shape[1:3]
    assert labels is not None
    drawn = np.zeros((len(labels.frames), height, width, 3), np.uint8)
    place = {int(frame): i for i, frame in enumerate(labels.frames)}
    thickness = max(1, round(height / 360))
    for line in survival.lines:
        if line.view == view:
            frame = drawn[place[line.frame]]
            frame[labels.lines[place[line.frame]] == line.line] = COLORS[line.verdict]
    for verdict in sorted(survival.objects, key=lambda verdict: -verdict.label.distance if verdict.label else 0.0):
        if verdict.view == view and verdict.label is not None:
            left, top, right, bottom = (round(value) for value in verdict.label.visible)
            corners = (left, top), (max(left, right - 1), max(top, bottom - 1))
            cv2.rectangle(drawn[place[verdict.frame]], *corners, COLORS[verdict.verdict], thickness)
    last = np.searchsorted(labels.frames, np.arange(len(clip.rig_poses)), side="right") - 1
    return drawn[last]
