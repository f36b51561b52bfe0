from __future__ import annotations

import json

import pytest
from helpers.sweep_folder import CLIP, write_run, write_sweep

from cosmos_exp.common.errors import UserError
from cosmos_exp.runs.sweep_cells import axis_values, read_cells, read_overrides, sweep_cells


def test_cells_of_a_sweep_with_failures(tmp_path):
    cells = read_cells(write_sweep(tmp_path / "gw"))
    assert [cell.state for cell in cells] == ["done", "failed", "done", "killed", "done", "missing"]
    assert [tuple(cell.axes.values()) for cell in cells] == [(1, 6), (1, 12), (3, 6), (3, 12), (5, 6), (5, 12)]
    assert axis_values(cells) == {"sampler.guidance": [1, 3, 5], "sampler.num_steps": [6, 12]}
    assert cells[1].error == "the video is black"
    assert cells[3].error == "during single_view"
    assert cells[2].metrics["tse"] == pytest.approx(1 / 3)
    assert cells[2].prompt == "A street. <b>Night</b>."
    assert cells[2].videos["grid"] == tmp_path / "gw" / "2_0abc" / "multi_view" / f"{CLIP}_Night" / "grid.mp4"
    assert {"single view", "rear_tele_30fov", "control hdmap"} <= set(cells[0].videos)
    assert cells[5].videos == {} and cells[5].run == ""


def test_a_row_has_the_references_and_the_place_between_them(tmp_path):
    write_run(tmp_path / "a", [], metrics={"psnr": 20.0, "tse": 2.0, "flicker": 3.0})
    references = {
        "psnr": {"ceiling": 99.0, "floor": 10.0},
        "tse": {"ceiling": 0.5, "floor": 4.5},
        "flicker": {"floor": 8.0},
    }
    (tmp_path / "a" / "references.json").write_text(json.dumps({"Night": references}))
    write_run(tmp_path / "b", ["sampler.guidance=5"], metrics={"psnr": 21.0})
    with_references, without = read_cells(tmp_path)
    row = with_references.row()
    assert (row["ceiling/psnr"], row["floor/psnr"]) == (99.0, 10.0)
    assert row["normalised/psnr"] == pytest.approx(10 / 89)
    assert row["normalised/tse"] == pytest.approx(0.625), "down is better: the ceiling is the lower value"
    assert "normalised/flicker" not in row and row["floor/flicker"] == 8.0
    assert not any("/" in key for key in without.row())


def test_every_style_is_a_cell(tmp_path):
    cells = read_cells(write_sweep(tmp_path / "gw", styles=("Golden hour", "Night")))
    assert axis_values(cells)["style"] == ["Golden hour", "Night"]
    assert len(cells) == 12
    assert [cell.axes["style"] for cell in cells if cell.state == "missing"] == ["Golden hour", "Night"]


def test_swept_style_lists_become_the_style_axis(tmp_path):
    for style in ("Night", "Foggy"):
        write_run(tmp_path / style, [f"captions.styles=[{style}]"], styles=(style,))
    cells = read_cells(tmp_path)
    assert axis_values(cells) == {"style": ["Foggy", "Night"]}


def test_an_axis_that_one_run_leaves_at_its_default(tmp_path):
    write_run(tmp_path / "a", [])
    write_run(tmp_path / "b", ["sampler.guidance=5"])
    assert [cell.axes for cell in read_cells(tmp_path)] == [{"sampler.guidance": 3}, {"sampler.guidance": 5}]


def test_runs_are_ordered_by_number(tmp_path):
    for number in (10, 9, 1):
        write_run(tmp_path / f"{number}_ab", [f"scene.seed={number}"])
    assert [cell.run for cell in read_cells(tmp_path)] == ["1_ab", "9_ab", "10_ab"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("3.0", 3), ("0.5", 0.5), ("1e-3", 0.001), ("-2.5e2", -250), ("Night", "Night"), ("1e3x", "1e3x")],
)
def test_overrides_that_are_numbers_are_read_as_numbers(tmp_path, text, value):
    write_run(tmp_path, [f"sampler.sigma_min={text}"])
    read = read_overrides(tmp_path)["sampler.sigma_min"]
    assert (read, type(read)) == (value, type(value))


def test_a_single_run_is_one_cell_without_axes(tmp_path):
    write_run(tmp_path / "run", ["sampler.guidance=5"])
    (cell,) = read_cells(tmp_path / "run")
    assert (cell.run, cell.axes, cell.state) == (".", {}, "done")


def test_a_folder_without_a_status_is_no_run(tmp_path):
    write_run(tmp_path / "run", [])
    write_run(tmp_path / "refused", ["sampler.num_steps=-1"])
    (tmp_path / "refused" / "status.json").unlink()
    assert [cell.run for cell in read_cells(tmp_path)] == ["run"]


def test_a_list_or_mapping_of_the_config_reads_as_its_override(tmp_path):
    write_run(tmp_path / "a", [])
    write_run(tmp_path / "b", ["captions.styles=[Rainy]", "controls.hdmap={weight:0.5}"], styles=("Rainy",))
    cells = {cell.run: cell.axes for cell in read_cells(tmp_path)}
    assert cells["b"]["controls.hdmap"] == "{weight:0.5}"
    assert cells["a"]["controls.hdmap"] == "{weight:1.0}"


def test_cells_a_sweep_asks_for(tmp_path):
    (tmp_path / "multirun.yaml").write_text(
        "hydra: {overrides: {task: ['a=range(1,3)', '+b=x,y', sweep_name=s]}, sweeper: {params: {c: '7,8'}}}"
    )
    cells = sweep_cells(tmp_path)
    assert len(cells) == 8
    assert {"c": 7, "a": 1, "b": "x"} in cells


def test_no_folder_and_no_runs(tmp_path):
    with pytest.raises(UserError, match="no folder at"):
        read_cells(tmp_path / "gone")
    with pytest.raises(UserError, match="no run folders in"):
        read_cells(tmp_path)
