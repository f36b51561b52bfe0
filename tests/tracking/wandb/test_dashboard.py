"""The built spec of the W&B workspace; that W&B takes and shows it needs an account."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from helpers.sweep_folder import write_sweep
from helpers.wandb_server import wandb_server

from cosmos_exp.cli.main import _dispatch
from cosmos_exp.common.errors import UserError
from cosmos_exp.tracking.wandb.file import read_run, run_files
from cosmos_exp.tracking.wandb.sync import sync

needs_workspaces = pytest.mark.skipif(
    "not __import__('importlib.util').util.find_spec('wandb_workspaces')", reason="needs wandb-workspaces"
)


def sections(spec: dict) -> dict[str, list[dict]]:
    return {s["name"]: s["panels"] for s in spec["section"]["panelBankConfig"]["sections"]}


def values(panel: dict) -> set[str]:
    """Everything of the runs that a panel reads: `config:...`, `summary:...`, and media keys."""
    config = panel["config"]
    read = [c["accessor"] for c in config.get("columns", [])] + [config.get("xAxis"), config.get("yAxis")]
    read += [f"summary:{key}" for key in [*config.get("mediaKeys", []), *config.get("metrics", [])]]
    read += [f"config:{config['groupBy']}"] if "groupBy" in config else []
    return {value for value in read if value}


@needs_workspaces
def test_every_panel_reads_what_the_runs_hold(tmp_path):
    folder = write_sweep(tmp_path / "gw", styles=("Golden hour", "Night"))
    assert _dispatch(["dashboard", str(folder), "--entity", "team", "--spec", str(tmp_path / "spec.json")]) == 0
    spec = json.loads((tmp_path / "spec.json").read_text())
    panels = sections(spec)
    assert list(panels) == [
        "Parallel coordinates",
        "By sampler.guidance",
        "By sampler.num_steps",
        "Videos",
        "Table",
    ]
    (run_set,) = spec["section"]["runSets"]
    assert run_set["filters"]["filters"] == [
        {"key": {"section": "run", "name": "group"}, "op": "=", "value": "gw", "disabled": False}
    ]
    sync(folder)
    done = [run for run in map(read_run, run_files(folder)) if run.exit_code == 0]
    held = {f"config:axes.value.{key}" for key in done[0].config["axes"]} | {
        f"summary:{key}" for key in done[0].summary
    }
    read = set().union(*(values(panel) for name in list(panels)[:-1] for panel in panels[name]))
    assert read <= held
    assert {"config:axes.value.sampler_guidance", "summary:metrics/tse", "summary:videos/grid/Golden_hour"} <= read
    assert "comparison" in json.dumps(panels["Table"]) and "comparison" in done[0].summary
    assert {k for k in run_set["runFeed"]["columnPinned"] if not k.startswith("run:")} <= held
    parallel = panels["Parallel coordinates"][0]["config"]["columns"]
    assert [c.get("inverted") for c in parallel] == [None, None, True, None]  # TSE: lower is better


@needs_workspaces
def test_the_curves_of_frames_read_what_is_logged(tmp_path):
    folder = write_sweep(tmp_path / "gw", styles=("Golden hour", "Night"))
    frames = {"Golden hour": {"psnr": [20.0, 21.0]}, "Night": {"psnr": [22.0, 23.0], "flicker": [None, 3.0]}}
    (folder / "0_0abc" / "frames.json").write_text(json.dumps(frames))
    assert _dispatch(["dashboard", str(folder), "--entity", "team", "--spec", str(tmp_path / "spec.json")]) == 0
    psnr, flicker = sections(json.loads((tmp_path / "spec.json").read_text()))["By frame"]
    assert psnr["config"]["metrics"] == ["frames/Golden_hour/psnr", "frames/Night/psnr"]
    assert (flicker["config"]["xAxis"], flicker["config"]["metrics"]) == ("frame", ["frames/Night/flicker"])
    sync(folder)
    logged = {key for file in run_files(folder) for row in read_run(file).history for key in row}
    assert {key for panel in (psnr, flicker) for key in panel["config"]["metrics"]} <= logged


@needs_workspaces
def test_saving_sends_the_spec_to_the_server(tmp_path):
    folder = write_sweep(tmp_path / "gw")
    line = [sys.executable, "-m", "cosmos_exp", "dashboard", str(folder), "--entity", "team", "--project", "p"]
    with wandb_server() as server:
        environment = {**os.environ, **server.environment}
        done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        (view,) = server.views
        assert done.stdout.strip().startswith(f"{server.url}/team/p")
    assert (view["entityName"], view["projectName"], view["displayName"]) == ("team", "p", "gw comparison")
    assert "By sampler.guidance" in sections(json.loads(view["spec"]))


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    monkeypatch.setitem(sys.modules, "wandb_workspaces.reports.v2", None)
    with pytest.raises(UserError, match=r"cosmos-exp\[dashboard\]"):
        _dispatch(["dashboard", str(tmp_path), "--spec", str(tmp_path / "spec.json")])
