"""Clips to videos: chunks, sizes, names, what is kept and what never looks whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.video import Encoding, read_video, write_video
from cosmos_exp.rendering.clips.resample import resize
from cosmos_exp.rendering.clips.videos import (
    ClipRenderer,
    ShortClip,
    VideoSettings,
    pending_videos,
    scaled_model,
    video_path,
    write_camera_videos,
    write_images,
)
from cosmos_exp.scene.rds_hq.clip import RdsHqClip
from cosmos_exp.scene.rds_hq.datasets import ALL_LAYERS, DATASETS, Block, Dataset
from cosmos_exp.sensors.ftheta import FTheta
from cosmos_exp.sensors.pinhole import Pinhole

CLIP = "synth-a_0_1333333"
FRONT = "camera_front_wide_120fov"
SMALL = Dataset(
    name="small",
    cameras=(FRONT,),
    layers=ALL_LAYERS,
    inference=Block((320, 180), "resize", chunk=5, overlap=2, fps=30, max_chunk=3),
    post_training=Block((320, 180), "center-crop", chunk=3, overlap=0, fps=10),
    size=(320, 176),
)
LOSSLESS = Encoding(lossless=True)


@pytest.fixture
def clip(shared: Path) -> RdsHqClip:
    return RdsHqClip(shared / "rds_hq" / "golden" / "inputs" / CLIP, CLIP)


def small_renderer(clip: RdsHqClip, **changes) -> ClipRenderer:
    return ClipRenderer(clip, VideoSettings(**{"dataset": SMALL, "encoding": LOSSLESS} | changes))


def test_videos_overlap_and_every_frame_is_drawn_once(clip: RdsHqClip, tmp_path: Path) -> None:
    renderer = small_renderer(clip)
    drawn = []
    files = write_camera_videos(renderer, "hdmap", FRONT, tmp_path, lambda: drawn.append(1))
    assert files == [tmp_path / "hdmap" / f"ftheta_{FRONT}" / f"{CLIP}_{i}.mp4" for i in range(3)]
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == files
    assert len(drawn) == len(renderer.frames) == 11  # 5 + 2 x 3, of 40
    videos = [read_video(file) for file in files]
    poses = renderer.poses(FRONT, range(11))
    for start, video in zip((0, 3, 6), videos):
        assert video.shape == (5, 176, 320, 3)
        for frame, picture in enumerate(video, start):
            expected = resize(renderer.draw("hdmap", FRONT, frame, poses[frame]), 320, 176)
            assert np.array_equal(picture, expected)


def test_the_default_encoding_is_close(clip: RdsHqClip, tmp_path: Path) -> None:
    (exact, *_) = write_camera_videos(small_renderer(clip), "hdmap", FRONT, tmp_path / "exact")
    encoding = VideoSettings(SMALL).encoding
    assert (encoding.crf, encoding.preset, encoding.lossless) == (18, "slow", False)
    (close, *_) = write_camera_videos(small_renderer(clip, encoding=encoding), "hdmap", FRONT, tmp_path / "close")
    difference = np.abs(read_video(exact).astype(int) - read_video(close))
    assert 0 < difference.mean() < 6


def test_post_training_crops_and_takes_every_third_frame(clip: RdsHqClip, tmp_path: Path) -> None:
    renderer = small_renderer(clip, dataset=SMALL.for_post_training(), camera_type="pinhole")
    assert renderer.frames == list(range(0, 40, 3))
    files = write_camera_videos(renderer, "hdmap", FRONT, tmp_path)
    assert [file.name for file in files] == [f"{CLIP}_{i}.mp4" for i in range(4)]
    poses = renderer.poses(FRONT, [6])
    assert np.array_equal(read_video(files[0])[2], renderer.draw("hdmap", FRONT, 6, poses[6])[2:178])


def test_lidar_videos(clip: RdsHqClip, tmp_path: Path) -> None:
    settings = replace(SMALL, inference=replace(SMALL.inference, chunk=2, overlap=0, max_chunk=1))
    (file,) = write_camera_videos(small_renderer(clip, dataset=settings), "lidar", FRONT, tmp_path)
    assert file == tmp_path / "lidar" / f"ftheta_{FRONT}" / f"{CLIP}_0.mp4"
    video = read_video(file)
    assert video.shape == (2, 176, 320, 3) and video.max() > 50
    assert (video[..., 0] == video[..., 1]).all()


def test_source_videos_follow_the_frames(shared: Path, tmp_path: Path) -> None:
    root = copy_of_clip(shared, tmp_path / "clip")
    source = np.stack([np.full((180, 320, 3), 10 * i, np.uint8) for i in range(14)])
    write_video(root / f"pinhole_{FRONT}" / f"{CLIP}.mp4", source, 10, lossless=True)
    renderer = small_renderer(RdsHqClip(root, CLIP), dataset=SMALL.for_post_training(), camera_type="pinhole")
    files = write_camera_videos(renderer, "videos", FRONT, tmp_path / "out")
    assert [int(frame.mean()) for file in files for frame in read_video(file)] == [10 * i for i in range(12)]
    with pytest.raises(UserError, match="no video at"):
        write_camera_videos(small_renderer(RdsHqClip(root, CLIP)), "videos", FRONT, tmp_path / "out")


def copy_of_clip(shared: Path, root: Path, without: tuple[str, ...] = ()) -> Path:
    """The synthetic clip in a folder of its own."""
    root.mkdir()
    for folder in (shared / "rds_hq" / "golden" / "inputs" / CLIP).iterdir():
        if folder.name not in without:
            (root / folder.name).symlink_to(folder)
    return root


def test_a_clip_shorter_than_a_video(clip: RdsHqClip, tmp_path: Path) -> None:
    with pytest.raises(ShortClip, match=r"gives 40 frames .* videos of 121.*at most 40"):
        write_camera_videos(small_renderer(clip, dataset=DATASETS["rds_hq"]), "hdmap", FRONT, tmp_path)
    compat = small_renderer(clip, dataset=DATASETS["rds_hq"], reference_compat=True)
    assert write_camera_videos(compat, "hdmap", FRONT, tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_video_is_not_there(clip: RdsHqClip, tmp_path: Path) -> None:
    count = iter(range(100))

    def interrupt() -> None:
        if next(count) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_camera_videos(small_renderer(clip), "hdmap", FRONT, tmp_path, interrupt)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file() and not p.name.startswith(".")] == [f"{CLIP}_0.mp4"]


def test_videos_that_are_there_can_be_kept(clip: RdsHqClip, tmp_path: Path) -> None:
    there = video_path(tmp_path, "hdmap", "ftheta", FRONT, CLIP, 1)
    there.parent.mkdir(parents=True)
    there.write_bytes(b"earlier")
    renderer = small_renderer(clip, keep_existing=True)
    assert list(pending_videos(renderer, "hdmap", FRONT, tmp_path).values()) == [range(0, 5), range(6, 11)]
    assert len(write_camera_videos(renderer, "hdmap", FRONT, tmp_path)) == 2
    assert there.read_bytes() == b"earlier"
    assert write_camera_videos(renderer, "hdmap", FRONT, tmp_path) == []


def test_pictures_are_drawn_size_and_final_size(clip: RdsHqClip, tmp_path: Path) -> None:
    import cv2

    ((drawn, final),) = write_images(small_renderer(clip), "hdmap", FRONT, tmp_path, [7])
    assert (drawn.name, final.name) == ("000007.png", "000007_resize176.png")
    assert cv2.imread(str(drawn)).shape == (180, 320, 3) and cv2.imread(str(final)).shape == (176, 320, 3)
    with pytest.raises(UserError, match="frame 40 is outside the clip's 0 to 39: the nearest is 39"):
        list(write_images(small_renderer(clip), "hdmap", FRONT, tmp_path, [40]))


def test_missing_layers_are_drawn_without_but_stop_the_reference(shared: Path, tmp_path: Path) -> None:
    root = copy_of_clip(shared, tmp_path / "clip", without=("3d_poles", "all_object_info"))
    renderer = small_renderer(RdsHqClip(root, CLIP))
    assert renderer.draw("hdmap", FRONT, 0, renderer.poses(FRONT, [0])[0]).any()
    with pytest.raises(UserError, match="no 3d_poles, all_object_info"):
        small_renderer(RdsHqClip(root, CLIP), reference_compat=True)


def test_ftheta_cameras_keep_their_proportions() -> None:
    lens = FTheta(1928, 1080, (964.0, 540.0), (0.0, 1e-3, 0.0, 0.0, 0.0, 0.0), True)
    assert scaled_model(lens, 1280, 720).width == 1285
    with pytest.raises(UserError, match="nearest size is 1285x720"):
        scaled_model(lens, 1400, 720)
    assert scaled_model(Pinhole(1920, 1080, 900.0, 900.0, 960.0, 540.0), 640, 480).fy == 400.0


def test_nvidia_s_own_video(shared: Path, tmp_path: Path) -> None:
    """Where there are no objects, whose real boxes are not among the data, green and blue are the reference's."""
    example = shared / "rds_hq" / "example"
    root = tmp_path / "clip"
    root.mkdir()
    for folder in example.iterdir():
        if folder.is_dir() and folder.name != "all_object_info":
            (root / folder.name).symlink_to(folder)
    clip_id = next((example / "pose").glob("*.tar")).stem
    camera = "camera_rear_left_70fov"
    block = replace(DATASETS["rds_hq_mv"].inference, chunk=20)
    dataset = replace(DATASETS["rds_hq_mv"], inference=block, cameras=(camera,))
    renderer = ClipRenderer(RdsHqClip(root, clip_id), VideoSettings(dataset))
    (file,) = write_camera_videos(renderer, "hdmap", camera, tmp_path)
    reference = read_video(shared / "rds_hq" / "reference_mp4" / f"ftheta_{camera}.mp4")[:20]
    error = ((read_video(file)[..., 1:].astype(np.float32) - reference[..., 1:]) ** 2).mean()
    assert 10 * np.log10(255**2 / error) > 34
