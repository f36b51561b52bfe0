"""Golden tensors of Cosmos-Transfer2.5: all pass, and the mistakes that look plausible do not."""

from __future__ import annotations

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from cosmos_exp.common.errors import UserError
from cosmos_exp.verify.networks import print_results, verify_goldens


@pytest.fixture(scope="module")
def goldens(shared):
    return shared / "t25" / "goldens"


def one_case(goldens, folder, name, **settings):
    """A folder with one case, some settings of its net changed."""
    description = json.loads((goldens / f"{name}.json").read_text())
    description["config"]["net"] |= settings
    (folder / f"{name}.json").write_text(json.dumps(description))
    for file in (f"{name}.safetensors", *description["weights"].values()):
        shutil.copy(goldens / file, folder / file)
    return folder


def failing(folder):
    return {result.compared for result in verify_goldens(folder) if not result.passed}


def test_every_golden_passes(goldens):
    lines = []
    results = verify_goldens(goldens)
    assert print_results(results, lines.append), "\n".join(line for line in lines if "FAIL" in line)
    assert {result.case for result in results} == set(json.loads((goldens / "manifest.json").read_text())["cases"])


@pytest.mark.parametrize(
    ("case", "settings"),
    [
        ("mv_control_2views", {"rope_t_extrapolation_ratio": 1.0}),
        ("mv_control_ids", {"rope_h_extrapolation_ratio": 1.0}),
        ("traj_mv_i2w", {"rope_w_extrapolation_ratio": 1.0}),
    ],
)
def test_a_wrong_rotary_ratio_fails(goldens, tmp_path, case, settings):
    found = failing(one_case(goldens, tmp_path, case, **settings))
    assert found & {"out.velocity", "out.final"}


def test_the_rows_of_the_views_matter(goldens, tmp_path):
    folder = one_case(goldens, tmp_path, "mv_control_ids")
    path = folder / "mv_control_ids.safetensors"
    tensors = load_file(path)
    save_file({name: value for name, value in tensors.items() if name != "in.view_ids"}, path)
    assert "out.velocity" in failing(folder)


def test_a_missing_and_an_unknown_weight_are_named(goldens, tmp_path):
    folder = one_case(goldens, tmp_path, "mv_control_2views")
    path = folder / "weights_mv.safetensors"
    weights = load_file(path)
    bias = weights.pop("control_blocks.1.after_proj.bias")
    save_file(weights | {"control_blocks.2.after_proj.bias": bias}, path)
    with pytest.raises(UserError) as raised:
        verify_goldens(folder)
    assert "missing: controls.wsm.after_proj.1.bias" in str(raised.value)
    assert "not expected: controls.wsm.after_proj.2.bias" in str(raised.value)
