"""Which cells a sweep has, and in which folders: found and refused before anything is queued."""

from __future__ import annotations

import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.config.schema import sweep_folder
from cosmos_exp.sweeps.compose_cells import compose_cells

QUICK = ("+experiment=quick",)


def cells(*overrides: str) -> list[list[str]]:
    return compose_cells([*QUICK, *overrides], None, multirun=True)[0]


def test_a_glob_gives_the_options_of_its_group() -> None:
    chosen = [cell[-1] for cell in cells("captions=glob([a*,t*])")]
    assert chosen == ["captions=all_styles", "captions=template"]
    assert [cell[-1] for cell in cells("captions=glob([a*,t*],exclude=all*)")] == ["captions=template"]


@pytest.mark.parametrize("nothing", ["sampler.seed=range(5,5)", "sampler.seed=range(5,1)", "captions=glob(zz*)"])
def test_a_sweep_over_nothing_is_refused(nothing: str) -> None:
    with pytest.raises(UserError, match="holds no value, so the sweep would have no cell"):
        cells(nothing)


def test_a_step_of_zero_is_refused() -> None:
    with pytest.raises(UserError, match="step of a range must not be 0"):
        cells("sampler.seed=range(0,10,0)")


@pytest.mark.parametrize(
    ("swept", "count"),
    [
        (["sampler.seed=range(0,10000000)"], "10,000,000"),
        (["sampler.seed=range(0,1000)", "scene.seed=range(0,1000)"], "1,000,000"),
        (["sampler.guidance=range(0,1,0.0000001)"], "10,000,000"),
    ],
)
def test_millions_of_cells_are_refused_with_their_count(swept: list[str], count: str) -> None:
    with pytest.raises(UserError, match=f"would have {count} cells, 10,000 at most are allowed: see s"):
        cells(*swept)


@pytest.mark.parametrize(
    "subdir",
    ["${hydra.job.num}", "${hydra.job.override_dirname}", "cells/${sampler.guidance}", "n_${hydra.job.num}/run"],
)
def test_any_folder_of_its_own_below_the_sweep_will_do(subdir: str) -> None:
    assert len(cells("sampler.guidance=1,2", f"hydra.sweep.subdir={subdir}")) == 2


@pytest.mark.parametrize(
    ("subdir", "expected"),
    [
        ("same", "gives cell 0 the folder 'same' and cell 1 'same'"),
        ("a/../same", "gives cell 0 the folder 'same' and cell 1 'same'"),
        ("../up_${hydra.job.num}", "must be a folder below that of the sweep"),
        ("/tmp/up_${hydra.job.num}", "must be a folder below that of the sweep"),
        (".", "must be a folder below that of the sweep"),
    ],
)
def test_folders_that_cells_cannot_have_are_refused(subdir: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        cells("sampler.guidance=1,2", f"hydra.sweep.subdir={subdir}")


def test_an_override_that_refers_to_another_key_does_so_in_each_cell() -> None:
    _, configs = compose_cells([*QUICK, "sampler.seed=1,2", "name=seed_${sampler.seed}"], None, multirun=True)
    assert [cfg.name for cfg in configs] == ["seed_1", "seed_2"]


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["sampler.guidance=1,3", "controls.hdmap.weight=0.5,1"], "guidance_x_hdmap_weight_"),
        (["sampler.seed=range(3)", "scene.seed=1,2"], "sampler_seed_x_scene_seed_"),
        (["captions.styles=[Sunny,Night],[Rainy]", "scene.seed=4"], "styles_"),
        (["model=glob(*)"], "model_"),
        (["+experiment=quick"], "quick_"),
        ([], "sweep_"),
    ],
)
def test_a_sweep_without_a_name_is_called_by_what_it_varies(overrides: list[str], name: str) -> None:
    called = sweep_folder(None, overrides)
    assert called.startswith(name)
    assert called == sweep_folder(None, overrides[::1]) != sweep_folder(None, [*overrides, "scene.seed=5"])
    assert sweep_folder("mine", overrides) == "mine"
