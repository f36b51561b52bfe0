"""Depth control: near bright. Logarithmic as the CARLA exporter of Cosmos-Transfer1 writes it, or scaled per clip."""

from __future__ import annotations

import cv2
import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.threads import map_frames

DEPTH_MAPPINGS = ("log", "inverse", "linear")
MIN_DEPTH = 0.01
MAX_DEPTH = 1000.0
ROWS_AT_ONCE = 16  # fit into the CPU cache


def depth(
    metres: np.ndarray, min_depth: float = MIN_DEPTH, max_depth: float = MAX_DEPTH, *, mapping: str = "log"
) -> np.ndarray:
    """[F,H,W] metres along the optical axis -> grey uint8 [F,H,W,3]; m is metres clipped to [min_depth, max_depth].

    log: 255 (1 - (ln m - ln min) / (ln max - ln min)), truncated; the sky (+inf) is black.
    inverse: 1/m, linear: -m, each from its smallest value over all frames (black) to its largest (white), rounded.
    NaN is never sky and raises ValueError.
    """
    if mapping not in DEPTH_MAPPINGS:
        raise UserError(unknown_name("depth mapping", mapping, DEPTH_MAPPINGS))
    if not 0 < min_depth < max_depth < np.inf:
        raise UserError(
            f"depth control: {min_depth=} and {max_depth=} must satisfy 0 < min_depth < max_depth; "
            f"the usual pair is {MIN_DEPTH} and {MAX_DEPTH:g}"
        )
    nearest = metres.min()
    if np.isnan(nearest):  # as one of them is
        raise ValueError("depth contains NaN")
    if mapping == "log":
        return map_frames(lambda frame: _grey(_logarithmic(frame, min_depth, max_depth)), metres)
    value = np.reciprocal if mapping == "inverse" else np.negative
    lowest, highest = value(np.clip([metres.max(), nearest], min_depth, max_depth, dtype=metres.dtype))

    def draw(frame: np.ndarray) -> np.ndarray:
        return _grey(_stretched(value(np.clip(frame, min_depth, max_depth)), lowest, highest))

    return map_frames(draw, metres)


def _logarithmic(metres: np.ndarray, min_depth: float, max_depth: float) -> np.ndarray:
    """[H,W] metres -> uint8. The logarithm in the precision of `metres`, the rest in float64."""
    lowest, highest = np.log(np.float64(min_depth)), np.log(np.float64(max_depth))
    grey = np.empty(metres.shape, np.uint8)
    for rows in range(0, len(metres), ROWS_AT_ONCE):
        v = np.log(np.clip(metres[rows : rows + ROWS_AT_ONCE], min_depth, max_depth)).astype(np.float64)
        v -= lowest
        v /= highest - lowest
        np.subtract(1.0, v, out=v)
        np.clip(v, 0.0, 1.0, out=v)
        v *= 255.0
        grey[rows : rows + ROWS_AT_ONCE] = v
    return grey


def _stretched(values: np.ndarray, lowest: np.floating, highest: np.floating) -> np.ndarray:
    return np.round(255.0 * (values - lowest) / max(highest - lowest, np.finfo(np.float32).tiny)).astype(np.uint8)


def _grey(levels: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(levels, cv2.COLOR_GRAY2RGB)
