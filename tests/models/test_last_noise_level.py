"""`sampler.sigma_min`: null is the model's own, which messages, keys of results and requests have in place of null."""

from __future__ import annotations

import numpy as np
import pytest

import cosmos_exp as cx
from cosmos_exp.common.typed_config import identity
from cosmos_exp.config.compose import compose
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.config.validate import validate
from cosmos_exp.models.base import GenerationRequest
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.registry import known_contracts
from cosmos_exp.models.remote.job_request import job_request
from cosmos_exp.models.transfer1.nano import nano_config
from cosmos_exp.runs.cost_history import History
from cosmos_exp.sampling.config import BoundSampler, OwnSampling, SamplerConfig
from cosmos_exp.sampling.sampler_params import SIGMA_MIN

OWN = 0.4
VIEW = "front_wide_120fov"


def test_the_small_models_end_higher_and_the_released_ones_as_they_were_published() -> None:
    own = {name: contract.sigma_min for name, contract in known_contracts().items()}
    assert {name for name, level in own.items() if level != 0.002} == {"nano_fast", "nano"}
    assert own["nano_fast"] == own["nano"] == nano_config()["contract"]["sigma_min"] == OWN


def test_a_server_of_an_older_version_has_that_of_the_released_models(tiny_model) -> None:
    told = tiny_model.contract.to_dict()
    del told["sigma_min"]
    assert Contract.from_dict(told).sigma_min == SIGMA_MIN == 0.002


def test_null_and_the_models_own_are_one_result(tiny_model_folder, tmp_path) -> None:
    scene = cx.load_scene("procedural", seed=3, duration=0.5, num_vehicles=2)
    given = ["views=single", f"model.weights={tiny_model_folder}", "model.num_frames=9", "sampler.num_steps=1"]

    def front(*options: str) -> tuple[np.ndarray, int]:
        """The video, and how many were generated for it."""
        before = len(History(tmp_path).costs())
        clips = cx.load_model("nano_fast", [*given, "captions.styles=[Night]", *options]).generate(
            scene, cache=tmp_path
        )
        made = [cost.stage for cost in History(tmp_path).costs()[before:]]
        return clips["Night"].videos[VIEW], made.count("single_view")

    own, made = front()
    assert made == 1
    same, made = front(f"sampler.sigma_min={OWN}")
    assert made == 0 and np.array_equal(same, own)
    other, made = front("sampler.sigma_min=0.002")
    assert made == 1 and not np.array_equal(other, own)


def test_keys_of_results_have_the_value_in_effect_and_leave_out_that_of_the_released_models() -> None:
    null, own = SamplerConfig(num_steps=35), OwnSampling(sigma_min=OWN)
    assert identity(BoundSampler.of(null, OwnSampling())) == {"num_steps": 35}, "as before models had their own"
    assert identity(BoundSampler.of(SamplerConfig(sigma_min=0.002), own)) == {}
    assert identity(BoundSampler.of(null, own)) == {"num_steps": 35, "sigma_min": OWN}
    assert identity(BoundSampler.of(SamplerConfig(num_steps=35, sigma_min=OWN), OwnSampling())) == {
        "num_steps": 35,
        "sigma_min": OWN,
    }


def test_run_ids_follow_what_is_asked_for(configure) -> None:
    ids = [RunSpec.of(configure(*given)).config for given in ((), ("sampler.sigma_min=0.002",))]
    assert identity(ids[0]).keys() ^ identity(ids[1]).keys() == {"sampler.sigma_min"}


def test_the_levels_are_checked_with_the_value_in_effect(configure) -> None:
    (told,) = validate(configure("sampler.sigma_max=0.3"))
    assert told == (
        "sampler.sigma_min=null, which is the model's own 0.4, sampler.sigma_max=0.3: must satisfy "
        "0 < sigma_min < sigma_max; the usual pair is 0.4 and 80"
    )
    (told,) = validate(configure("sampler.sigma_max=0.3", "sampler.sigma_min=0.5"))
    assert told.startswith("sampler.sigma_min=0.5, sampler.sigma_max=0.3: must satisfy")
    assert not validate(configure("sampler.sigma_max=0.3", "sampler.sigma_min=0.2"))


@pytest.mark.parametrize(("given", "sent"), [((), OWN), (("sampler.sigma_min=0.1",), 0.1)])
def test_a_request_to_a_server_has_the_value_in_effect(given: tuple[str, ...], sent: float, configure) -> None:
    model = RunSpec.of(configure("views=single", *given)).model
    asked = GenerationRequest(clip="clip", prompts={"Night": "A street."}, view_prompts={}, renders={})

    def unneeded(*_: object) -> str:
        raise AssertionError("no video and no file goes with it")

    request = job_request(model, "nano_fast", asked, "Night", unneeded, unneeded)
    assert request.extra.config["sampler.sigma_min"] == sent


@pytest.mark.parametrize(
    ("model", "refused"),
    [
        (("remote", "model.protocol=gradio", "model.backend=nano_fast"), "give sampler.sigma_min=null"),
        (("remote", "model.protocol=gradio", "model.backend=transfer1_7b"), "give sampler.sigma_min=null"),
        (("cosmos3_auto", "sampler=cosmos3"), "give sampler.sigma_min=0.002"),
        (("transfer25_edge", "sampler=transfer25"), "follow from sampler.num_steps alone; leave both out"),
    ],
)
def test_a_model_that_cannot_follow_it_takes_null_alone(model: tuple[str, ...], refused: str) -> None:
    endpoint = [] if model[0].startswith("transfer25") else ["model.endpoint=http://127.0.0.1:1"]
    given = [f"model={model[0]}", *model[1:], *endpoint, "views=single"]
    assert not [told for told in validate(compose(given)) if "sigma_min" in told]
    assert any(refused in told for told in validate(compose([*given, "sampler.sigma_min=0.1"])))
