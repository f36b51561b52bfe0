"""Encoding of tar members as NumPy arrays."""

from __future__ import annotations

import io

import numpy as np


def encode_npy(array: np.ndarray) -> bytes:
    """A .npy member, float64."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array, np.float64))
    return buffer.getvalue()
