"""Video files decoded as a player shows them: upright, without what an edit list cuts off; one message for each fault.

Every video that is read comes through here. Frames are decoded one by one, and none after the last one asked for.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter

from cosmos_exp.common.errors import UserError

READING_VERSION = 2
"""Raise it when the same file makes other pictures: results of users' videos and pictures have it in their key."""

ANY_METADATA: dict[str, Any] = {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "replace"}
"""Tags that are not UTF-8 are no error; PyAV 19 has no such option and reads them as they are."""
MAX_PIXELS = 8192 * 4352  # of a frame: level 6.2 of H.264 and H.265, the highest
MAX_ASPECT = 4  # of a pixel
FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,av1,obu,"
    "ivf,flv,ogg,asf,mxf,nut,yuv4mpegpipe,gif,apng,mjpeg,dv"
)  # libavformat's names of those that hold videos; none that refers to other files
KINDS = "mp4, mov, mkv, webm, avi, ts, mpg, wmv, ogg, gif"  # the same, for people
REORDERED = 16  # frames that may lie between a frame and the one shown before it: the limit of H.264 and H.265
STRAIGHT = 0.02  # of a display matrix: sine of an angle that counts as none

HDR = {8: "linear", 9: "log100", 10: "log316", 16: "smpte2084", 18: "arib-std-b67"}
"""Transfer functions of which 8-bit RGB shows another picture; numbers and names of ITU-T H.273 and FFmpeg."""
HDR_NAMES = {8: "linear light", 16: "PQ (HDR10)", 18: "HLG"}
BT2020 = 9
WIDE = {BT2020: "BT.2020", 10: "XYZ", 11: "DCI-P3", 12: "Display P3"}
"""Primaries of which the numbers of RGB are other colours, by their numbers of ITU-T H.273."""
WIDE_FILTER = "zscale=p=bt709:t=bt709:m=bt709:r=tv,format=yuv420p"
TONE_MAPPING = (
    "zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=hable:desat=0,"
    "zscale=t=bt709:m=bt709:r=tv,format=yuv420p"
)
UNSTATED = 2
"""Transfer, primaries or matrix of which a file says nothing."""


class Turn(NamedTuple):
    """How a stored frame is shown: rows and columns swapped, then mirrored."""

    swapped: bool = False
    left_right: bool = False
    upside_down: bool = False

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """[H,W,...] as stored -> as shown."""
        shown = pixels.swapaxes(0, 1) if self.swapped else pixels
        return np.ascontiguousarray(shown[:: -1 if self.upside_down else 1, :: -1 if self.left_right else 1])

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height as stored -> as shown, and the other way round."""
        return (size[1], size[0]) if self.swapped else size


@dataclass(frozen=True)
class Picture:
    """One decoded frame. aspect: width of its pixels over their height, as stored.

    reformatter: converts the frames of a file, in the thread that asks. A frame's own would start a thread per core,
    and keep these and the pixels until the next garbage collection.
    """

    frame: av.VideoFrame
    turn: Turn
    aspect: Fraction
    reformatter: VideoReformatter

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as shown, in square pixels: the width is scaled, as `ffmpeg -vf scale=iw*sar:ih` does."""
        return self.turn.size((round(self.frame.width * self.aspect), self.frame.height))

    def stored(self) -> np.ndarray:
        """uint8 [H,W,3] RGB, upright, in the pixels of the file."""
        return self.turn.of(self._rgb())

    def shown(self, size: tuple[int, int] | None = None) -> np.ndarray:
        """uint8 [H,W,3] RGB, upright, in square pixels. size: width and height to scale it to."""
        if size is None and self.aspect == 1:
            return self.stored()
        width, height = self.turn.size(size or self.size)
        method = "AREA" if size else "BICUBIC"
        return self.turn.of(self._rgb(width=width, height=height, interpolation=method))

    def _rgb(self, **scaling: Any) -> np.ndarray:
        return self.reformatter.reformat(self.frame, format="rgb24", threads=1, **scaling).to_ndarray()


@dataclass(frozen=True)
class VideoInfo:
    """frames: that are shown. size: width and height as shown, pixels. rate: mean frame rate that the file states, Hz;
    0: none. times: of the frames from the first one on, seconds; empty where the file has none. tick: of these times,
    seconds. remarks: what its reader does to the pictures, for the log."""

    frames: int
    size: tuple[int, int]
    rate: float
    times: tuple[float, ...]
    tick: float
    remarks: tuple[str, ...]


def pictures(path: Path | str) -> Iterator[Picture]:
    """The frames of a video file, in the order in which they are shown.

    Raises UserError where the file is missing, is no video, is cut off or damaged, or has frames of over MAX_PIXELS, or
    such that 8-bit RGB would show otherwise than they are meant: HDR, interlaced, transparent, turned by odd angles.
    """
    path, count = Path(path), 0
    with _opened(path) as (container, stream):
        aspect, size, reformatter = _pixel_aspect(path, stream), None, VideoReformatter()
        try:
            for frame in container.decode(stream):
                size = size or (frame.width, frame.height)
                if (frame.width, frame.height) != size:
                    was, now = (f"{width}x{height}" for width, height in (size, (frame.width, frame.height)))
                    raise UserError(f"{path} changes its size from {was} to {now} at frame {count}: cut it there")
                _check_frame(path, count, frame, reformatter)
                yield Picture(frame, _turn(path, frame), aspect, reformatter)
                count += 1
        except av.FFmpegError as error:
            raise UserError(
                f"cannot read the video {path} after {count} frames: {error.strerror}; is it truncated?"
            ) from error
    if not count:
        raise UserError(f"{path} holds no frame that can be shown; is it truncated?")


def video_info(path: Path | str, frames: int | None = None) -> VideoInfo:
    """What a file says of its video; the first frame is decoded, the others are counted.

    frames: at most so many are counted and timed, and some beyond. Errors: see `pictures`.
    """
    path = Path(path)
    first = next(pictures(path))
    with _opened(path) as (container, stream):
        packets = _shown_packets(container, stream)
        stamps = [packet.pts for packet in islice(packets, None if frames is None else frames + REORDERED)]
        known = sorted(stamp for stamp in stamps if stamp is not None)
        base = stream.time_base or Fraction(0)
        times = [float((stamp - known[0]) * base) for stamp in known[:frames]] if len(known) == len(stamps) else []
        return VideoInfo(
            frames=len(stamps),
            size=first.size,
            rate=float(stream.average_rate or 0),
            times=tuple(times),
            tick=float(base),
            remarks=tuple(_remarks(container, first)),
        )


def conversion(path: Path | str, filters: str = "") -> str:
    """The command that makes a video which can be read; filters: of ffmpeg."""
    path = Path(path)
    target = path.with_name(f"{path.stem}_converted.mp4")
    option = ["-vf", filters] if filters else []
    return shlex.join(["ffmpeg", "-i", str(path), *option, "-crf", "12", str(target)])


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, av.VideoStream]]:
    """A file and the video that players show of it; the decoder refuses larger frames before it makes room for them."""
    if not path.is_file():
        raise UserError(f"no video at {path}")
    limits = {"max_pixels": str(MAX_PIXELS)}
    guards = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    try:
        with av.open(f"file:{path}", options=limits, container_options=guards, **ANY_METADATA) as container:
            stream = _video_stream(path, container)
            _check_size(path, stream)
            _check_length(path, stream)
            stream.codec_context.options = limits
            yield container, stream
    except av.error.ArgumentError as error:
        raise UserError(f"cannot read the video {path}: it is none of {KINDS}, or damaged") from error
    except av.FFmpegError as error:
        raise UserError(f"cannot read the video {path}: {error.strerror}; is it truncated?") from error


def _video_stream(path: Path, container: InputContainer) -> av.VideoStream:
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        held = ", ".join(dict.fromkeys(s.type or "data" for s in container.streams if s not in container.streams.video))
        raise UserError(f"{path} holds no video stream" + (f", only {held}" if held else ""))
    if streams[0].codec_context is None:
        raise UserError(f"{path} states no codec that can be decoded here; is it truncated?")
    if streams[0].metadata.get("alpha_mode") == "1":  # of WebM, whose decoders leave it out
        raise _transparent(path)
    return streams[0]


def _check_size(path: Path, stream: av.VideoStream) -> None:
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > MAX_PIXELS:
        fits = math.floor(width * math.sqrt(MAX_PIXELS / width / height) / 2) * 2
        raise UserError(
            f"{path} has frames of {width}x{height} pixels, at most 8192x4352 are read: "
            f"scale it, {conversion(path, f'scale={fits}:-2')}"
        )


def _check_length(path: Path, stream: av.VideoStream) -> None:
    """UserError where the file ends before a frame that its index lists."""
    there, needed = path.stat().st_size, max((entry.pos + entry.size for entry in stream.index_entries), default=0)
    if needed > there:
        raise UserError(f"{path} is truncated: it has {there} bytes, its frames need {needed}")


def _pixel_aspect(path: Path, stream: av.VideoStream) -> Fraction:
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    if not Fraction(1, MAX_ASPECT) <= aspect <= MAX_ASPECT:
        raise UserError(
            f"{path} has pixels of {aspect.numerator}:{aspect.denominator}, at most {MAX_ASPECT}:1 and 1:{MAX_ASPECT} "
            f"are read: say that they are square, {conversion(path, 'setsar=1')}"
        )
    return aspect


def _check_frame(path: Path, number: int, frame: av.VideoFrame, reformatter: VideoReformatter) -> None:
    """UserError where 8-bit RGB shows another picture than the one that is meant."""
    if frame.is_corrupt:
        raise UserError(f"{path} is damaged: frame {number} cannot be decoded as a whole")
    if frame.interlaced_frame:
        command = conversion(path, "bwdif=mode=send_frame")
        raise UserError(f"{path} is interlaced, each frame shows two moments: convert it, {command}")
    transfer, primaries = int(frame.color_trc), int(frame.color_primaries)
    if transfer in HDR:
        command = conversion(path, _all_stated(frame) + TONE_MAPPING)
        raise UserError(
            f"{path} has colours of {HDR_NAMES.get(transfer, HDR[transfer])}, needed are those of BT.709 (SDR): "
            f"convert it, {command}"
        )
    if primaries in WIDE:
        command = conversion(path, _all_stated(frame) + WIDE_FILTER)
        raise UserError(f"{path} has colours of {WIDE[primaries]}, needed are those of BT.709: convert it, {command}")
    if _is_transparent(frame, reformatter):
        raise _transparent(path)


def _all_stated(frame: av.VideoFrame) -> str:
    """A filter that states what the file does not, without which others cannot convert its colours: those of BT.2020,
    or the matrix and transfer of BT.709 beside other primaries."""
    transfer, primaries, matrix = int(frame.color_trc), int(frame.color_primaries), int(frame.colorspace)
    usual = {
        "color_trc": "bt709" if transfer == UNSTATED else "",
        "color_primaries": "bt2020" if primaries == UNSTATED else "",
        "colorspace": "" if matrix != UNSTATED else "bt2020nc" if primaries in (UNSTATED, BT2020) else "bt709",
    }
    missing = [f"{name}={value}" for name, value in usual.items() if value]
    return f"setparams={':'.join(missing)}," if missing else ""


def _transparent(path: Path) -> UserError:
    return UserError(
        f"{path} has transparent pixels: put it on a background, or show what they hide, "
        f"{conversion(path, 'format=yuv420p')}"
    )


def _is_transparent(frame: av.VideoFrame, reformatter: VideoReformatter) -> bool:
    if not (frame.format.has_palette or any(part.is_alpha for part in frame.format.components)):
        return False
    return bool(reformatter.reformat(frame, format="rgba", threads=1).to_ndarray()[..., 3].min() < 255)


def _turn(path: Path, frame: av.VideoFrame) -> Turn:
    """From the display matrix, int32 [3,3]: stored (x, y) is shown at (a x + c y, b x + d y)."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return Turn()
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].astype(float)
    along, across = min(abs(a), abs(d)), min(abs(b), abs(c))
    if along > 0 and max(abs(b), abs(c)) <= STRAIGHT * along:
        return Turn(False, bool(a < 0), bool(d < 0))
    if across > 0 and max(abs(a), abs(d)) <= STRAIGHT * across:
        return Turn(True, bool(c < 0), bool(b < 0))
    angle = math.degrees(math.atan2(b, a))
    raise UserError(
        f"{path} is to be shown turned by {angle:.4g} degrees: quarter turns and mirrored pictures are read; "
        f"turn it, {conversion(path)}"
    )


def _shown_packets(container: InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
    """Those of frames that are shown: not cut off by an edit list, nor before the first key frame."""
    key = None
    for packet in container.demux(stream):
        if not packet.size:
            continue
        if key is None and packet.is_keyframe:
            key = packet
        early = key is None or (packet.pts is not None and key.pts is not None and packet.pts < key.pts)
        if not (packet.is_discard or early):
            yield packet


def _remarks(container: InputContainer, first: Picture) -> Iterator[str]:
    if any(turn := first.turn):
        side = ("right" if turn.left_right else "left") if turn.swapped else "upside down" if turn.upside_down else ""
        mirrored = turn.swapped ^ turn.left_right ^ turn.upside_down
        parts = [f"turned {side}"] * bool(side) + ["mirrored"] * mirrored
        yield f"{' and '.join(parts)}, as its display matrix says"
    if first.aspect != 1:
        yield f"its pixels of {first.aspect.numerator}:{first.aspect.denominator} are made square"
    if len(container.streams.video) > 1:
        yield f"the first of its {len(container.streams.video)} video streams is used"
