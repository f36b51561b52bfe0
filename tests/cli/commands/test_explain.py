"""`cosmos-exp explain`: metrics from the page of the documentation, config keys from their declarations and rules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cosmos_exp.cli.commands.explain import main
from cosmos_exp.common.errors import UserError
from cosmos_exp.config.key_docs import ROOT, documented_keys, group_options, groups, usual
from cosmos_exp.config.schema import keys
from cosmos_exp.metrics.info import METRIC_INFO


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")


def explained(capsys, name: str) -> str:
    assert main([name]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("key", METRIC_INFO)
def test_every_metric_is_explained(capsys, key: str):
    said = explained(capsys, key)
    for field in ("Formula", "Compares with", "Blind spots", "Published"):
        assert f"• {field}: " in said
    assert key in said and "**" not in said, "rendered, not Markdown"


@pytest.mark.parametrize("key", ["psnr/front_wide_120fov", "normalised/psnr"])
def test_a_view_and_a_normalised_value_are_explained_as_the_metric(capsys, key: str):
    assert explained(capsys, key) == explained(capsys, "psnr")


@pytest.mark.parametrize(
    ("key", "lines"),
    [
        ("sampler.guidance", ["g in cond + g * (cond - uncond)", "float", "1.0", "0 (no guidance) or more", "yes"]),
        ("sampler.num_steps", ["int | None", "null", "1 to 1000"]),
        ("controls.hdmap.weight", ["0.0; without overrides a run has 0.5", "yes, where the control has a weight"]),
        ("controls.edge.strength", ["medium", "very_low, low, medium, high, very_high"]),
        ("controls.vis.weight_map.inside", ["weight * (outside + (inside - outside) * area)"]),
        ("llm.temperature", ["0 to 2", "yes, where captions or filter ask a language model"]),
        ("filter.repeats", ["1 to 100", "yes, where sampler.best_of is above 1"]),
        ("guardrails.face_size", ["yes, where guardrails.faces is true"]),
        ("guardrails.words", ["changes the run id  no"]),
        ("captions.styles", ["list[str]", "to be given, by the option or by you; without overrides a run has ['Sun"]),
        ("tracking.mode", ["offline, online, disabled", "changes the run id  no"]),
        ("scene.log", ["scene=carla_log", "Path of the recorder file.", "an existing file"]),
        ("model.like", ["model=render"]),
        ("model.num_frames", ["null", "nano makes 9 or 17 or 25 frames"]),
        ("hydra.launcher.cells_per_job", ["1 or more", "hydra/launcher=submitit_local"]),
        ("serve.port", ["int", "8080", "1 to 65535, or 0 for any free one", "changes the run id  no"]),
        ("serve.largest_cache", ["The stage cache", "20GB"]),
    ],
)  # fmt: skip
def test_a_key_has_type_default_meaning_range_and_place(capsys, key: str, lines: list[str]):
    said = explained(capsys, key)
    for line in lines:
        assert line in said
    file, number = said.split("declared in")[1].split()[0].split(":")
    declared = (ROOT / file).read_text().splitlines()[int(number) - 1]
    assert declared.strip().startswith(f"{key.rpartition('.')[2]}: ")


def test_a_key_that_several_sources_declare_is_explained_for_each(capsys):
    said = explained(capsys, "scene.seed")
    assert said.index("1000005") < said.index("scene=carla_log") < said.index("scene=rds_hq")


def test_a_group_has_its_options_and_keys(capsys):
    said = explained(capsys, "scene")
    assert "procedural*" in said and "A CARLA recorder log" in said and "scene.num_vehicles" in said
    assert "+sweep=OPTION" in explained(capsys, "sweep")
    assert "local*" in explained(capsys, "hydra/launcher")
    assert "controls.edge.drop_sky" in explained(capsys, "controls.edge")


def test_an_option_is_its_file(capsys):
    assert "# A CARLA recorder log" in explained(capsys, "scene=carla_log")
    assert "sweep_name: seeds" in explained(capsys, "+sweep=seeds")
    assert "Workers on this machine" in explained(capsys, "hydra/launcher=joblib")
    with pytest.raises(UserError, match="unknown option of scene 'carla': did you mean 'carla_log'"):
        main(["scene=carla"])


def test_an_unknown_name_has_the_nearest_of_both_kinds():
    with pytest.raises(UserError, match=r"the metric 'lane_f1' or the config key 'sampler\.guidance'"):
        main(["guidance"])
    with pytest.raises(UserError, match=r"the config key 'controls\.hdmap\.weight'"):
        main(["controls.hdmap.wieght"])


def test_every_key_is_known_and_every_place_is_one():
    found = documented_keys()
    assert set(found) == {key for key in keys() if not key.endswith("._target_")}
    assert all((ROOT / doc.place.partition(":")[0]).is_file() for docs in found.values() for doc in docs)
    assert {"sampler", "sweep", "hydra/launcher"} <= set(groups())
    assert all(text for group in groups() for text in group_options(group).values() if group != "hydra/launcher")


def test_what_is_off_or_of_no_effect_is_said_as_the_run_id_has_it():
    effects = {key: docs[0].effect for key, docs in documented_keys().items()}
    assert {effects[key] for key in ("hardware.device", "paths.cache", "metrics.names", "hydra.launcher.wait")} == {
        "no"
    }
    assert {effects[key] for key in ("hardware.dtype", "sampler.seed", "speed.attention")} == {"yes"}


def test_the_allowed_values_are_what_the_rules_say():
    said = {key: usual(documented_keys()[key][0]).allowed for key in ("model.fps", "sampler.seed", "metrics.gate")}
    assert said == {"model.fps": ("1 to 120; nano was trained at 24",), "sampler.seed": (), "metrics.gate": ()}


def test_no_network_is_loaded(tmp_path: Path):
    code = "import sys; from cosmos_exp.cli.commands.explain import main; main(['sampler.guidance']); main(['psnr'])"
    code += "; print(*(name for name in ('torch', 'diffusers', 'wandb') if name in sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""
