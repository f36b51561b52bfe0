"""Solver steps and the other views' guidance of a model's own: null is what an explicit value would be, everywhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers.served import served

from cosmos_exp.common.errors import ValidationErrors
from cosmos_exp.common.typed_config import identity
from cosmos_exp.config.compose import compose
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.config.validate import check, validate
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.registry import known_contracts
from cosmos_exp.models.transfer1.nano import DEFAULT_STEPS, MULTI_VIEW_GUIDANCE
from cosmos_exp.pipeline.dry_run import dry_run
from cosmos_exp.pipeline.run import run
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.sampling.config import BoundSampler, OwnSampling, SamplerConfig
from cosmos_exp.serving.config import settings
from cosmos_exp.serving.page import Page
from cosmos_exp.serving.page_requests import PageRequests
from cosmos_exp.serving.service import opened
from cosmos_exp.serving.submissions import Submissions
from cosmos_exp.tracking.wandb.file import read_run, run_files

STEPS, EXPLICIT = 3, ("sampler.num_steps=3", "model.multi_view_guidance=0")
NETWORKS = ("single_view", "multi_view")
SMALL = (
    *("views=six", "model.num_frames=9", "captions.styles=[Night]", "controls=hdmap", "scene.num_vehicles=2"),
    *("previews=none", "previews.controls=used", "metrics.names=[]", "metrics.gate=false", "evaluator=none"),
)


@pytest.fixture(scope="module")
def own_folder(tiny_model_folder: Path, tmp_path_factory) -> Path:
    """The tiny model, whose contract has steps and guidance of the other views."""
    folder = tmp_path_factory.mktemp("own") / "model"
    shutil.copytree(tiny_model_folder, folder)
    description = json.loads((folder / "model.json").read_text())
    description["contract"] |= {"default_steps": STEPS, "multi_view_guidance": 0}
    (folder / "model.json").write_text(json.dumps(description))
    return folder


@pytest.fixture(scope="module")
def own(configure, own_folder: Path):
    """A function: the config of such a model with these overrides."""
    return lambda *overrides: configure(f"model.weights={own_folder}", *overrides)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def place(root: Path) -> tuple[str, ...]:
    return (*SMALL, f"paths.outputs={root}", f"paths.cache={root}/cache")


@pytest.fixture(scope="module")
def made(own, place, root: Path) -> RunFolder:
    """A run that leaves both to the model."""
    run(own(*place), root / "own")
    return RunFolder(root / "own")


def videos(folder: Path) -> dict[str, bytes]:
    files = [*folder.glob("single_view/*.mp4"), *folder.glob("multi_view/*/*.mp4")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


# The contract


def test_the_numbers_of_the_known_models() -> None:
    own = {name: (c.own_sampling.num_steps, c.multi_view_guidance) for name, c in known_contracts().items()}
    assert own.pop("edge_distilled") == (1, None)
    assert own.pop("nano") == (DEFAULT_STEPS, MULTI_VIEW_GUIDANCE) == (4, 0)
    assert own.pop("nano_fast") == (8, MULTI_VIEW_GUIDANCE)
    assert set(own.values()) == {(8, None)}


def test_a_contract_that_says_nothing_has_eight(tiny_model) -> None:
    told = tiny_model.contract.to_dict()
    del told["default_steps"], told["multi_view_guidance"]
    older = Contract.from_dict(told)
    assert (older.own_sampling.num_steps, older.multi_view_guidance) == (8, None)
    assert Contract.from_dict({**told, "num_steps": 2, "default_steps": 5}).own_sampling.num_steps == 2


def test_keys_of_results_have_the_number_in_effect_and_leave_out_eight() -> None:
    null, three = SamplerConfig(), SamplerConfig(num_steps=3)
    assert identity(BoundSampler.of(null, OwnSampling())) == {}, "as when 8 was the default"
    assert identity(BoundSampler.of(SamplerConfig(num_steps=8), OwnSampling(num_steps=3))) == {}
    assert identity(BoundSampler.of(null, OwnSampling(num_steps=3))) == {"num_steps": 3}
    assert identity(BoundSampler.of(three, OwnSampling())) == {"num_steps": 3}


# Configs


@pytest.mark.parametrize(
    ("given", "steps", "guidance"),
    [
        ((), 3, 0.0),
        (("sampler.guidance=2",), 3, 0.0),
        (("sampler.guidance=2", "model.multi_view_guidance=${sampler.guidance}"), 3, 2.0),
        (("sampler.num_steps=5",), 5, 0.0),
        (("sampler.num_steps=5", "model.multi_view_steps=2", "model.multi_view_guidance=1"), 2, 1.0),
    ],
)
def test_the_other_views_have_what_is_given_else_the_models_own(own, given, steps, guidance) -> None:
    model = RunSpec(check(own("views=six", *given))).model
    assert (model.multi_view_sampler.num_steps, model.multi_view_sampler.guidance) == (steps, guidance)
    assert model.in_effect["model.multi_view_steps"] == steps


def test_one_view_has_no_use_for_the_models_own_which_is_no_mistake(own) -> None:
    cfg = own("views=single")
    assert validate(cfg) == []
    assert RunSpec(check(cfg)).model.in_effect == {"sampler.num_steps": 3, "sampler.sigma_min": 0.4}
    with pytest.raises(ValidationErrors, match=r"model\.multi_view_guidance=0: there is one view"):
        check(own("views=single", "model.multi_view_guidance=0"))


def test_steps_that_are_given_are_checked(own) -> None:
    assert validate(own("sampler.num_steps=0")) == ["sampler.num_steps=0: must be 1 to 1000"]


def test_a_distilled_model_of_a_server_has_the_steps_that_it_is_made_for() -> None:
    remote = ("model=remote", "model.protocol=gradio", "model.backend=edge_distilled", "model.endpoint=http://gpu:7860")
    given = [*remote, "views=single", "controls=hdmap", "controls.hdmap.weight=0", "controls.edge.weight=1"]
    wrong = "sampler.num_steps=1, sampler.guidance=1: this model needs sampler.num_steps=1 sampler.guidance=0"
    assert wrong in validate(compose([*given, "sampler.guidance=1"]))
    assert not [told for told in validate(compose([*given, "sampler.guidance=0"])) if "sampler" in told]


# Runs


def passes(cfg) -> dict[str, int]:
    """{network: passes for a clip}, as a plan counts them."""
    wanted = dry_run(RunSpec(check(cfg))).wanted.values()
    return {each.stage: each.passes for each in wanted if each.stage in NETWORKS}


def test_a_plan_counts_the_passes_of_these_numbers(own, configure, place) -> None:
    explicit = passes(configure(*place, *EXPLICIT))
    assert passes(own(*place)) == explicit == {"single_view": 2 * (STEPS + 1), "multi_view": STEPS + 1}
    assert passes(own(*place, "model.multi_view_guidance=${sampler.guidance}"))["multi_view"] == 2 * (STEPS + 1)


def test_the_record_has_them_and_the_config_null(made: RunFolder) -> None:
    config = made.read_config()
    assert (config["sampler"]["num_steps"], config["model"]["multi_view_guidance"]) == (None, None)
    assert made.require_status().in_effect == {
        "sampler.num_steps": STEPS,
        "sampler.sigma_min": 0.4,
        "model.multi_view_steps": STEPS,
        "model.multi_view_guidance": 0.0,
    }
    (file,) = run_files(made.path)
    logged = read_run(file).config
    assert (logged["sampler"]["num_steps"], logged["model"]["multi_view_guidance"]) == (STEPS, 0.0)


def test_a_run_with_the_same_numbers_given_computes_nothing(made: RunFolder, own, place, root: Path) -> None:
    assert [made.require_status().misses[stage] for stage in NETWORKS] == [1, 1]
    status = run(own(*place, *EXPLICIT, "tracking=disabled"), root / "explicit")
    assert sum(status.misses.values()) == 0 and [status.hits[stage] for stage in NETWORKS] == [1, 1]
    assert videos(root / "explicit") == videos(made.path)


def test_a_model_without_such_numbers_makes_the_same_of_these(made: RunFolder, configure, place, root: Path) -> None:
    run(configure(*place, *EXPLICIT, "tracking=disabled"), root / "without")
    assert videos(root / "without") == videos(made.path)


def test_a_served_model_has_its_own_numbers_too(made: RunFolder, own_folder: Path, place, root: Path) -> None:
    with served(root / "server", "model=nano", f"model.weights={own_folder}") as server:
        info = server.client().model("nano")
        assert info.contract["default_steps"] == info.defaults["sampler.num_steps"] == STEPS
        remote = (*place, "model=remote", f"model.endpoint={server.url}")
        status = run(compose([*remote, "tracking=disabled"]), root / "served")
    assert status.in_effect["sampler.num_steps"] == STEPS
    assert videos(root / "served") == videos(made.path)


def test_the_page_of_a_server_shows_them(own_folder: Path, root: Path) -> None:
    import gradio as gr

    chosen = settings(["model=nano", f"model.weights={own_folder}", f"paths.outputs={root}/page"])
    with opened(chosen, 1) as service, gr.Blocks():
        submissions = Submissions(service)
        page = Page(gr, submissions, PageRequests(submissions), {})
        page.lay_out()
        assert (page.knobs["num_steps"].value, page.knobs["guidance"].value) == (STEPS, 1.0)
