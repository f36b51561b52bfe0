"""The sanity gate: rejects a clip that is black, of one constant colour, frozen or not finite."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import cv2
import numpy as np

from cosmos_exp.common.errors import UserError

BLACK_LEVEL = 4.0  # mean of 0..255 below which a frame is black
FLAT_STD = 1.0  # spatial standard deviation, in levels, below which a frame is one colour
MAX_BAD_SHARE = 0.25  # of a clip's frames


class SanityError(UserError):
    """A generated clip is unusable; the message says which view and why."""


def sanity_gate(frames: np.ndarray) -> list[str]:
    """Problems of one video [F,H,W,3], uint8 or floating point in 0..255; empty when there are none.

    NaN or infinite pixels at all; more than a quarter of the frames black or of one constant colour; more than a
    quarter of the frames identical to the one before.
    """
    if np.issubdtype(frames.dtype, np.floating) and not np.isfinite(frames).all():
        bad = int((~np.isfinite(frames)).reshape(len(frames), -1).any(axis=1).sum())
        return [f"NaN or infinite pixels in {bad} of {len(frames)} frames"]
    black = flat = 0
    for frame in frames:
        mean, deviation = cv2.meanStdDev(frame)
        if mean.mean() < BLACK_LEVEL:
            black += 1
        elif deviation.max() < FLAT_STD:
            flat += 1
    repeated = sum(np.array_equal(a, b) for a, b in pairwise(frames))
    allowed = MAX_BAD_SHARE * len(frames)
    problems = []
    if black > allowed:
        problems.append(f"{black} of {len(frames)} frames are black")
    if flat > allowed:
        problems.append(f"{flat} of {len(frames)} frames have one constant colour")
    if repeated > allowed and not problems:
        problems.append(f"frozen: {repeated} of {len(frames)} frames repeat the one before")
    return problems


def require_sane(videos: Mapping[str, np.ndarray]) -> None:
    """Raise one SanityError that lists every problem of every named video."""
    problems = [f"{name}: {problem}" for name, frames in videos.items() for problem in sanity_gate(frames)]
    if problems:
        raise SanityError("the generated video failed the sanity gate: " + "; ".join(problems))
