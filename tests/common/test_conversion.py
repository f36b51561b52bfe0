"""The commands of ffmpeg that messages give: run as they are printed, they make a video that is read."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.video import read_video
from cosmos_exp.controls.user_videos import check_video
from tests.helpers.videos import encode, numbered

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the program ffmpeg")

TEN_BITS = {"pixels": "yuv420p10le"}
CLEAR = np.concatenate([numbered(24), np.full((24, 32, 48, 1), 100, np.uint8)], axis=3)


def converted(path: Path, read: Callable[[Path], Any]) -> Path:
    """What the command makes of the file in the message with which `read` refuses it."""
    with pytest.raises(UserError) as refused:
        read(path)
    command = shlex.split(str(refused.value)[str(refused.value).index("ffmpeg -i ") :])
    done = subprocess.run([*command, "-nostdin"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Path(command[-1])


@pytest.mark.parametrize(
    "settings",
    [
        TEN_BITS | {"transfer": 16, "primaries": 9},
        TEN_BITS | {"transfer": 16, "primaries": 2},
        TEN_BITS | {"transfer": 18, "primaries": 9},
        TEN_BITS | {"transfer": 18, "primaries": 2},
        TEN_BITS | {"transfer": 1, "primaries": 9},
        TEN_BITS | {"transfer": 2, "primaries": 9},
        {"transfer": 2, "primaries": 11},
        {"transfer": 13, "primaries": 12},
        {"options": {"x264-params": "tff=1"}},
        {"aspect": Fraction(9, 1)},
        {"matrix": (0.866, 0.5, -0.5, 0.866)},
    ],
    ids=[
        *("PQ", "PQ, primaries not stated", "HLG", "HLG, primaries not stated", "BT.2020", "BT.2020 alone"),
        *("DCI-P3", "Display P3", "interlaced", "flat", "tilted"),
    ],
)
def test_a_video_that_is_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    path = encode(tmp_path / "my clip.mp4", numbered(24), **settings)
    frames = read_video(converted(path, read_video))
    assert frames.shape == (24, 32, 48, 3)


def test_transparent_pixels(tmp_path: Path) -> None:
    path = encode(tmp_path / "clear.mov", CLEAR, codec="png", pixels="rgba", options={})
    assert read_video(converted(path, read_video)).shape == (24, 32, 48, 3)


@pytest.mark.parametrize(("rate", "frames"), [(30, 19), (12, 48)])
def test_a_control_at_another_frame_rate(rate: int, frames: int, tmp_path: Path) -> None:
    path = encode(tmp_path / "edges.mp4", numbered(24), fps=rate)
    check = partial(check_video, frames=8, fps=24.0)
    made = converted(path, check)
    assert check(made).rate == pytest.approx(24)
    assert len(read_video(made)) == pytest.approx(frames, abs=1)
