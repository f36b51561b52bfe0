"""Video files as phones, cameras and editors make them."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

Matrix = tuple[float, float, float, float]  # a, b, c, d: stored (x, y) is shown at (a x + c y, b x + d y)


def numbered(count: int, height: int = 32, width: int = 48) -> np.ndarray:
    """uint8 [count,height,width,3]: frame i is grey of 8 i + 20 levels, with a white corner at the top left."""
    frames = np.empty((count, height, width, 3), np.uint8)
    frames[:] = (20 + 8 * np.arange(count, dtype=np.uint8))[:, None, None, None]
    frames[:, : height // 4, : width // 4] = 255
    return frames


def numbers(frames: np.ndarray) -> list[int]:
    """Which frames of `numbered` these are, by their middle."""
    height, width = frames.shape[1:3]
    return [round((int(frame[height // 2, width // 2, 0]) - 20) / 8) for frame in frames]


def encode(
    path: Path,
    frames: np.ndarray,
    *,
    fps: float = 24,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    options: Mapping[str, str] = {"crf": "4"},
    times: Sequence[float] = (),
    matrix: Matrix | None = None,
    aspect: Fraction | None = None,
    transfer: int = 2,
    primaries: int = 2,
) -> Path:
    """frames: uint8 [F,H,W,3] RGB or [F,H,W,4] RGBA. times: of the frames, seconds; without, even. matrix: of display.
    aspect: of a pixel. transfer, primaries: numbers of ITU-T H.273."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=dict(options))
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        if matrix:
            a, b, c, d = matrix
            stream.set_display_matrix([round(v * 65536) for v in (a, b, 0, c, d, 0, 0, 0)] + [1 << 30])
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        stream.codec_context.color_trc, stream.codec_context.color_primaries = transfer, primaries
        stream.codec_context.time_base = Fraction(1, 24000)
        for number, pixel in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixel, format="rgb24" if pixel.shape[2] == 3 else "rgba")
            frame = frame.reformat(format=pixels)
            frame.color_trc, frame.color_primaries = transfer, primaries
            frame.time_base = Fraction(1, 24000)
            frame.pts = round((times[number] if len(times) else number / fps) * 24000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def cut_by_edit_list(path: Path, frames: int, fps: float = 24) -> Path:
    """As editors cut without encoding anew: the edit list of the one track begins `frames` later."""
    content = bytearray(path.read_bytes())
    entry, clock = content.index(b"elst") + 12, content.index(b"mdhd") + 16
    (timescale,) = struct.unpack_from(">I", content, clock)
    duration, start = struct.unpack_from(">Ii", content, entry)
    struct.pack_into(
        ">Ii", content, entry, duration - round(frames / fps * 1000), start + round(frames / fps * timescale)
    )
    path.write_bytes(content)
    return path
