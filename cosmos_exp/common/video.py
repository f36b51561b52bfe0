"""Videos as uint8 [F,H,W,3] RGB arrays in memory and H.264 files on disk."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TypeVar

import av
import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import partial_name, sync_to_disk
from cosmos_exp.common.video_decoding import pictures, video_info
from cosmos_exp.common.views import grid_rows

Known = TypeVar("Known")

CRF = 16  # visually lossless at the sizes made here
WITHOUT_AVX512 = "asm=AVX2,FMA3,BMI2"
"""For x264, whose AVX-512 code (macroblock tree) reads memory that it has not written: the same frames were not always
the same file. What it writes otherwise is what it writes with this."""
THREADS = 4  # of the encoder: what it writes depends on their number, so it does not follow from the machine
QUEUE_SIZE = 4  # frames that wait for the encoder before `write` blocks


@dataclass(frozen=True)
class Encoding:
    """H.264 settings. lossless: RGB at QP 0, exact to the bit but not playable in browsers. threads: of the encoder; 0
    lets it choose by the machine, and then the file depends on the machine."""

    crf: int = CRF
    preset: str = "veryfast"
    lossless: bool = False
    threads: int = 0


@cache
def _has_avx512() -> bool:
    try:
        return " avx512f " in Path("/proc/cpuinfo").read_text()
    except OSError:  # no Linux
        return False


class VideoWriter:
    """An MP4 that browsers and W&B play (H.264, yuv420p, moov box in front), written frame by frame.

    The encoder runs in its own thread while the caller produces the next frame; few frames are buffered. The file
    appears under its name only when it is complete and on disk. As a context manager: finished at the end of the
    block, or discarded when the block raises.
    """

    def __init__(
        self, path: Path | str, *, width: int, height: int, fps: float, encoding: Encoding = Encoding()
    ) -> None:
        """width, height: pixels, even unless lossless. fps: Hz."""
        if not encoding.lossless and (height % 2 or width % 2):
            raise ValueError(f"yuv420p needs an even height and width, given {height}x{width}")
        self.path = Path(path)
        self.width, self.height, self.fps, self.encoding = width, height, fps, encoding
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._partial = self.path.with_name(partial_name(self.path.name))
        self._frames: queue.Queue[av.VideoFrame | None] = queue.Queue(QUEUE_SIZE)
        self._discarded = False
        self._ended = False
        encoder = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encoder")
        self._done = encoder.submit(self._run)
        encoder.shutdown(wait=False)

    def write(self, frame: np.ndarray) -> None:
        """frame: uint8, [H,W,3] RGB or, unless lossless, the planes [H*3/2,W] of yuv420p; copied.

        Raises OSError where the file cannot be written.
        """
        pixel_format = "rgb24" if frame.ndim == 3 else "yuv420p"
        self._put(av.VideoFrame.from_ndarray(frame, format=pixel_format))

    def end(self) -> None:
        """No frame follows. Returns at once; the encoder continues with the queued frames."""
        if not self._ended:
            self._ended = True
            self._put(None)

    def finish(self) -> Path:
        """Wait until the file is complete. Raises OSError where it cannot be written."""
        self.end()
        self._done.result()
        return self.path

    def discard(self) -> None:
        """Abandon the file; an existing one of that name is kept."""
        self._discarded = True
        while not self._done.done():
            try:
                self._frames.put(None, timeout=0.05)
                break
            except queue.Full:
                continue

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            self.finish()
        else:
            self.discard()

    def _put(self, frame: av.VideoFrame | None) -> None:
        while True:
            if self._done.done():
                self._done.result()
                raise ValueError(f"{self.path} is finished")
            try:
                return self._frames.put(frame, timeout=0.5)
            except queue.Full:
                continue

    def _run(self) -> None:
        try:
            self._encode()
            if not self._discarded:
                sync_to_disk(self._partial)
                os.replace(self._partial, self.path)
        finally:
            self._partial.unlink(missing_ok=True)

    def _encode(self) -> None:
        encoding = self.encoding
        codec, pixel_format = ("libx264rgb", "rgb24") if encoding.lossless else ("libx264", "yuv420p")
        options = {"qp": "0"} if encoding.lossless else {"crf": str(encoding.crf)}
        options["preset"] = "ultrafast" if encoding.lossless else encoding.preset
        if _has_avx512():
            options["x264-params"] = WITHOUT_AVX512
        with av.open(str(self._partial), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            rate = Fraction(self.fps).limit_denominator(1001)
            stream = container.add_stream(codec, rate=rate, options=options)
            assert isinstance(stream, av.VideoStream)  # as both codecs are of video
            stream.height, stream.width = self.height, self.width
            stream.pix_fmt = pixel_format
            stream.codec_context.thread_count = encoding.threads
            while (frame := self._frames.get()) is not None and not self._discarded:
                container.mux(stream.encode(frame))
            if not self._discarded:
                container.mux(stream.encode())


def write_video(path: Path | str, frames: np.ndarray, fps: float, *, crf: int = CRF, lossless: bool = False) -> Path:
    """Write `frames`, uint8 [F,H,W,3] RGB, as a VideoWriter does. fps: Hz."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not len(frames):
        raise ValueError(f"frames must be uint8 [F,H,W,3] with F >= 1, given {frames.dtype} {list(frames.shape)}")
    height, width = frames.shape[1:3]
    encoding = Encoding(crf=crf, lossless=lossless, threads=THREADS)
    with VideoWriter(path, width=width, height=height, fps=fps, encoding=encoding) as writer:
        for frame in frames:
            writer.write(frame)
    return writer.path


def read_video(path: Path | str) -> np.ndarray:
    """All frames of a video file, uint8 [F,H,W,3] RGB. Errors: see `pictures` of `video_decoding`."""
    return np.stack(list(stream_video(path)))


def stream_video(path: Path | str, *, size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
    """The frames of a video file one by one, uint8 [H,W,3] RGB, upright and in square pixels.

    size: width and height to scale them to, pixels. Errors: see `pictures` of `video_decoding`.
    """
    for picture in pictures(path):
        yield picture.shown(size)


def middle_frame(path: Path | str, *, size: tuple[int, int] | None = None) -> np.ndarray:
    """The middle one of a video's frames, uint8 [H,W,3] RGB; those after it are not decoded. size, errors: see
    `stream_video`."""
    return frames_at(path, [video_info(path).frames // 2], size=size)[0]


def frames_at(path: Path | str, numbers: Sequence[int], *, size: tuple[int, int] | None = None) -> np.ndarray:
    """The frames of these numbers, uint8 [N,H,W,3] RGB; those after the last of them are not decoded. size, errors: see
    `stream_video`."""
    decoded = islice(pictures(path), max(numbers) + 1)
    frames = {i: picture.shown(size) for i, picture in enumerate(decoded) if i in numbers}
    if missing := [i for i in numbers if i not in frames]:
        raise UserError(f"{path} has no frame {missing[0]}; is it truncated?")
    return np.stack([frames[i] for i in numbers])


def frame_rate(path: Path | str) -> float:
    """Frame rate of a video file, Hz. Errors: see `stream_video`; UserError where it states none."""
    rate = video_info(path, 1).rate
    if not rate:
        raise UserError(f"{path} states no frame rate; is it truncated?")
    return rate


def video_shape(path: Path | str) -> tuple[int, int, int]:
    """Frames, height and width of a video file. Errors: see `stream_video`."""
    info = video_info(path)
    return info.frames, info.size[1], info.size[0]


def first_readable(read: Callable[[Path], Known], videos: Iterable[Path]) -> Known | None:
    """What `read` finds in the first video for which it raises no UserError; None where there is none."""
    for path in videos:
        with suppress(UserError):
            return read(path)
    return None


def resize(frames: np.ndarray, height: int, width: int, interpolation: int | None = None) -> np.ndarray:
    """uint8 [F,H,W,3] -> [F,height,width,3], without crop or border. interpolation: of OpenCV; None: bilinear."""
    import cv2

    if frames.shape[1:3] == (height, width):
        return frames
    method = cv2.INTER_LINEAR if interpolation is None else interpolation
    return np.stack([cv2.resize(frame, (width, height), interpolation=method) for frame in frames])


def compose_grid(
    views: Mapping[str, np.ndarray], *, rows: Sequence[Sequence[str | None]] | None = None, labels: bool = False
) -> np.ndarray:
    """Tile the videos of several views without padding; six lie as those of Single2MultiView.

    views: {view name: uint8 [F,H,W,3]}, all of one shape. rows: view names of each row, None for a black tile; by
    default those of `grid_rows`. Shorter rows stand in the middle, black on either side. labels: write each view's name
    into its corner. Returns uint8 [F, rows*H, longest row*W, 3].
    """
    rows = grid_rows(views) if rows is None else rows
    frames, height, width, _ = next(iter(views.values())).shape
    columns = max(map(len, rows))
    grid = np.zeros((frames, len(rows) * height, columns * width, 3), np.uint8)
    for number, row in enumerate(rows):
        top, left = number * height, (columns - len(row)) * width // 2
        for name in row:
            if name is not None:
                tile = _labelled(views[name], name) if labels else views[name]
                grid[:, top : top + height, left : left + width] = tile
            left += width
    return grid


def _labelled(frames: np.ndarray, text: str) -> np.ndarray:
    import cv2

    scale = max(frames.shape[2] / 640, 0.3)
    origin = (round(8 * scale), round(20 * scale))
    labelled = frames.copy()
    for frame in labelled:
        for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(frame, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.6 * scale, color, thickness, cv2.LINE_AA)
    return labelled
