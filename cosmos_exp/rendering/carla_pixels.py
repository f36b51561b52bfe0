"""Outputs of the g-buffer as the pixels of CARLA's cameras: uint8 [H,W,4], blue, green, red, alpha.

`cosmos_exp/controls/carla_image.py` reads them back.
"""

from __future__ import annotations

import numpy as np

from cosmos_exp.rendering.compiled import kernel

DEPTH_RANGE = 1000.0  # metres that the largest value of a depth image stands for
DEPTH_LARGEST = 2**24 - 1


@kernel()
def write_depth(depth, out):
    """metres = 1000 (R + 256 G + 65536 B) / (2^24 - 1), rounded to the nearest; beyond it, the largest."""
    height, width = depth.shape
    for y in range(height):
        for x in range(width):
            share = min(max(np.float64(depth[y, x]) / DEPTH_RANGE, 0.0), 1.0)
            value = np.int64(share * DEPTH_LARGEST + 0.5)
            out[y, x, 0] = (value >> 16) & 255
            out[y, x, 1] = (value >> 8) & 255
            out[y, x, 2] = value & 255
            out[y, x, 3] = 255


@kernel()
def write_tags(tags, instances, out):
    """The tag in R; the instance in G (high byte) and B."""
    height, width = tags.shape
    for y in range(height):
        for x in range(width):
            number = np.int64(instances[y, x])
            out[y, x, 0] = number & 255
            out[y, x, 1] = (number >> 8) & 255
            out[y, x, 2] = tags[y, x]
            out[y, x, 3] = 255


@kernel()
def write_normals(normals, out):
    """x, y, z of the camera's OpenCV axes in R, G, B: -127 to 127 as 0 to 255, rounded to the nearest."""
    height, width, _ = normals.shape
    for y in range(height):
        for x in range(width):
            for k in range(3):
                out[y, x, 2 - k] = np.uint8((np.int64(normals[y, x, k]) + 127) * 255.0 / 254.0 + 0.5)
            out[y, x, 3] = 255
