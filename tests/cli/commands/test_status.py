"""`cosmos-exp status`: tables that fit a terminal, whole lines in a pipe, time left; sweeps, searches, runs."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from io import StringIO
from pathlib import Path

import pytest
from helpers.sweep_folder import write_run, write_sweep
from rich.console import Console

from cosmos_exp.cli.commands.status import find, main, overview
from cosmos_exp.common.errors import UserError


def ago(seconds: float) -> str:
    return (datetime.now(timezone.utc) - timedelta(seconds=seconds)).isoformat(timespec="seconds")


def shown(folder: Path, width: int | None) -> list[str]:
    """The lines for a terminal of so many characters, or for a pipe."""
    console = Console(file=StringIO(), force_terminal=width is not None, width=width or 80, color_system=None)
    console.print(overview(find(folder), {}, console), soft_wrap=width is None)
    return [line.rstrip() for line in console.file.getvalue().splitlines() if line.strip()]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return write_sweep(tmp_path / "guidance")


def test_in_a_pipe_every_cell_is_one_whole_line(sweep: Path) -> None:
    lines = shown(sweep, None)
    assert lines[0].split() == ["cell", "guidance", "num_steps", "state", "stage", "time", "where"]
    assert [line.split()[:4] for line in lines[2:7]] == [
        ["0_0abc", "1", "6", "done"],
        ["1_0abc", "1", "12", "failed"],
        ["2_0abc", "3", "6", "done"],
        ["3_0abc", "3", "12", "killed"],
        ["4_0abc", "5", "6", "done"],
    ]
    assert lines[7] == "5 cells: 3 done, 1 killed, 1 failed, 1 never begun"
    assert "  1_0abc: failed the video is black" in lines


@pytest.mark.parametrize(("width", "columns"), [(80, 5), (44, 3), (24, 2)])
def test_a_narrow_terminal_gets_the_columns_that_fit(sweep: Path, width: int, columns: int) -> None:
    lines = shown(sweep, width)[:7]
    assert max(map(len, lines)) < width
    assert len(lines[0].split()) >= columns
    assert {"cell", "state"} <= set(lines[0].split()), "which and how come first"
    assert "…" not in "".join(lines)


def test_time_left_follows_from_the_cells_that_are_done(tmp_path: Path) -> None:
    (tmp_path / "multirun.yaml").write_text("{}")
    for number in range(2):
        write_run(tmp_path / f"{number}_abc", [], state="done", started=ago(1000), updated=ago(400))
    write_run(tmp_path / "2_abc", [], state="running", started=ago(0), updated=ago(0))
    for number in range(3, 6):
        write_run(tmp_path / f"{number}_abc", [], state="queued")
    assert "about 40 min left" in shown(tmp_path, 80), "four cells of ten minutes, one at a time"


def test_a_run_and_a_folder_of_runs(tmp_path: Path) -> None:
    step = dict(stage="single_view", step="5/20", seconds={"render": 60.0})
    write_run(tmp_path / "runs" / "street", [], state="running", started=ago(160), updated=ago(0), **step)
    write_run(tmp_path / "runs" / "night", [], state="done")
    lines = shown(tmp_path / "runs" / "street", 80)
    assert lines[2].split()[:4] == ["street", "running", "single_view", "5/20"]
    assert lines[3:] == ["1 run: 1 running", "about 5 min left"]
    assert "2 runs: 1 done, 1 running" in shown(tmp_path / "runs", 80)


def test_a_search_shows_its_objective_and_the_best_trial(tmp_path: Path) -> None:
    (tmp_path / "multirun.yaml").write_text("{}")
    (tmp_path / "search.json").write_text(json.dumps({"objectives": ["edge_f1"], "axes": {"sampler.guidance": {}}}))
    for number, value in enumerate([0.25, 0.75]):
        write_run(tmp_path / f"{number}_abc", [f"sampler.guidance={number}"], metrics={"edge_f1": value})
    lines = shown(tmp_path, 80)
    assert lines[0].split()[0] == "trial" and lines[3].split()[-1] == "0.75"
    assert lines[4:] == ["2 trials: 2 done", "best so far: 1_abc, edge_f1 0.75"]


def test_brackets_in_names_are_no_markup(tmp_path: Path) -> None:
    write_run(tmp_path / "[red]a[/red]", [])
    assert "[red]a[/red]" in shown(tmp_path, None)[2]


def test_json_names_every_cell(sweep: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(sweep), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["cell"], row["state"]) for row in rows][:2] == [("0_0abc", "done"), ("1_0abc", "failed")]


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"of no sweep and of no run: it holds no multirun.yaml and no status.json"):
        find(tmp_path)
