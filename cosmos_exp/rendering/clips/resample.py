"""From a drawn canvas to the encoder: Lanczos resampling of rows and RGB to yuv420p, skipping black pixels.

An HD map is mostly black, so both steps work on runs of `RUN` pixels and skip the black ones. `resize` is bit-exact
with `cv2.resize(..., INTER_LANCZOS4)`.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from cosmos_exp.rendering.compiled import kernel, part

RUN = 32  # pixels
TAPS = 8

# BT.601, limited range, 15 fractional bits, as libswscale has them.
LUMA = (8414, 16519, 3208)
CHROMA_U = (-4865, -9528, 14392)
CHROMA_V = (14392, -12061, -2332)
# Halving of the rows of chroma: a bicubic (B = 0, C = 0.6) stretched twofold, 12 fractional bits.
HALVING = np.array([-58, -173, 493, 1786, 1786, 493, -173, -58], np.int32)


def resize(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """uint8 [H,W,3] -> [height,width,3], Lanczos-4; by OpenCV where the width changes too."""
    if image.shape[:2] == (height, width):
        return image
    if image.shape[1] != width:
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_LANCZOS4)
    flat = np.ascontiguousarray(image).reshape(image.shape[0], -1)
    weights, rows = lanczos4_taps(image.shape[0], height)
    return _resample_rows(flat, weights, rows, 3 * RUN).reshape(height, width, 3)


def center_crop(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """The middle `height` x `width` of an image at least as large; a view."""
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


@lru_cache(maxsize=16)
def lanczos4_taps(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights int32 [target,8], 11 fractional bits, and source rows int32 [target,8], of a resampling of rows.

    w(x) = sinc(x) sinc(x/4), normalised in float32; rows beyond the border repeat the border's.
    """
    center = (np.arange(target) + 0.5) * (source / target) - 0.5
    first = np.floor(center).astype(np.int32)
    fraction = center.astype(np.float32) - first.astype(np.float32)
    x = fraction.astype(np.float64)[:, None] + (3 - np.arange(TAPS))
    weights = (np.sinc(x) * np.sinc(x / 4)).astype(np.float32)
    weights *= np.float32(1) / weights.sum(axis=1, keepdims=True, dtype=np.float32)
    rows = np.clip(first[:, None] - 3 + np.arange(TAPS), 0, source - 1)
    return np.rint(weights * np.float32(2048)).astype(np.int32), rows.astype(np.int32)


@part()
def _occupied(flat, run):
    """Whether any byte of each run of `run` bytes is not 0, [rows, runs] uint8."""
    height, width = flat.shape
    runs = (width + run - 1) // run
    occupied = np.zeros((height, runs), np.uint8)
    for y in range(height):
        for i in range(runs):
            any_bit = np.uint8(0)
            for value in flat[y, i * run : min((i + 1) * run, width)]:
                any_bit |= value
            occupied[y, i] = any_bit
    return occupied


@kernel()
def _resample_rows(flat, weights, rows, run):
    """uint8 [H,B] -> [len(weights),B]: each row the weighted sum of 8 rows, rounded and clipped."""
    width = flat.shape[1]
    occupied = _occupied(flat, run)
    out = np.zeros((len(weights), width), np.uint8)
    sums = np.empty(run, np.int32)
    for y in range(len(weights)):
        for i in range(occupied.shape[1]):
            used = False
            for tap in range(TAPS):
                used |= occupied[rows[y, tap], i] != 0
            if used:
                start, end = i * run, min((i + 1) * run, width)
                _resample_run(flat, weights[y], rows[y], occupied[:, i], start, end, sums, out[y, start:end])
    return out


@part()
def _resample_run(flat, weights, rows, used, start, end, sums, out):
    """used: of every row of flat, whether anything is there but 0. sums: scratch [end - start] int32."""
    count = end - start
    for x in range(count):
        sums[x] = 1 << 10
    for tap in range(TAPS):
        if not used[rows[tap]]:
            continue
        weight, row = np.int32(weights[tap]), flat[rows[tap], start:end]
        for x in range(count):
            sums[x] += weight * np.int32(row[x])
    for x in range(count):
        out[x] = min(max(sums[x] >> np.int32(11), np.int32(0)), np.int32(255))


class Yuv420:
    """RGB images [source height,W,3] -> planes of yuv420p of another height, which is `resize` and then conversion.

    BT.601, limited range: luma as libswscale's to the bit, chroma within one level of its bicubic.
    """

    def __init__(self, width: int, source_height: int, height: int):
        if height % 2 or width % 2:
            raise ValueError(f"yuv420p needs an even height and width, given {height}x{width}")
        self._weights, self._rows = lanczos4_taps(source_height, height)
        self._chroma = np.empty((2, height, width // 2), np.int16)
        self._planes = np.empty((height * 3 // 2, width), np.uint8)

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """uint8 [H,W,3] -> planes Y, U, V [H*3/2,W] uint8, valid until the next call."""
        height, width = self._chroma.shape[1:]
        luma, chroma = self._planes[:height], self._planes[height:].reshape(2, height // 2, width)
        flat = np.ascontiguousarray(rgb).reshape(len(rgb), -1)
        _luma_and_chroma(flat, self._weights, self._rows, self._chroma, luma, chroma)
        return self._planes


@kernel()
def _luma_and_chroma(flat, weights, rows, full, luma, chroma):
    """full: scratch for chroma before its rows are halved, 6 fractional bits."""
    height, width = luma.shape
    occupied = _occupied(flat, 3 * RUN)
    used = np.zeros((height, occupied.shape[1]), np.uint8)
    pixels, sums = np.empty(3 * RUN, np.uint8), np.empty(3 * RUN, np.int32)
    for y in range(height):
        for i in range(occupied.shape[1]):
            start, end = i * RUN, min((i + 1) * RUN, width)
            for tap in range(TAPS):
                used[y, i] |= occupied[rows[y, tap], i]
            if not used[y, i]:
                luma[y, start:end] = 16
                full[:, y, start // 2 : end // 2] = 128 << 6
                continue
            _resample_run(flat, weights[y], rows[y], occupied[:, i], 3 * start, 3 * end, sums, pixels)
            _convert(pixels, luma[y, start:end])
            for plane in range(2):
                _convert_chroma(pixels, full[plane, y, start // 2 : end // 2], plane)
    for plane in range(2):
        _halve_rows(full[plane], used, chroma[plane])


@part()
def _convert(rgb, luma):
    r, g, b = np.int32(LUMA[0]), np.int32(LUMA[1]), np.int32(LUMA[2])
    for x in range(len(luma)):
        total = r * rgb[3 * x] + g * rgb[3 * x + 1] + b * rgb[3 * x + 2] + np.int32((32 << 14) + (1 << 8))
        luma[x] = (((total >> np.int32(9)) << np.int32(1)) + np.int32(64)) >> np.int32(7)


@part()
def _convert_chroma(rgb, chroma, plane):
    weights = CHROMA_V if plane else CHROMA_U
    r, g, b = np.int32(weights[0]), np.int32(weights[1]), np.int32(weights[2])
    for x in range(len(chroma)):
        total = (
            r * (np.int32(rgb[6 * x]) + np.int32(rgb[6 * x + 3]))
            + g * (np.int32(rgb[6 * x + 1]) + np.int32(rgb[6 * x + 4]))
            + b * (np.int32(rgb[6 * x + 2]) + np.int32(rgb[6 * x + 5]))
        )
        chroma[x] = (total + np.int32((256 << 15) + (1 << 9))) >> np.int32(10)


@part()
def _halve_rows(full, occupied, out):
    """int16 [H,W] with 6 fractional bits -> uint8 [H/2,W]; runs of black become 128."""
    height, width = full.shape
    sums = np.empty(RUN // 2, np.int32)
    for y in range(height // 2):
        for i in range(occupied.shape[1]):
            start, end = i * (RUN // 2), min((i + 1) * (RUN // 2), width)
            used = False
            for row in range(max(2 * y - 3, 0), min(2 * y + 5, height)):
                used |= occupied[row, i] != 0
            if not used:
                out[y, start:end] = 128
                continue
            for x in range(end - start):
                sums[x] = 1 << 17
            for tap in range(TAPS):
                weight = np.int32(HALVING[tap])
                row = full[min(max(2 * y - 3 + tap, 0), height - 1), start:end]
                for x in range(end - start):
                    sums[x] += weight * np.int32(row[x])
            halved = out[y, start:end]
            for x in range(end - start):
                halved[x] = min(max(sums[x] >> np.int32(18), np.int32(0)), np.int32(255))
