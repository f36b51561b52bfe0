"""`cosmos-exp render wsm`: which files come of which clip, and what is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.clipgt_writer import obstacle_rows, points, sensor, write_clip

from cosmos_exp.cli.commands.render import main
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.video import read_video
from cosmos_exp.common.video_decoding import video_info
from cosmos_exp.rendering.wsm.elements import RIGHT_DOWN_FORWARD
from cosmos_exp.rendering.wsm.sources import find_clips, open_source
from cosmos_exp.rendering.wsm.videos import WsmRenderer

pytest.importorskip("pyarrow", reason="pyarrow (the clipgt extra) is not installed")
FRONT, REAR = "camera_front_wide_120fov", "camera_rear_tele_30fov"
LINE = {"line_rail": points((-20, 2, 0), (60, 2, 0)), "colors": ["WHITE"], "styles": ["DASHED_SINGLE"]}
CROSSWALK = {"location": points((8, -4, 0), (11, -4, 0), (11, 4, 0), (8, 4, 0))}  # level: the reference ends there
POLE = {"location": points((15, -4, 0))}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    rows = obstacle_rows("1", "truck", 25, -3) + obstacle_rows("2", "hovercraft", 20, 6)
    sensors = [sensor(), sensor("camera:rear:tele:30fov", yaw=180.0)]
    tables = {"obstacle": rows, "lane_line": [LINE], "crosswalk": [CROSSWALK], "pole": [POLE]}
    return write_clip(tmp_path / "clips" / "clip", sensors=sensors, **tables)


def render(clip: Path, out: Path, *options: str) -> int:
    return main(["wsm", "-i", str(clip), "-o", str(out), "--size", "320x180", "--workers", "1", *options])


def test_a_video_per_camera_named_as_by_the_reference(clip: Path, tmp_path: Path, capsys) -> None:
    assert render(clip, tmp_path / "out", "--lossless") == 0
    files = sorted((tmp_path / "out" / "clip").iterdir())
    assert [file.name for file in files] == [f"clip.{FRONT}.mp4", f"clip.{REAR}.mp4"]
    renderer = WsmRenderer(open_source(clip, "clip"), (320, 180))
    video = read_video(files[0])
    assert len(video) == 10
    for frame, image in renderer.images(FRONT, range(10)):
        np.testing.assert_array_equal(video[frame], image)
    told = capsys.readouterr()
    assert "2 files in" in told.out
    assert "objects of other categories are drawn as Others: 'hovercraft'" in told.err
    assert "no table lane, road_boundary" in told.err


def test_videos_that_browsers_play_by_default(clip: Path, tmp_path: Path) -> None:
    assert render(clip, tmp_path / "out", "--cameras", "camera:front:wide:120fov") == 0
    (file,) = (tmp_path / "out" / "clip").iterdir()
    info = video_info(file)
    assert (info.size, info.frames) == ((320, 180), 10)
    assert info.rate == pytest.approx(30)


def test_finished_files_are_kept_on_resume(clip: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert render(clip, out) == 0
    kept, lost = sorted((out / "clip").iterdir())
    before = kept.stat().st_mtime_ns
    lost.unlink()
    assert render(clip, out, "--resume") == 0
    assert lost.exists() and kept.stat().st_mtime_ns == before
    assert "1 files in" in capsys.readouterr().out.splitlines()[-1]


def test_single_frames_as_pictures(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert render(clip, out, "--frames", "0,9", "--cameras", FRONT) == 0
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png")) == [
        f"clip/clip.{FRONT}/{frame:06d}.png" for frame in (0, 9)
    ]
    (out / "clip" / f"clip.{FRONT}" / "000009.png").write_bytes(b"kept")
    assert render(clip, out, "--png", "--resume", "--cameras", FRONT) == 0
    assert len(list(out.rglob("*.png"))) == 10
    assert (out / "clip" / f"clip.{FRONT}" / "000009.png").read_bytes() == b"kept"


def test_frame_and_camera_that_are_not_there(clip: Path, tmp_path: Path, capsys) -> None:
    assert render(clip, tmp_path / "out", "--frames", "99") == 2
    assert "frame 99 is outside the clip's 0 to 9: the nearest is 9" in capsys.readouterr().err
    assert render(clip, tmp_path / "out", "--cameras", "camera_front") == 2
    assert f"did you mean '{FRONT}'?" in " ".join(capsys.readouterr().err.split())


def test_the_reference_wants_seven_cameras(clip: Path, tmp_path: Path, capsys) -> None:
    assert render(clip, tmp_path / "out", "--reference-compat") == 2
    assert "without --reference-compat, all cameras of the clip are drawn" in " ".join(capsys.readouterr().err.split())


def test_the_reference_ends_at_a_level_crosswalk(clip: Path, tmp_path: Path, capsys) -> None:
    assert render(clip, tmp_path / "out", "--reference-compat", "--cameras", FRONT) == 2
    assert "crosswalk 0 has no area across the first heading of the car" in " ".join(capsys.readouterr().err.split())


def test_a_pole_given_by_its_base_stands_up_and_lies_in_the_reference(clip: Path) -> None:
    ours, reference = (
        open_source(clip, "clip", reference_compat=compat).elements().poles[0] for compat in (False, True)
    )
    np.testing.assert_allclose(ours, [[15, -4, 0], [15, -4, 3]])
    back = reference @ np.linalg.inv(RIGHT_DOWN_FORWARD)[:3, :3].T
    np.testing.assert_allclose(back, [[15, -4, 0], [18, -4, 0]])


def test_folders_of_clips(clip: Path, tmp_path: Path) -> None:
    write_clip(clip.parent / "other", "other")
    assert find_clips(clip.parent) == {"clip": clip, "other": clip.parent / "other"}
    assert render(clip.parent, tmp_path / "out", "--frames", "0", "--clip", "other") == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["other"]
    with pytest.raises(UserError, match=r"unknown clip in .* 'othr': did you mean 'other'"):
        render(clip.parent, tmp_path / "out", "--clip", "othr")
    with pytest.raises(UserError, match=r"neither a ClipGT clip .* nor an RDS-HQ folder"):
        find_clips(tmp_path / "out")
    with pytest.raises(UserError, match="no such folder"):
        find_clips(tmp_path / "nothing")


def test_options_that_are_refused(clip: Path, tmp_path: Path) -> None:
    for options, message in (
        (("--size", "321x180"), "videos have even sides, the nearest is 322x180"),
        (("--size", "big"), "'big' is not a size such as 1280x720"),
        (("--refrence-compat",), "did you mean '--reference-compat'"),
    ):
        with pytest.raises(UserError, match=message):
            render(clip, tmp_path / "out", *options)


def test_rds_hq_clips_are_drawn_from_the_same_command(clip_root: Path, tmp_path: Path) -> None:
    assert render(clip_root, tmp_path / "out", "--frames", "3") == 0
    pictures = sorted((tmp_path / "out").rglob("000003.png"))
    assert len(pictures) == 6
    assert all(cv2.imread(str(picture)).any() for picture in pictures)


def test_frame_rates_follow_the_times_of_the_frames(clip: Path) -> None:
    times = ", ".join(f'{{"timestamp": {1_000_000 + 100_000 * i}}}' for i in range(3))
    (clip / f"clip.{FRONT}.json").write_text(f"[{times}]")
    assert open_source(clip, "clip").fps == 10
    assert open_source(clip, "clip", reference_compat=True).fps == 30
