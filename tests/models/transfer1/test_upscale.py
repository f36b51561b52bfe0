"""A run that enlarges a ready video in tiles, with a tiny model."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from cosmos_exp.common.video import read_video, write_video
from cosmos_exp.config.validate import validate
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.pipeline.run import run
from cosmos_exp.runs.run_folder import RunFolder

ALONE = ("controls.hdmap.weight=0", "controls.seg.weight=0", "controls.upscale.weight=1", "views=single")


@pytest.fixture(scope="module")
def upscaler(tiny_model, tmp_path_factory) -> Path:
    """A model folder: 64 x 96 pixels in tiles of 32 x 48, with one control."""
    config = copy.deepcopy(tiny_model.config)
    config["contract"] |= {"height": 64, "width": 96, "tile": (32, 48), "controls": ("upscale",)}
    config["contract"]["views"], config["contract"]["multi_view_controls"] = config["contract"]["views"][:1], ()
    config["single_view"]["controls"] = {"upscale": config["single_view"]["controls"]["hdmap"]}
    config["multi_view"] = None
    torch.manual_seed(0)
    model = WorldModel.build(config)
    for parameter in model.single_view().parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    folder = tmp_path_factory.mktemp("upscaler")
    model.save(folder)
    return folder


def test_a_ready_video_is_enlarged(upscaler: Path, configure, tmp_path: Path) -> None:
    small = np.random.default_rng(0).integers(0, 255, (9, 32, 48, 3), np.uint8)
    write_video(tmp_path / "small.mp4", small, 24)
    cfg = configure(
        *(f"model.weights={upscaler}", "model.num_frames=9", "sampler.num_steps=1", *ALONE),
        *("tracking=disabled", "metrics.names=[]", "metrics.gate=false", f"paths.cache={tmp_path}/cache"),
        f"controls.upscale.file={tmp_path}/small.mp4",
    )
    run(cfg, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    (clip,) = folder.clips()
    assert read_video(folder.single_view(clip, "Sunny")).shape == (9, 64, 96, 3)
    control = read_video(folder.control("upscale", "front_wide_120fov", clip))
    assert control.shape == (9, 64, 96, 3)


def test_there_must_be_a_video_to_enlarge(upscaler: Path, configure) -> None:
    (problem,) = validate(configure(f"model.weights={upscaler}", "model.num_frames=9", *ALONE))
    assert "no scene draws it: give controls.upscale.file" in problem
