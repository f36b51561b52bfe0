"""Videos of phones, cameras and editors: what a player shows of them, or one message."""

from __future__ import annotations

import gc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.video import frames_at, middle_frame, read_video, stream_video, video_shape
from cosmos_exp.common.video_decoding import video_info
from tests.helpers.videos import cut_by_edit_list, encode, numbered, numbers


def corners(picture: np.ndarray) -> list[bool]:
    """Which are white: top left, top right, bottom left, bottom right."""
    return [bool(picture[y, x].min() > 200) for y in (2, -3) for x in (2, -3)]


@pytest.mark.parametrize(
    ("matrix", "shape", "white", "remark"),
    [
        ((0, 1, -1, 0), (48, 32), 1, "turned right"),
        ((-1, 0, 0, -1), (32, 48), 3, "turned upside down"),
        ((0, -1, 1, 0), (48, 32), 2, "turned left"),
        ((-1, 0, 0, 1), (32, 48), 1, "mirrored"),
        ((1, 0, 0, -1), (32, 48), 2, "turned upside down and mirrored"),
        ((0, 1, 1, 0), (48, 32), 0, "turned left and mirrored"),
        ((0, -1, -1, 0), (48, 32), 3, "turned right and mirrored"),
    ],
)
def test_pictures_are_turned_by_the_display_matrix(matrix, shape, white, remark, tmp_path: Path) -> None:
    """The white corner is stored at the top left."""
    path = encode(tmp_path / "phone.mp4", numbered(3), matrix=matrix)
    frames = read_video(path)
    assert frames.shape == (3, *shape, 3)
    assert corners(frames[0]).index(True) == white and sum(corners(frames[0])) == 1
    assert video_shape(path) == (3, *shape)
    assert next(stream_video(path, size=(24, 18))).shape == (18, 24, 3)
    assert corners(next(stream_video(path, size=(24, 18)))).index(True) == white
    assert video_info(path).remarks[0].startswith(remark)


def test_a_picture_turned_by_an_odd_angle_is_refused(tmp_path: Path) -> None:
    path = encode(tmp_path / "tilted.mp4", numbered(3), matrix=(0.866, 0.5, -0.5, 0.866))
    with pytest.raises(UserError, match=r"turned by 30 degrees.*ffmpeg -i \S*tilted.mp4"):
        read_video(path)


@pytest.mark.parametrize(("aspect", "width"), [(Fraction(4, 3), 64), (Fraction(8, 9), 43)])
def test_pixels_are_made_square(aspect: Fraction, width: int, tmp_path: Path) -> None:
    path = encode(tmp_path / "dv.mp4", numbered(3), aspect=aspect)
    assert read_video(path).shape == (3, 32, width, 3)
    assert corners(read_video(path)[0]) == [True, False, False, False]
    info = video_info(path)
    assert info.size == (width, 32)
    assert info.remarks == (f"its pixels of {aspect.numerator}:{aspect.denominator} are made square",)


def test_turned_and_of_wide_pixels(tmp_path: Path) -> None:
    path = encode(tmp_path / "both.mp4", numbered(3), aspect=Fraction(4, 3), matrix=(0, 1, -1, 0))
    assert read_video(path).shape == (3, 64, 32, 3)


def test_pixels_of_an_absurd_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pixels of 9:1, at most 4:1 and 1:4.*setsar=1"):
        read_video(encode(tmp_path / "wide.mp4", numbered(3), aspect=Fraction(9, 1)))


def test_what_an_edit_list_cuts_off_is_not_shown(tmp_path: Path) -> None:
    path = cut_by_edit_list(encode(tmp_path / "cut.mp4", numbered(24)), 7)
    assert numbers(read_video(path)) == list(range(7, 24))
    assert video_shape(path)[0] == 17
    assert numbers(frames_at(path, [0, 16])) == [7, 23]
    assert numbers(middle_frame(path)[None]) == [15]
    with pytest.raises(UserError, match="has no frame 17"):
        frames_at(path, [17])


@pytest.mark.parametrize(
    ("transfer", "primaries", "message"),
    [
        (16, 9, r"colours of PQ \(HDR10\), needed are those of BT.709 \(SDR\).*zscale=t=linear.*tonemap=hable"),
        (18, 2, r"colours of HLG.*setparams=color_primaries=bt2020:colorspace=bt2020nc,"),
        (1, 9, r"colours of BT.2020.*ffmpeg -i .* -vf setparams=colorspace=bt2020nc,zscale=p=bt709"),
    ],
)
def test_colours_that_8_bits_do_not_show(transfer, primaries, message, tmp_path: Path) -> None:
    path = encode(tmp_path / "hdr.mp4", numbered(3), pixels="yuv420p10le", transfer=transfer, primaries=primaries)
    with pytest.raises(UserError, match=message):
        read_video(path)


def test_ten_bits_of_usual_colours_are_read(tmp_path: Path) -> None:
    path = encode(tmp_path / "ten.mp4", numbered(9), pixels="yuv420p10le", transfer=1, primaries=1)
    assert numbers(read_video(path)) == list(range(9))


def test_interlaced_videos_are_refused(tmp_path: Path) -> None:
    path = encode(tmp_path / "fields.mp4", numbered(3), options={"x264-params": "tff=1"})
    with pytest.raises(UserError, match=r"interlaced.*-vf bwdif=mode=send_frame"):
        read_video(path)


def test_transparent_pixels_are_refused_and_opaque_ones_read(tmp_path: Path) -> None:
    frames = np.concatenate([numbered(3), np.full((3, 32, 48, 1), 255, np.uint8)], axis=3)
    png = {"codec": "png", "pixels": "rgba", "options": {}}
    assert numbers(read_video(encode(tmp_path / "opaque.mov", frames, **png))) == [0, 1, 2]
    frames[:, 10, 10, 3] = 100
    with pytest.raises(UserError, match="transparent pixels"):
        read_video(encode(tmp_path / "clear.mov", frames, **png))


def test_frames_too_large_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    path = tmp_path / "wall.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"preset": "ultrafast", "qp": "51"})
        stream.width, stream.height, stream.pix_fmt = 16384, 2304, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(16384, 2304, "yuv420p")))
        container.mux(stream.encode())
    with pytest.raises(UserError, match=r"16384x2304 pixels, at most 8192x4352 are read.*-vf scale=15922:-2"):
        read_video(path)


def test_frames_after_those_needed_are_not_decoded(tmp_path: Path) -> None:
    """Behind the middle the file is overwritten."""
    path = encode(tmp_path / "long.mkv", numbered(24), codec="ffv1", options={})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) // 2))
    assert numbers(frames_at(path, [0, 5])) == [0, 5]
    with pytest.raises(UserError, match=r"long\.mkv"):
        frames_at(path, [23])


def test_a_change_of_size_is_an_error(tmp_path: Path) -> None:
    parts = [encode(tmp_path / f"{width}.h264", numbered(3, width=width)).read_bytes() for width in (48, 64)]
    (tmp_path / "both.h264").write_bytes(b"".join(parts))
    with pytest.raises(UserError, match="changes its size from 48x32 to 64x32 at frame 3"):
        read_video(tmp_path / "both.h264")


@pytest.mark.parametrize("cover", [False, True])
def test_sound_alone_is_no_video(cover: bool, tmp_path: Path) -> None:
    """Not even with a picture of the album."""
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=48000)
        if cover:
            picture = container.add_stream("png", rate=1)
            picture.width, picture.height, picture.pix_fmt = 48, 32, "rgb24"
            picture.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.rate = 48000
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
        if cover:
            container.mux(picture.encode(av.VideoFrame.from_ndarray(numbered(1)[0], format="rgb24")))
            container.mux(picture.encode())
    with pytest.raises(UserError, match="holds no video stream, only audio"):
        read_video(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot read the video"),
        (b"ffconcat version 1.0\nfile other.mp4\n", "it is none of mp4, mov, mkv"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.mp4\n#EXT-X-ENDLIST\n", "cannot read the video"),
    ],
)
def test_lists_of_other_files_are_not_followed(content: bytes, message: str, tmp_path: Path) -> None:
    encode(tmp_path / "other.mp4", numbered(3))
    (tmp_path / "list.mp4").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_video(tmp_path / "list.mp4")


def test_text_that_is_no_utf8_does_not_cost_the_video(tmp_path: Path) -> None:
    path = encode(tmp_path / "named.mp4", numbered(3))
    path.write_bytes(path.read_bytes().replace(b"Lavf", b"L\x95vf"))
    assert len(read_video(path)) == 3


def test_mutated_videos_are_read_or_refused(tmp_path: Path) -> None:
    """No error but UserError, wherever bytes are changed or the file is cut."""
    content = encode(tmp_path / "whole.mp4", numbered(9)).read_bytes()
    random = np.random.default_rng(0)
    path, refused = tmp_path / "mutated.mp4", 0
    for _ in range(150):
        changed = bytearray(
            content[: random.integers(len(content) // 2, len(content)) if random.random() < 0.2 else None]
        )
        for place in random.integers(len(changed), size=random.integers(1, 5)):
            changed[place : place + 4] = random.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4), b"\x95abc"])
        path.write_bytes(changed)
        try:
            read_video(path)
        except UserError:
            refused += 1
    assert 20 < refused < 150


def test_a_frame_starts_no_threads_and_is_not_kept(tmp_path: Path) -> None:
    """A frame's own conversion would start a thread per core, which lasts until the next garbage collection."""

    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    path = encode(tmp_path / "clip.mp4", numbered(40))
    frames = stream_video(path)
    next(frames)
    gc.disable()
    try:
        before = threads()
        for _ in frames:
            assert threads() <= before
    finally:
        gc.enable()
