"""`python -m benchmarks.transfer25 --tiny`: every part ends, and its rows are in a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from helpers import clipgt_writer as w

from benchmarks import transfer25, transfer25_parts, world_scenario
from cosmos_exp.models.kernels.speed import Speed


@pytest.fixture
def run_part(tmp_path, monkeypatch):
    """A function: runs a part in this process, returns its rows by what they are of."""

    def run(part, *options):
        monkeypatch.setattr(sys, "argv", ["transfer25", part, str(tmp_path), "--tiny", "--device=cpu", *options])
        transfer25.main()
        found = json.loads((tmp_path / f"{part}.json").read_text())
        return {row["what"]: row for row in found["rows"]}

    return run


def test_the_tokens_of_seven_views_and_their_work():
    size = transfer25_parts.ClipSize.of(transfer25_parts.model_config(tiny=False))
    assert size.tokens == 201_600 and "= 201600 tokens" in size.derivation()
    work = size.work(passes=2)
    assert work["attention"] == pytest.approx(64 * 4 * 201_600 * (201_600 + 512) * 2048)
    assert work["linears"] == pytest.approx(64 * 2 * 201_600 * 14 * 2048**2)
    both = size.seconds(2, "cuda", Speed("fp8", "fp8"))
    assert both < size.seconds(2, "cuda", Speed("fp8")) < size.seconds(2, "cuda")


def test_evaluations_agree_with_diffusers_blocks(run_part, capsys):
    rows = run_part("evaluation")
    assert "evaluation: about" in capsys.readouterr().out
    assert not [row for row in rows.values() if "error" in row]
    assert rows["exact, guided, against diffusers' blocks"]["difference"] < 1e-5
    assert rows["exact, conditional pass alone"]["difference"] < 1e-5
    for eight in ("fp8 attention, conditional pass alone", "fp8 both, guided", "fp8 linears, conditional pass alone"):
        assert 1e-4 < rows[eight]["difference"] < 0.2, eight
    assert rows["35 steps, exact, guidance in all levels"]["guided"] == 35
    assert rows["35 steps, exact, guidance in (1.0, 10.0)"]["guided"] == 18


def test_memory_goes_through_every_preset(run_part):
    rows = run_part("memory")
    assert len(rows) == 3 * 4 and not [row for row in rows.values() if row["error"]]
    assert "gpu_24gb: all views, guided evaluation" in rows


def test_processes_alone_and_together(tmp_path):
    """In a process of its own: one has a single default group, and other tests may have it."""
    of_one = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    command = [sys.executable, "-m", "benchmarks.transfer25", "processes", str(tmp_path), "--tiny", "--device=cpu"]
    subprocess.run(command, env=os.environ | of_one, check=True, capture_output=True)
    rows = {row["what"]: row for row in json.loads((tmp_path / "processes.json").read_text())["rows"]}
    assert rows["1 processes, guidance 3"]["difference"] < 1e-6
    assert {"one process, guidance 3", "one process, guidance 0"} < set(rows)


@pytest.mark.slow
def test_a_whole_run_in_two_chunks(run_part):
    rows = run_part("pipeline")
    assert rows["the command"]["exit_code"] == 0
    assert rows["results of multi_view"]["number"] == 2 and rows["results of hints"]["number"] == 14
    assert len([name for name in rows if name.startswith("multi_view/") and name.endswith(".mp4")]) == 8


def test_parts_that_would_not_end_in_time_are_left_out(tmp_path, capsys):
    place = transfer25.Place(tmp_path, True, "cpu")
    assert transfer25.run_all(place, ["evaluation", "memory"], most_seconds=0.0) == 0
    assert capsys.readouterr().out.count("left out") == 2 and not list(tmp_path.iterdir())


@pytest.fixture
def clip(tmp_path):
    """A ClipGT clip of lines, an area, a pole and a box."""
    road = [(x, y, 0.0) for y in (-4.0, 4.0) for x in range(-10, 90, 20)]
    rows = {
        "lane_line": [{"line_rail": w.points(*road[:5]), "colors": ["WHITE"], "styles": ["LONG_DASHED_SINGLE"]}],
        "road_boundary": [{"location": w.points(*road[5:])}],
        "crosswalk": [{"location": w.points((15, -4, 0.01), (18, -4, 0.02), (18, 4, 0.0), (15, 4, 0.03))}],
        "pole": [{"location": w.points((20, 5, 0), (20, 5, 4))}],
        "obstacle": w.obstacle_rows("car", "automobile", 25.0, 1.0),
    }
    return w.write_clip(tmp_path / "clip", **rows)


def test_opengl_draws_the_same_maps(clip):
    rows = {row["mode"]: row for row in world_scenario.run(clip, 1, 2, gl=True)}
    assert rows["--reference-compat"]["frames"] == world_scenario.VIEWS
    if "error" in rows["OpenGL"]:
        pytest.skip(rows["OpenGL"]["error"])
    assert rows["OpenGL"]["psnr"] > 45


def test_without_opengl_it_says_what_is_missing(clip, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "moderngl", None)
    row = world_scenario.run(clip, 1, 2, gl=True)[-1]
    assert "pip install moderngl" in row["error"] and "left out" in capsys.readouterr().out
