"""The single-view models of Cosmos-Transfer2.5, small: conversion, runs by the command, chunks, seeds, weights."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from helpers.command_line import run_here
from helpers.composing import Composer

from cosmos_exp.common.video import read_video
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.config.validate import check, validate
from cosmos_exp.models.checkpoints.checkpoint import own_tensors
from cosmos_exp.models.clip_shapes import Shape
from cosmos_exp.models.hub.models import MODELS as HUB
from cosmos_exp.models.hub.models import requests
from cosmos_exp.models.registry import known_contracts
from cosmos_exp.models.transfer25.control_weights import BranchWeighting, branch_weights
from cosmos_exp.models.transfer25.model import ViewsModel
from cosmos_exp.models.transfer25.released import GENERAL_FILES, MODELS

ALONE = tuple(f"transfer25_{name}" for name in GENERAL_FILES)
SMALL = ("views=single", "scene.num_vehicles=1", "scene.duration=2", "sampler.num_steps=2", "model.fps=10",
         "metrics.names=[]", "tracking=disabled", "previews=none", "previews.controls=used")  # fmt: skip


def test_contracts_files_and_networks_are_the_released_ones():
    for name in (*ALONE, "transfer25_general"):
        contract, network = known_contracts()[name], MODELS[name].network
        assert contract.controls == network.controls and contract.views == ("front_wide_120fov",)
        assert contract.frames.choices() == (93,) and (704, 1280) in contract.all_sizes and len(contract.sizes) == 5
        assert network.image_width == (0 if name == "transfer25_general" else 1152)
        assert set(HUB[name].files) == set(MODELS[name].files["network"][1])
        assert {request.repo for request in requests([name])} == {r for r, _ in MODELS[name].files.values()}
    assert "5136ef49-6d8d-42e8-8abf-7dac722a304a" in HUB["transfer25_seg"].files[0]


@pytest.mark.parametrize("name", ALONE)
def test_a_published_file_is_converted_whole(general25, name):
    folder, nets = general25(name)
    ours, theirs = own_tensors(ViewsModel.from_folder(folder).network), own_tensors(nets[name.partition("_")[2]])
    assert set(ours) == set(theirs) and any("image" in key for key in ours)
    assert all(torch.equal(ours[key], value.bfloat16().float()) for key, value in theirs.items())


def test_the_branches_of_four_files_become_one_network_with_the_base_of_the_last(general25):
    folder, nets = general25("transfer25_general")
    ours = own_tensors(ViewsModel.from_folder(folder).network)
    wanted = {key: value for key, value in own_tensors(nets["seg"]).items() if not key.startswith("controls.")}
    for name, net in nets.items():
        wanted |= {key: value for key, value in own_tensors(net).items() if key.startswith(f"controls.{name}.")}
    wanted = {key: value for key, value in wanted.items() if "image_" not in key}
    assert set(ours) == set(wanted)
    assert all(torch.equal(ours[key], value.bfloat16().float()) for key, value in wanted.items())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["transfer25_edge", "transfer25_vis", "transfer25_depth", "transfer25_seg"])
def test_the_command_makes_a_video(general25, tmp_path, name):
    control = name.partition("_")[2]
    options = (f"model={name}", f"model.weights={general25(name)[0]}", f"controls={control}", "name=one")
    done = run_here(*options, *SMALL, "model.num_frames=13", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (video,) = (tmp_path / "outputs/runs/one/single_view").glob("*.mp4")
    frames = read_video(video)
    assert frames.shape == (13, 32, 48, 3) and frames.std() > 1


@pytest.fixture(scope="module")
def configured(general25):
    composer = Composer()
    return lambda *overrides, name="transfer25_general": composer(
        f"model={name}",
        "controls=uniform",
        "sampler=transfer25",
        *SMALL,
        f"model.weights={general25(name)[0]}",
        *overrides,
    )


@pytest.mark.slow
def test_all_four_controls_chunks_and_a_weight_map(configured, tmp_path):
    from cosmos_exp.pipeline.run import run

    def made(name: str, *overrides: str) -> np.ndarray:
        base = (f"paths.cache={tmp_path}/cache", "model.num_frames=20", "sampler.num_steps=2", "model.overlap=2")
        status = run(configured(*base, *overrides), tmp_path / name)
        assert status.misses["single_view"] == 2  # chunks
        (video,) = (tmp_path / name / "single_view").glob("*.mp4")
        return read_video(video)

    plain = made("plain")
    assert plain.shape == (20, 32, 48, 3)
    half = made("half", "controls.edge.weight_map.box=[0,0,0.5,1]")
    assert not np.array_equal(plain, half)
    (weights,) = (tmp_path / "half" / "edge_weight").glob("*/*.mp4")
    shown = read_video(weights)[0].astype(int)
    assert shown[:, :20].max(axis=-1).min() > 100 and shown[:, 28:].max() < 20  # a weight, and none


def test_the_noise_of_the_original(configured):
    overrides = ("model.reference_compat=true", "sampler.seed=2025", "model.num_frames=30", "scene.duration=4")
    model = RunSpec(check(configured(*overrides))).model
    random.seed(2025)
    seeds = [random.randint(0, 1_000_000)]
    for _ in range(2):
        random.seed(seeds[-1])
        seeds.append(random.randint(0, 1_000_000))
    assert model.seeds("any clip") == {"single_view": seeds}


def test_weights_count_as_given_and_maps_are_shared(configured):
    config = check(configured("controls.edge.weight=0.9", "controls.vis.weight=0.9"))
    weighting, shape = BranchWeighting(config.controls), Shape(13, 32, 48)
    assert weighting.scalars({"edge": 0.9, "vis": 0.9}) == {"edge": 0.9, "vis": 0.9}
    left = torch.zeros(tuple(shape))
    left[:, :, :24] = 0.9
    on_grid = weighting.on_grid({"edge": left, "vis": 0.9}, shape)
    assert on_grid["edge"].shape == (1, 1, 4, 2, 3)
    assert float(on_grid["edge"][..., 0].max()) == pytest.approx(0.5)
    assert float(on_grid["vis"][..., 2].min()) == pytest.approx(0.9)
    maps = {"edge": left, "vis": torch.full(tuple(shape), 0.9)}
    assert torch.equal(on_grid["vis"], branch_weights(maps, (4, 2, 3))["vis"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("sampler.first_frames=rgb",), "transfer25_general begins with noise alone"),
        (("views=six", "model.num_frames=13"), "views"),
        (("controls.hdmap.weight=1",), "hdmap"),
        (("model.overlap=5",), "continues a video from 1 or 2 frames"),
        (("controls.edge.weight=2",), "takes 0 to 1; nearest is 1"),
        (("sampler.sigma_max=40",), "follow from sampler.num_steps alone"),
    ],
)
def test_a_mistake_is_one_message(configured, overrides, message):
    errors = validate(configured(*overrides))
    assert [error for error in errors if message in error] and all("\n" not in error for error in errors)


def test_without_weights_the_message_says_how_to_get_them(monkeypatch, tmp_path):
    monkeypatch.setenv("COSMOS_EXP_MODELS", str(tmp_path))
    errors = validate(Composer()("model=transfer25_depth", "controls=depth", "views=single", "scene.duration=6"))
    (told,) = [error for error in errors if "no weights" in error]
    assert "cosmos-exp download transfer25_depth" in told and "--model transfer25_depth" in told
