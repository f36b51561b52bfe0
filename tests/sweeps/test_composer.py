"""A cell composed from another one is the cell that Hydra would have composed."""

from __future__ import annotations

import pytest
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

from cosmos_exp.config import schema
from cosmos_exp.sweeps.composer import CellComposer


class CountingLoader:
    def __init__(self, loader):
        self.loader, self.composed = loader, 0

    def load_sweep_config(self, *arguments):
        self.composed += 1
        return self.loader.load_sweep_config(*arguments)


@pytest.fixture(scope="module")
def loader():
    schema.register()
    with initialize_config_module("cosmos_exp.conf", version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


@pytest.mark.parametrize(
    ("first", "second", "by_hydra"),
    [
        (["sampler.guidance=1", "views=single"], ["sampler.guidance=3", "views=single"], 1),
        (["captions.styles=[Rainy]"], ["captions.styles=[Night,Sunny]"], 1),
        (["model.num_frames=9", "sampler.seed=1"], ["model.num_frames=null", "sampler.seed=2"], 1),
        (["scene.seed=1", "+experiment=quick"], ["scene.seed=2", "+experiment=quick"], 1),
        (["controls=all", "sampler.seed=1"], ["controls=hdmap", "sampler.seed=1"], 2),
        (["sensors.cameras={a:{x:1}}"], ["sensors.cameras={b:{x:1}}"], 2),
        (["sampler.seed=1"], ["sampler.guidance=1"], 2),
        (["controls.hdmap={weight:1}", "controls.hdmap.weight=1"], ["controls.hdmap={}", "controls.hdmap.weight=1"], 2),
        (["sampler.seed=1", "sampler.seed=2"], ["sampler.seed=3", "sampler.seed=2"], 2),
        (["+scene.edits.lead.speed=1"], ["+scene.edits.lead.speed=2"], 2),
    ],
)
def test_the_same_config_as_hydra_composes(loader, first, second, by_hydra):
    master = loader.load_configuration("config", ["sampler.seed=1,2"], run_mode=RunMode.MULTIRUN)
    counting = CountingLoader(loader)
    composer = CellComposer(counting, master)
    for overrides in (first, second):
        try:
            expected = loader.load_sweep_config(master, overrides)
        except HydraException as error:
            with pytest.raises(type(error), match=str(error).split("\n")[0][:20]):
                composer.compose(overrides)
            continue
        given = composer.compose(overrides)
        assert given == expected
        assert OmegaConf.to_yaml(given) == OmegaConf.to_yaml(expected)
        assert OmegaConf.get_type(given.sampler) is schema.SamplerConfig
    assert counting.composed == by_hydra


def test_a_wrong_value_is_told_as_by_hydra(loader):
    master = loader.load_configuration("config", [], run_mode=RunMode.MULTIRUN)
    composer = CellComposer(loader, master)
    composer.compose(["sampler.guidance=1"])
    with pytest.raises(HydraException, match=r"sampler\.guidance=high") as given:
        composer.compose(["sampler.guidance=high"])
    with pytest.raises(HydraException) as expected:
        loader.load_sweep_config(master, ["sampler.guidance=high"])
    assert type(given.value) is type(expected.value)
    assert str(given.value) == str(expected.value)


def test_a_config_is_its_callers_own(loader):
    master = loader.load_configuration("config", [], run_mode=RunMode.MULTIRUN)
    composer = CellComposer(loader, master)
    composer.compose(["sampler.guidance=1"]).sampler.num_steps = 99
    assert composer.compose(["sampler.guidance=2"]).sampler.num_steps is None
    assert composer.compose(["sampler.guidance=1"]).sampler.num_steps is None
