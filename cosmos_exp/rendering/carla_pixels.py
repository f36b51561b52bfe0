"""The g-buffer as pixels of CARLA's cameras: uint8 [H,W,4], blue, green, red, alpha.

`cosmos_exp.sensors.carla_image.py` reads them back.
"""

from __future__ import annotations

import numpy as np

from cosmos_exp.rendering.compiled import kernel
from cosmos_exp.rendering.gbuffer import GBuffer
from cosmos_exp.rendering.types import SKY_TAG

DEPTH_RANGE = 1000.0  # metres that the largest value of a depth image stands for
DEPTH_LARGEST = 2**24 - 1
OPAQUE = 0xFF000000
WHITE = 0xFFFFFFFF


def draw_pixels(gbuffer: GBuffer, output: str, out: np.ndarray) -> None:
    """Fill out [H,W,4] uint8. output: depth, normals, sky (white where the sky is seen), semantic or instance.

    depth: metres = 1000 (R + 256 G + 65536 B) / (2^24 - 1), rounded to the nearest; the sky is the largest, what a
    wide lens sees behind its plane 0.
    semantic, instance: the tag in R; of an instance the high byte in G, the low one in B. normals: the camera's x, y
    and z (OpenCV axes) in R, G and B, -127 to 127 as 0 to 255, rounded to the nearest.
    """
    pixels = out.view(np.uint32)[..., 0]
    step = slice(None, None, gbuffer.samples)
    ids = gbuffer.ids[step, step]
    if output == "depth":
        _depth(ids, gbuffer.rays[2, step, step], gbuffer.inverse[step, step], pixels)
    elif output == "normals":
        _normals(gbuffer.normals, pixels)
    elif output == "sky":
        _tags(ids, gbuffer.static.codes, gbuffer.moving.codes, 2, pixels)
    else:
        _tags(ids, gbuffer.static.codes, gbuffer.moving.codes, int(output == "instance"), pixels)


@kernel()
def _depth(ids, rz, inverse, out):
    height, width = ids.shape
    scale = DEPTH_LARGEST / DEPTH_RANGE
    for y in range(height):
        for x in range(width):
            metres = rz[y, x] / inverse[y, x] if ids[y, x] >= 0 else np.float32(DEPTH_RANGE)
            value = np.uint32(min(max(metres * scale, 0.0), float(DEPTH_LARGEST)) + 0.5)
            low, middle, high = value & 255, (value >> 8) & 255, value >> 16
            out[y, x] = np.uint32(OPAQUE) | (low << 16) | (middle << 8) | high


@kernel()
def _tags(ids, static, moving, mode, out):
    """mode: 0 the tag, 1 the tag and the instance, 2 the sky."""
    height, width = ids.shape
    count = len(static)
    nothing = np.uint32(WHITE) if mode == 2 else np.uint32(OPAQUE | SKY_TAG << 16)
    for y in range(height):
        last, value = np.int32(-1), nothing
        for x in range(width):
            i = ids[y, x]
            if i != last:
                last = i
                if i < 0:
                    value = nothing
                elif mode == 2:
                    value = np.uint32(OPAQUE)
                else:
                    tag = static[i, 1] if i < count else moving[i - count, 1]
                    instance = static[i, 2] if i < count else moving[i - count, 2]
                    value = np.uint32(OPAQUE) | np.uint32(tag << 16)
                    if mode == 1:
                        value |= np.uint32(instance)
            out[y, x] = value


@kernel()
def _normals(normals, out):
    height, width, _ = normals.shape
    for y in range(height):
        for x in range(width):
            red, green, blue = (
                np.uint32((np.int64(normals[y, x, 0]) + 127) * 255.0 / 254.0 + 0.5),
                np.uint32((np.int64(normals[y, x, 1]) + 127) * 255.0 / 254.0 + 0.5),
                np.uint32((np.int64(normals[y, x, 2]) + 127) * 255.0 / 254.0 + 0.5),
            )
            out[y, x] = np.uint32(OPAQUE) | (red << 16) | (green << 8) | blue
