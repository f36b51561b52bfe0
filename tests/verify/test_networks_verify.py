"""Golden folders: all of the reference's pass, wrong networks and broken folders do not."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from cosmos_exp.common.errors import UserError
from cosmos_exp.verify.goldens import GoldenResult, relative_error
from cosmos_exp.verify.networks import print_results, verify_goldens


@pytest.fixture(scope="module")
def goldens(shared):
    return shared / "parity" / "goldens"


def one_case(goldens, folder, name, **settings):
    """A folder with one case, its network settings changed."""
    description = json.loads((goldens / f"{name}.json").read_text())
    for path, value in settings.items():
        part, key = path.split("__")
        description["config"][part][key] = value
    (folder / f"{name}.json").write_text(json.dumps(description))
    weights = description["weights"]
    for file in [f"{name}.safetensors", weights["base"], *weights.get("control", [])]:
        shutil.copy(goldens / file, folder / file)
    return folder


def failing(results):
    return {r.compared for r in results if not r.passed}


def test_every_golden_passes(goldens):
    lines = []
    results = verify_goldens(goldens)
    assert print_results(results, lines.append), "\n".join(line for line in lines if "FAIL" in line)
    manifest = json.loads((goldens / "manifest.json").read_text())
    assert {r.case for r in results} == set(manifest["cases"])
    for name in manifest["cases"]:
        recorded = [k for k in load_file(goldens / f"{name}.safetensors") if k.startswith(("out.", "mid."))]
        assert set(recorded) <= {r.compared for r in results if r.case == name}
    assert lines[-1].startswith(f"{len(manifest['cases'])} of {len(manifest['cases'])} cases pass")


@pytest.mark.parametrize(
    ("case", "settings"),
    [
        ("base_v2w", {"base__rope_t_extrapolation_ratio": 1.0}),
        ("ctrl_v2w_single", {"control__rope_t_extrapolation_ratio": 2.0}),
        ("mv_base", {"base__extra_per_block_abs_pos_emb_type": "sincos", "base__rope_h_extrapolation_ratio": 1.1}),
    ],
)
def test_a_wrong_setting_fails(goldens, tmp_path, case, settings):
    assert "out.x" in failing(verify_goldens(one_case(goldens, tmp_path, case, **settings)))


def test_a_wrong_weight_fails_and_a_missing_one_is_named(goldens, tmp_path):
    folder = one_case(goldens, tmp_path, "mv_ctrl_single")
    path = folder / "weights_mv_base.safetensors"
    weights = load_file(path)
    bias = weights["repeat_frame_embedding.bias"]
    save_file(weights | {"repeat_frame_embedding.bias": torch.zeros_like(bias)}, path)
    assert "out.x" in failing(verify_goldens(folder))
    del weights["repeat_frame_embedding.bias"]
    save_file(weights, path)
    with pytest.raises(UserError, match=r"missing: view_embed\.frame_repeat\.bias"):
        verify_goldens(folder)


def test_folders_without_cases(tmp_path):
    with pytest.raises(UserError, match="not found"):
        verify_goldens(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no golden cases"):
        verify_goldens(tmp_path)


def test_damaged_folders(goldens, tmp_path):
    folder = one_case(goldens, tmp_path, "base_t2w")
    tensors = folder / "base_t2w.safetensors"
    whole = tensors.read_bytes()

    tensors.write_bytes(whole[:-100])
    with pytest.raises(UserError, match="cannot be read"):
        verify_goldens(folder)

    tensors.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    digests = json.loads((goldens / "manifest.json").read_text())["sha256"]
    (folder / "manifest.json").write_text(json.dumps({"sha256": {tensors.name: digests[tensors.name]}}))
    with pytest.raises(UserError, match="corrupt"):
        verify_goldens(folder)

    (folder / "manifest.json").write_text(json.dumps({"cases": ["base_t2w", "absent"]}))
    with pytest.raises(UserError, match=r"absent\.json"):
        verify_goldens(folder)

    (folder / "manifest.json").unlink()
    tensors.write_bytes(whole)
    (folder / "base_t2w.json").write_text('{"kind": "baze"}')
    with pytest.raises(UserError, match="did you mean 'base'"):
        verify_goldens(folder)
    (folder / "base_t2w.json").write_text("{}")
    with pytest.raises(UserError, match="no kind"):
        verify_goldens(folder)


def test_recorded_values_that_nothing_compares(goldens, tmp_path):
    folder = one_case(goldens, tmp_path, "base_t2w")
    path = folder / "base_t2w.safetensors"
    save_file(load_file(path) | {"out.unheard_of": torch.zeros(1)}, path)
    with pytest.raises(UserError, match=r"out\.unheard_of"):
        verify_goldens(folder)


def test_errors_that_never_pass():
    assert relative_error(torch.ones(2), torch.ones(3)) == float("inf")
    assert not GoldenResult("case", "out", relative_error(torch.full((2,), float("nan")), torch.ones(2)), 1.0).passed
    assert relative_error(torch.tensor([1.1, 0.0]), torch.tensor([1.0, 0.0])) == pytest.approx(0.1)
    lines = []
    assert not print_results([GoldenResult("a", "x", 0.0, 1.0), GoldenResult("b", "y", 2.0, 1.0)], lines.append)
    assert lines[0].endswith("PASS") and lines[1].endswith("FAIL") and lines[2].startswith("1 of 2 cases pass")
