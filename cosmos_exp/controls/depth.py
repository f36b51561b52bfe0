"""Depth control: near bright. Logarithmic as the CARLA exporter of Cosmos-Transfer1 writes it, or scaled per clip."""

from __future__ import annotations

import numpy as np

from cosmos_exp.errors import UserError, unknown_name

DEPTH_MAPPINGS = ("log", "inverse", "linear")
MIN_DEPTH = 0.01
MAX_DEPTH = 1000.0


def depth(
    metres: np.ndarray, min_depth: float = MIN_DEPTH, max_depth: float = MAX_DEPTH, *, mapping: str = "log"
) -> np.ndarray:
    """[F,H,W] metres along the optical axis -> grey uint8 [F,H,W,3]; m is metres clipped to [min_depth, max_depth].

    log: 255 (1 - (ln m - ln min) / (ln max - ln min)), truncated; the sky (+inf) is black.
    inverse: 1/m, linear: -m, each from its smallest value over all frames (black) to its largest (white), rounded.
    NaN is a broken render, not sky: ValueError.
    """
    if mapping not in DEPTH_MAPPINGS:
        raise UserError(unknown_name("depth mapping", mapping, DEPTH_MAPPINGS))
    if not 0 < min_depth < max_depth < np.inf:
        raise UserError(
            f"depth control: {min_depth=} and {max_depth=} must satisfy 0 < min_depth < max_depth; "
            f"the usual pair is {MIN_DEPTH} and {MAX_DEPTH:g}"
        )
    if np.isnan(metres).any():
        raise ValueError("depth contains NaN")
    clipped = np.clip(metres, min_depth, max_depth)
    if mapping == "log":
        grey = _logarithmic(clipped, min_depth, max_depth)
    else:
        grey = _stretched(1.0 / clipped if mapping == "inverse" else -clipped)
    return np.repeat(grey[..., None], 3, axis=-1)


def _logarithmic(metres: np.ndarray, min_depth: float, max_depth: float) -> np.ndarray:
    """The logarithm in the precision of `metres`, the rest in float64."""
    lowest, highest = np.log(np.float64(min_depth)), np.log(np.float64(max_depth))
    v = (np.log(metres).astype(np.float64) - lowest) / (highest - lowest)
    return (np.clip(1.0 - v, 0.0, 1.0) * 255.0).astype(np.uint8)


def _stretched(values: np.ndarray) -> np.ndarray:
    lowest, highest = values.min(), values.max()
    return np.round(255.0 * (values - lowest) / max(highest - lowest, np.finfo(np.float32).tiny)).astype(np.uint8)
