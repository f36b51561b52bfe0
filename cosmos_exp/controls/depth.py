"""Depth control: logarithmic depth, near bright, as the CARLA exporter of Cosmos-Transfer1 writes it."""

from __future__ import annotations

import numpy as np

from cosmos_exp.errors import UserError

MIN_DEPTH = 0.01
MAX_DEPTH = 1000.0


def depth(metres: np.ndarray, min_depth: float = MIN_DEPTH, max_depth: float = MAX_DEPTH) -> np.ndarray:
    """[F,H,W] metres along the optical axis -> grey uint8 [F,H,W,3].

    v = (ln m - ln min) / (ln max - ln min) with m clipped to [min, max]; the value is 255 * (1 - v), truncated, so
    the sky (+inf) is black. NaN is a broken render, not sky: ValueError.
    """
    if not 0 < min_depth < max_depth < np.inf:
        raise UserError(
            f"depth control: {min_depth=} and {max_depth=} must satisfy 0 < min_depth < max_depth; "
            f"the usual pair is {MIN_DEPTH} and {MAX_DEPTH:g}"
        )
    if np.isnan(metres).any():
        raise ValueError("depth contains NaN")
    v = np.log(np.clip(metres, min_depth, max_depth).astype(np.float32) / np.float32(min_depth))
    v /= np.float32(np.log(max_depth / min_depth))
    grey = (255.0 * np.clip(1.0 - v, 0.0, 1.0)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)
