"""Sweeps of which one run cannot be read: the others are shown all the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.sweep_folder import write_run, write_sweep

from cosmos_exp.cli.commands import compare
from cosmos_exp.cli.commands.status import find, overview
from cosmos_exp.common.console import Console
from cosmos_exp.common.errors import UserError
from cosmos_exp.runs.cost_history import Cost, History
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.runs.states import UNREADABLE
from cosmos_exp.runs.sweep_cells import read_cells, run_state
from cosmos_exp.sweeps.queue import SweepFolder

DAMAGE = {
    "status.json": b'{"state": "done", "run_id"',
    "config.yaml": b"captions:\n  styles: \xff\xfe",
    ".hydra/overrides.yaml": b"- +experiment=qui\x19  \xc3\n",
    "metrics.json": b"[1, 2]",
    "references.json": b'{"Night": 3}',
}


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return write_sweep(tmp_path / "gw")


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_costs_its_own_run_alone(name: str, sweep: Path, caplog) -> None:
    states = {cell.run: cell.state for cell in read_cells(sweep) if cell.run}
    damaged = next(run for run in states if states[run] == "done")
    (sweep / damaged / name).write_bytes(DAMAGE[name])
    cells = {cell.run: cell for cell in read_cells(sweep) if cell.run}
    assert {run: cell.state for run, cell in cells.items()} == states | {damaged: UNREADABLE}
    assert name in cells[damaged].error and name in caplog.text


def test_compare_writes_the_page_of_the_others(sweep: Path, capsys) -> None:
    (sweep / "0_0abc" / "status.json").write_text("{")
    for video in (sweep / "2_0abc").rglob("*.mp4"):
        video.write_bytes(b"no video")
    assert compare.main([str(sweep)]) == 0
    page = (sweep / "compare.html").read_text()
    assert (UNREADABLE in page and "is not valid JSON" in page) or "status.json" in page
    assert (sweep / "compare.png").is_file()


@pytest.mark.parametrize("value", ["NaN", "null", '"12"', "1e999", "true", "[3]"])
def test_a_metric_that_is_no_number_is_an_empty_value(value: str, tmp_path: Path, caplog) -> None:
    write_run(tmp_path / "a", [], metrics={"psnr": 20.0, "tse": 2.0})
    (tmp_path / "a" / "metrics.json").write_text(f'{{"Night": {{"psnr": {value}, "tse": 2.0}}}}')
    (cell,) = read_cells(tmp_path)
    assert cell.metrics == {"tse": 2.0}
    assert "psnr" in caplog.text
    assert compare.main([str(tmp_path)]) == 0


def test_keys_of_a_newer_version_are_left_out(sweep: Path) -> None:
    cell = RunFolder(sweep / "0_0abc")
    status = json.loads(cell.status.read_text())
    cell.status.write_text(json.dumps(status | {"priority": 1}))
    assert cell.read_status().state == status["state"]
    history = History(sweep)
    history.add(Cost("render", "", 1.0, 1, 2.0, 3))
    history.path.write_text(history.path.read_text().replace("{", '{"watts": 9, ', 1) + "[]\n3\n")
    assert [cost.seconds for cost in history.costs()] == [2.0]


@pytest.mark.parametrize(
    "values",
    [
        {"state": 3},
        {"pid": "x"},
        {"pid": -1},
        {"pid": 10**30},
        {"started": "yesterday"},
        {"started": "2026-01-01T00:00"},
    ],
)
def test_a_status_with_impossible_values_is_told(values: dict, sweep: Path) -> None:
    folder = RunFolder(sweep / "0_0abc")
    folder.status.write_text(json.dumps(json.loads(folder.status.read_text()) | values))
    with pytest.raises(UserError, match=rf"status\.json: {next(iter(values))}"):
        folder.read_status()
    assert run_state(folder)[0] == UNREADABLE


def test_the_queue_goes_on_past_a_cell_that_it_cannot_read(sweep: Path) -> None:
    (sweep / "0_0abc" / "status.json").write_text("nonsense")
    folder = SweepFolder(sweep)
    states = {path.name: status.state for path, status in folder.statuses().items()}
    assert states["0_0abc"] == UNREADABLE and "done" in states.values()
    assert folder.take("") is None
    console = Console(width=200, record=True)
    console.print(overview(find(sweep), {}, console))
    assert "1 unreadable" in console.export_text()


@pytest.mark.parametrize("text", ["", "5", "hydra: 5", "hydra: {sweep: {dir: x}}", "a: [", "hydra: ${nowhere}"])
def test_what_is_no_record_of_a_sweep_is_one_message(text: str, sweep: Path) -> None:
    (sweep / "multirun.yaml").write_text(text)
    with pytest.raises(UserError, match=r"multirun\.yaml"):
        _ = SweepFolder(sweep).config
