"""RDS-HQ clips as a scene source: config, checks, cache key, the clip's own cameras."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from cosmos_exp.common.cache import StageCache
from cosmos_exp.common.errors import UserError
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.config.validate import validate
from cosmos_exp.pipeline.scene_loading import LoadedScene
from cosmos_exp.scene.rds_hq.clip import clip_ids
from cosmos_exp.scene.rds_hq.tars import SampleTar, write_tar
from cosmos_exp.sweeps.expand import sweep_over_all

SIX = ["front_wide", "cross_left", "cross_right", "rear_tele", "rear_left", "rear_right"]


@pytest.fixture
def two_clips(clip_root: Path, tmp_path: Path) -> Path:
    """A copy of the clip, and the same again under another name."""
    (name,) = clip_ids(clip_root)
    for path in clip_root.glob("*/*.tar"):
        tar = SampleTar(path)
        for clip_id in (name, "another"):
            write_tar(tmp_path / path.parent.name / f"{clip_id}.tar", clip_id, tar.read_each(tar.keys))
    return tmp_path


def loaded(cfg, tmp_path: Path) -> LoadedScene:
    return LoadedScene(RunSpec.of(cfg), StageCache(tmp_path / "cache"))


@pytest.mark.parametrize("camera_type", ["ftheta", "pinhole"])
def test_a_run_draws_the_clip_with_its_own_cameras(camera_type: str, clip_root: Path, configure, tmp_path) -> None:
    cfg = configure("scene=rds_hq", f"scene.root={clip_root}", "sensors=rds_hq", f"sensors.camera_type={camera_type}")
    assert validate(cfg) == []
    made = loaded(cfg, tmp_path)
    assert [camera.name.rsplit("_", 1)[0] for camera in made.rig.cameras] == SIX
    assert {(camera.model.width, camera.model.height) for camera in made.rig.cameras} == {(48, 32)}
    assert np.allclose(made.rig.camera("front_wide_120fov").camera_to_rig[:3, 3], (1.75, 0, 1.45))
    assert made.scene.clip_id == clip_ids(clip_root)[0]


def test_a_clip_is_seen_by_any_other_rig_too(clip_root: Path, configure) -> None:
    assert validate(configure("scene=rds_hq", f"scene.root={clip_root}", "sensors=six_views_ftheta")) == []


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "scene.root is required"),
        (["scene.root=nowhere"], "scene.root: no folder 'nowhere'"),
        (["scene.root={}"], "holds 2 clips: name one of another, procedural"),
        (["scene.root={}", "scene.clip=anothre"], "no clip 'anothre' in {}: did you mean 'another'?"),
        (["scene.root={}", "scene.clip=all"], "scene.clip=all makes a sweep"),
        (["scene.root={}", "scene.clip=another", "scene.start=-1"], "scene.start=-1: must be 0 s or later"),
        (["scene.root={}", "scene.clip=another", "scene.duration=0"], "scene.duration=0: a time window"),
        (["scene.root={}", "scene.clip=another", "sensors.camera_type=fish"], "unknown camera type 'fish'"),
        (["scene=procedural"], "sensors=rds_hq goes with scene=clipgt, scene=rds_hq: scene=procedural has no"),
    ],
)
def test_a_mistake_is_named_once(overrides: list[str], message: str, configure, two_clips: Path) -> None:
    given = [override.format(two_clips) for override in overrides]
    problems = validate(configure("scene=rds_hq", "sensors=rds_hq", *given))
    assert len(problems) == 1 and message.format(two_clips) in problems[0]


def test_the_cache_key_is_of_the_content(clip_root: Path, configure, tmp_path: Path) -> None:
    def key(root: Path, *overrides: str) -> str:
        return loaded(configure("scene=rds_hq", f"scene.root={root}", *overrides), tmp_path).key

    moved = tmp_path / "moved"
    shutil.copytree(clip_root, moved)
    assert key(moved) == key(clip_root) != key(clip_root, "scene.start=0.5")
    next((moved / "3d_poles").glob("*.tar")).unlink()
    assert key(moved) != key(clip_root)


def test_all_clips_are_a_sweep(two_clips: Path) -> None:
    (name,) = set(clip_ids(two_clips)) - {"another"}
    given = ["scene=rds_hq", f"scene.root={two_clips}", "scene.clip=all", "model.fps=8"]
    expected = ["--multirun", *given[:2], f"scene.clip='another','{name}'", "model.fps=8"]
    assert sweep_over_all(given) == expected == sweep_over_all(["-m", *given])


def test_other_arguments_stay_as_they_are() -> None:
    for arguments in (
        ["scene=rds_hq", "scene.clip=x"],
        ["scene=procedural", "scene.clip=all"],
        ["scene.clip=all"],
        ["-m"],
    ):
        assert sweep_over_all(arguments) == arguments


def test_all_clips_of_no_folder_is_a_mistake() -> None:
    with pytest.raises(UserError, match=r"give scene\.root=FOLDER"):
        sweep_over_all(["scene=rds_hq", "scene.clip=all"])
