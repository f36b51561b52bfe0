"""The config groups: each option composes to its type, mistakes are found together, identities are stable."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from itertools import product
from pathlib import Path

import pytest
from helpers.composing import Composer
from helpers.guard_networks import guard_weights
from hydra import compose, initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from cosmos_exp.common.typed_config import REQUIRED, identity, identity_name
from cosmos_exp.config import launchers
from cosmos_exp.config.generations import RELEASED, available_generations
from cosmos_exp.config.schema import Config, run_id, typed
from cosmos_exp.config.validate import validate
from cosmos_exp.models.checkpoints.released import MODELS
from cosmos_exp.models.transfer25.released import MODELS as TRANSFER25
from cosmos_exp.scene.sources import SOURCES

CONF = Path(__file__).resolve().parents[2] / "conf"
GROUPS = sorted(p.name for p in CONF.iterdir() if p.is_dir() and p.name not in ("hydra", "__pycache__"))
ADDED = ("experiment", "sweep", "generation")
# sensors that lack some of the six views
FRONT_ALONE = ("front", "carla_yaml", "cosmos_aov", "drive_dreams_single", "waymo_five")
# what no model that is at hand makes or reads
NEEDS_A_MODEL = (
    ("views", "waymo_five"),
    ("views", "seven"),
    ("controls", "wsm"),
    ("model", "transfer25_auto_multiview"),
    *(("model", f"transfer25_{name}") for name in ("edge", "vis", "depth", "seg", "general")),
    ("generation", "transfer1"),
    ("generation", "transfer25"),
    ("generation", "cosmos3"),
)
GENERATIONS = [path.stem for path in sorted((CONF / "generation").glob("*.yaml"))]
OPTIONS = [(group, path.stem) for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]
NEEDS_VALUES = (("llm", "endpoint"), ("llm", "vllm"))  # the name of a model
WITHOUT_WEIGHTS = (("model", "render"), ("model", "remote"), ("model", "cosmos3_auto"), ("generation", "render"))
RUNNABLE = [option for option in OPTIONS if option not in (*NEEDS_A_MODEL, *NEEDS_VALUES, *WITHOUT_WEIGHTS)]
# what makes a released model's contract content
FOR_RELEASED = {
    "transfer1_7b": ["views=single", "controls=all", "controls.hdmap.weight=0"],
    "transfer1_7b_av": ["views=single", "controls=hdmap"],
    "single2multiview_t2w": ["views=six", "controls=hdmap"],
    "single2multiview_v2w": ["views=six", "controls=hdmap"],
    "single2multiview_t2w_waymo": ["views=waymo_five", "sensors=waymo_five", "controls=hdmap"],
    "single2multiview_v2w_waymo": ["views=waymo_five", "controls=hdmap"],
    "edge_distilled": [
        *("views=single", "controls=hdmap", "controls.hdmap.weight=0", "controls.edge.weight=1"),
        "sampler.guidance=0",
    ],
    "upscaler_4k": [
        "views=single",
        *(f"controls.{n}.weight={w}" for n, w in (("hdmap", 0), ("seg", 0), ("upscale", 1))),
    ],
    "transfer25_auto_multiview": ["views=six", "controls=wsm"],
    **{f"transfer25_{name}": ["views=single", f"controls={name}"] for name in ("edge", "vis", "depth", "seg")},
    "transfer25_general": ["views=single", "controls=uniform"],
}
FROM_A_FILE = ("upscaler_4k",)  # its control


@pytest.fixture
def problems(configure):
    """A function: problems of the config that these overrides make, with a model whose weights are there."""
    return lambda *overrides: validate(configure(*overrides))


def test_every_group_the_field_expects_is_there() -> None:
    expected = [
        "scene",
        "sensors",
        "controls",
        "captions",
        "model",
        "sampler",
        "views",
        "hardware",
        "metrics",
        "tracking",
        "experiment",
        "sweep",
    ]
    assert set(expected) <= set(GROUPS)


@pytest.mark.parametrize("sweep", [option for group, option in OPTIONS if group == "sweep"])
def test_every_ready_sweep_is_a_multirun_of_several_cells(sweep: str, configure) -> None:
    overrides = (CONF / "sweep" / f"{sweep}.yaml").read_text()
    assert f"cosmos-exp +sweep={sweep}" in overrides.split("sweep_name")[0]
    hydra = OmegaConf.create(overrides).hydra
    assert hydra.mode == "MULTIRUN"
    axes = [OverridesParser.create().parse_override(f"{k}={v}") for k, v in hydra.sweeper.params.items()]
    assert all(axis.is_discrete_sweep() for axis in axes)
    cells = [list(cell) for cell in product(*(axis.sweep_string_iterator() for axis in axes))]
    assert 1 < len(cells) <= 12
    for values in cells:
        cell = [f"{axis.get_key_element()}={value}" for axis, value in zip(axes, values)]
        compose = Composer() if sweep == "model_generations" else configure  # whose models have weights of their own
        assert validate(compose(f"+sweep={sweep}", *cell)) == []


def test_the_sweep_of_generations_has_those_that_are_there(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("COSMOS_EXP_MODELS", str(tmp_path))
    monkeypatch.delenv("COSMOS_EXP_COSMOS3", raising=False)
    assert available_generations() == "render,nano"
    (tmp_path / "transfer25_auto_multiview").mkdir()
    (tmp_path / "transfer25_auto_multiview" / "model.json").touch()
    monkeypatch.setenv("COSMOS_EXP_COSMOS3", "http://127.0.0.1:8091")
    assert available_generations() == "render,nano,transfer25,cosmos3"
    compose = Composer()
    named = {option: typed(compose(f"+generation={option}")).model.name for option in GENERATIONS}
    assert {name: named[name] for name in RELEASED} == RELEASED
    assert validate(compose("+generation=cosmos3", "scene.duration=6")) == []


@pytest.mark.parametrize(("group", "option"), RUNNABLE, ids=[f"{g}={o}" for g, o in RUNNABLE])
def test_every_option_composes_to_its_type_and_can_run(
    group: str, option: str, configure, tmp_path: Path, clip_root: Path, clipgt_root: Path
) -> None:
    overrides = [f"{'+' if group in ADDED else ''}{group}={option}"]
    if group == "hardware":
        overrides += ["hardware.device=cpu", "hardware.offload=none"]
    if option in FRONT_ALONE:
        overrides.append("views=single")
    if (group, option) == ("guardrails", "full"):
        overrides.append(f"guardrails.weights={guard_weights()}")
    if option == "carla_yaml":
        (tmp_path / "sensors.yaml").write_text("- sensor: rgb")
        overrides.append(f"sensors.file={tmp_path / 'sensors.yaml'}")
    if (group, option) in (("captions", "vlm"), ("captions", "upsample")):
        overrides += ["llm=endpoint", "llm.endpoint=http://127.0.0.1:8000", "llm.model=a_model"]
    if group == "scene":
        (tmp_path / "file").touch()
        overrides += [f"scene.{key}={tmp_path / 'file'}" for key in SOURCES[option].files]
        root = clipgt_root if option == "clipgt" else clip_root
        overrides += [f"scene.{key}={root}" for key in SOURCES[option].folders]
    for name, root in (("rds_hq", clip_root), ("clipgt", clipgt_root)):
        if (group, option) == ("sensors", name):
            overrides += [f"scene={name}", f"scene.root={root}"]
    cfg = configure(*overrides)
    assert OmegaConf.get_type(cfg, "scene") is SOURCES[cfg.scene.source].config
    config = typed(cfg)
    for entry in fields(Config):
        if entry.name not in ("scene", "model", "name", "sweep_name", "serve"):
            assert type(getattr(config, entry.name)).__name__ == entry.type
    assert validate(cfg) == []


def test_every_released_model_has_an_option() -> None:
    options = {option for group, option in OPTIONS if group == "model"}
    assert (
        {*MODELS, *TRANSFER25}
        == set(FOR_RELEASED)
        == options - {"nano", "nano_fast", "render", "remote", "cosmos3_auto"}
    )


@pytest.mark.parametrize("name", [name for name in FOR_RELEASED if name not in FROM_A_FILE])
def test_a_released_model_lacks_nothing_but_its_weights(name: str, problems, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("COSMOS_EXP_MODELS", str(tmp_path))
    (found,) = problems(f"model={name}", "model.weights=null", "scene.duration=6", *FOR_RELEASED[name])
    assert f"no weights of {name} in {tmp_path / name}: get them with `cosmos-exp download " in found
    assert f"cosmos-exp convert checkpoint checkpoints -o {tmp_path / name} --model {name}" in found


@pytest.mark.parametrize(
    ("model", "override", "message"),
    [
        ("transfer1_7b_av", "model.num_frames=57", "makes 121 frames"),
        ("transfer1_7b_av", "model.height=720", "704x1280, 960x960, 704x960, 960x704, 1280x704 pixels"),
        ("transfer1_7b_av", "controls.depth.weight=1", "unknown control of this model 'depth'"),
        ("transfer1_7b_av", "views=six", "makes front_wide_120fov alone (views=single)"),
        ("transfer1_7b", "controls.hdmap.weight=1", "allowed: vis, edge, depth, seg, keypoint"),
        ("transfer1_7b_av", "model.num_frames=241", "its network cannot continue a video, those of transfer1_7b"),
        ("transfer1_7b", "model.num_frames=1300", "any number of frames from 2 to 1201; nearest is 1201"),
        ("transfer1_7b", "model.overlap=9", "transfer1_7b continues a video from 1 frames"),
        ("transfer1_7b_av", "model.overlap=1", "transfer1_7b_av makes one chunk: give null"),
        ("transfer1_7b_av", "model.multi_view_frames=57", "goes with several views"),
        ("single2multiview_t2w", "model.multi_view_frames=113", "makes 57 of all views; nearest is 57"),
        ("single2multiview_v2w", "model.multi_view_frames=105", "makes 57 or 113 of all views; nearest is 113"),
        ("single2multiview_t2w_waymo", "views=six", "(views=waymo_five)"),
        ("edge_distilled", "sampler.num_steps=35", "distilled to sampler.num_steps=1 sampler.guidance=0"),
        (
            "edge_distilled",
            "sampler.guidance=1",
            "sampler.num_steps=1, sampler.guidance=1: edge_distilled is",
        ),
        ("upscaler_4k", "model.height=704", "makes 2112x3840 pixels"),
    ],
)
def test_a_released_contract_is_checked_before_there_are_weights(model, override, message, problems) -> None:
    found = problems(f"model={model}", "model.weights=null", "scene.duration=6", *FOR_RELEASED[model], override)
    assert any(message in problem for problem in found), found


def test_a_released_model_takes_each_of_its_sizes(problems) -> None:
    base = ["model=transfer1_7b_av", "model.weights=null", "scene.duration=6", *FOR_RELEASED["transfer1_7b_av"]]
    for height, width in MODELS["transfer1_7b_av"].contract.all_sizes:
        assert len(problems(*base, f"model.height={height}", f"model.width={width}")) == 1  # the weights


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.num_frames=10", "nano makes 9 or 17 frames"),
        ("model.num_frames=10", "nearest is 9"),
        ("model.height=704", "32x48"),
        ("model.fps=0", "1 to 120"),
        ("model.fps=1", "scene.duration=5"),
        ("model.weights=nowhere", "no folder 'nowhere'"),
        ("sensors=front", "no camera for the views 'cross_left_120fov', 'cross_right_120fov'"),
        ("sensors=waymo_five", "no camera for the view 'rear_tele_30fov': its cameras stand for front -> front_wide"),
        ("+sensors.views.rear=rear_tele_30fov", "unknown camera of the rig 'rear'"),
        ("+sensors.views.rear_tele_30fov=rear", "unknown view 'rear': did you mean 'rear_tele_30fov'"),
        ("views.names=[rear_tele_30fov,front_wide_120fov]", "views=six"),
        ("views.names=[front]", "did you mean 'front_wide_120fov'"),
        ("controls.hdmap.weight=-0.5", "controls.hdmap.weight=-0.5"),
        ("controls.hdmap.weight=nan", "controls.hdmap.weight=nan"),
        ("captions.styles=[Snow]", "did you mean 'Snowy'"),
        ("captions.styles=[]", "is empty"),
        ("captions.styles=[Night,Night]", "more than once"),
        ("captions.variant=9", "captions.variant=9"),
        ("captions.prompt=''", "captions.prompt is empty"),
        ("sampler.guidance=-1", "sampler.guidance=-1"),
        ("sampler.num_steps=0", "1 to 1000"),
        ("sampler.sigma_max=0.001", "sigma_min < sigma_max"),
        ("hardware.dtype=float23", "did you mean 'float32'"),
        ("hardware.device=gpu", "unknown device 'gpu'"),
        ("hardware.device=cuda:99", "CUDA devices"),
        ("previews.controls=usd", "did you mean 'used'"),
        ("hardware.threads=0", "hardware.threads=0"),
        ("hardware.threads=1000000", "must be 1 to 1024"),
        ("hardware.device=cpu:9", "did you mean 'cpu'"),
        ("paths.outputs=''", "paths.outputs=''"),
        ("paths.cache=' '", "paths.cache=' '"),
        ("name=..", "name='..': must name a folder below paths.outputs"),
        ("name=../../x", "nearest: x"),
        ("name=/tmp/x", "nearest: tmp_x"),
        ("name=a//b", "must name a folder below"),
        ("sweep_name=a/../..", "sweep_name='a/../..'"),
        ("metrics.names=[psnr,psnr]", "metrics.names names 'psnr' more than once"),
        ("previews.names=[rgb,rgb]", "previews.names names 'rgb' more than once"),
        ("sampler.seed=99999999999999999999", "nearest 9223372036854775807"),
        ("scene.seed=99999999999999999999", "scene.seed=99999999999999999999"),
        ("hardware.text_encoder=gpu", "did you mean 'cpu'"),
        ("hardware.text_encoder_dtype=half", "allowed: float32, bfloat16"),
        ("hardware.resident=al", "did you mean 'all'"),
        ("hardware.offload=block", "did you mean 'blocks'"),
        ("hardware.offload=blocks", "needs a CUDA device"),
        ("speed.linears=fp9", "did you mean 'fp8'"),
        ("speed.linears=te", "needs a CUDA device; with hardware.device=cpu give speed.linears=fp8"),
        ("hardware.tokenizer_chunk=0", "1 or more latent frames"),
        ("hardware.memory_gb=24", "limits a CUDA device"),
        ("hardware.memory_gb=-1", "must be more than 0"),
        ("metrics.names=[pnsr]", "did you mean 'psnr'"),
        ("tracking.mode=of", "did you mean 'offline'"),
        ("scene.weather=Rain", "did you mean 'Rainy'"),
        ("scene.duration=0", "scene.duration=0"),
        ("scene.num_pedestrians=-1", "num_pedestrians"),
        ("scene.road=intersektion", "did you mean 'intersection'"),
        ("controls.edge.strength=hi", "did you mean 'high'"),
        ("controls.seg.mode=classes", "seg control mode"),
        ("controls.depth.min_depth=2000", "min_depth"),
        ("+sampler.stepz=3", "unknown config key 'sampler.stepz'"),
        ("sensors.cameras.front_wide_120fov.hfov=200", "hfov 200"),
    ],
)
def test_a_mistake_is_named(override: str, message: str, problems) -> None:
    found = problems(override)
    assert any(message in problem for problem in found), found


def test_all_mistakes_are_found_together(problems) -> None:
    found = problems("model.num_frames=10", "sampler.guidance=-1", "captions.styles=[Snow]", "metrics.names=[x]")
    assert len(found) == 4


def test_a_prompt_without_its_style_is_of_one_style(problems) -> None:
    alike = problems("captions.add_style=false", "captions.styles=[Rainy,Night]")
    assert alike == ["captions.add_style=false: all styles would have the same prompt; give one of captions.styles"]
    assert problems("captions.add_style=false", "captions.styles=[Rainy]") == []


def test_all_weights_zero_is_a_mistake(problems) -> None:
    found = problems("controls.hdmap.weight=0", "controls.seg.weight=0")
    assert found == ["every control has weight 0: give one of hdmap, edge, depth, seg, vis a weight above 0"]


def test_every_scene_source_has_an_option() -> None:
    assert set(SOURCES) <= {option for group, option in OPTIONS if group == "scene"}


def test_a_source_is_chosen_by_its_option_alone(problems) -> None:
    (found,) = problems("scene.source=carla_log")
    assert "scene=NAME" in found and all(name in found for name in SOURCES)


def test_required_values_are_named(problems) -> None:
    found = problems("scene=carla_log")
    assert found == ["scene.log is required: give scene.log=...", "scene.map is required: give scene.map=..."]


@pytest.mark.parametrize(
    "override",
    [
        "hardware.threads=1",
        "tracking=disabled",
        "paths.outputs=elsewhere",
        "name=mine",
        "sweep_name=s",
        "hardware.device=cuda",
        "hardware.resident=one",
        "hardware.tokenizer_chunk=1",
        "metrics.names=[psnr]",
        "previews=none",
        "controls.lidar.weight=0",
        "controls.edge.strength=low",  # of a control without weight
        "scene.name=other",
        "sampler.guidance=1",  # the default
    ],
)
def test_the_run_id_ignores_what_changes_no_result(override: str, configure) -> None:
    assert run_id(typed(configure(override))) == run_id(typed(configure()))


@pytest.mark.parametrize(
    "override",
    [
        "sampler.seed=1",
        "scene.seed=1",
        "controls.hdmap.weight=0.4",
        "hardware.dtype=bfloat16",
        "hardware.text_encoder_dtype=bfloat16",
        "speed.linears=te",
        "views=single",
    ],
)
def test_the_run_id_follows_what_changes_the_result(override: str, configure) -> None:
    assert run_id(typed(configure(override))) != run_id(typed(configure()))


def test_a_new_key_and_a_renamed_one_leave_identities_as_they_are() -> None:
    @dataclass
    class Before:
        steps: int = 8
        names: list[str] = REQUIRED

    @dataclass
    class After:
        num_steps: int = field(default=8, metadata=identity_name("steps"))
        names: list[str] = REQUIRED
        extra: float = 0.5

    for steps in (8, 9):
        assert identity(Before(steps, ["a"])) == identity(After(steps, ["a"]))
    assert identity(Before(9, ["a"])) == {"steps": 9, "names": ["a"]}


@pytest.mark.parametrize(("group", "option"), [option for option in OPTIONS if option[0] not in ADDED])
def test_an_option_does_not_repeat_the_default_of_its_type(group: str, option: str, configure) -> None:
    """So that every default stands in one place."""
    given = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{option}.yaml"), resolve=False)
    kind = next(entry for entry in fields(Config) if entry.name == group)
    default = kind.default_factory() if callable(kind.default_factory) else None
    for key, value in given.items():
        if default is not None and hasattr(default, str(key)):
            assert value != getattr(default, str(key)), f"{group}={option}: {key}"


def test_weights_of_one_preset_do_not_leak_into_another(configure) -> None:
    cfg = configure("controls=hdmap")
    assert {name: c.weight for name, c in cfg.controls.items() if c.weight} == {"hdmap": 1.0}


@pytest.mark.parametrize(
    "overrides",
    [
        ("controls=all", "controls.edge.strength=low", "views=single"),
        ("+experiment=quick", "sampler.guidance=7", "scene.edits={}"),
        ("scene.name=there", "++scene.seed=3", "captions.styles=[Night]"),
    ],
)
def test_the_configs_of_these_tests_are_those_that_hydra_composes(overrides: tuple[str, ...], configure) -> None:
    given = configure(*overrides)
    with initialize_config_module("cosmos_exp.conf", version_base="1.3"):
        expected = compose("config", overrides=[f"model.weights={given.model.weights}", *overrides])
    assert OmegaConf.to_yaml(given) == OmegaConf.to_yaml(expected)
    with pytest.raises(HydraException, match=r"sampler\.guidanc"):
        configure("sampler.guidanc=1")


@pytest.mark.parametrize(("given", "told"), [(-5, True), (0, True), (-1, False), (2, False)])
def test_how_many_workers_a_launcher_may_have(given: int, told: bool) -> None:
    assert [f"n_jobs={given}" in problem for problem in launchers.problems({"kind": "joblib", "n_jobs": given})] == [
        True
    ] * told


def test_names_of_folders_below_others_are_allowed(configure) -> None:
    assert not validate(configure("name=day_1/run_2"))
