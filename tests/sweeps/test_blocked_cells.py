"""Cells that a guard stops: the others go on, nothing of the clip stays or is sent, and retry leaves them alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.guard_networks import PHOTOGRAPH, guard_weights
from helpers.sweep_at_work import Sweep

from cosmos_exp.common.video import read_video
from cosmos_exp.guardrails.faces import FaceGuard
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.runs.states import BLOCKED, DONE
from cosmos_exp.runs.sweep_cells import read_cells
from cosmos_exp.tracking.wandb.file import run_files

SHOWN = ("captions", "single_view", "multi_view", "metrics.json", "wandb", "labels")
"""In a run folder, what is of the clip."""


@pytest.fixture
def released(prepared_sweep: Sweep) -> Sweep:
    prepared_sweep.release()
    return prepared_sweep


def cells(sweep: Sweep) -> dict[int, RunFolder]:
    return {int(path.name.partition("_")[0]): RunFolder(path) for path in sweep.folder.glob("[0-9]*_*")}


def test_a_blocked_prompt_costs_its_cell_and_no_other(released: Sweep) -> None:
    sweep = released
    prompts = "captions.prompt='A quiet street.','A n4ked man in a street.','A red car.'"
    code, said = sweep.finish(sweep.start(prompts, "tracking=wandb"))
    assert (code, sweep.states()) == (2, {0: DONE, 1: BLOCKED, 2: DONE}), said
    assert "3 cells: 2 done, 1 blocked" in said and "retry" not in said
    assert "guardrails.words: the description: it has 'naked'" in sweep.statuses()[1].error
    blocked = cells(sweep)[1]
    assert [name for name in SHOWN if (blocked.path / name).exists()] == []
    record = json.loads(blocked.guardrails.read_text())
    assert record["blocked"] == sweep.statuses()[1].error and record["guards"]["words"]["entries"] > 100
    assert [bool(run_files(cell.path)) for _, cell in sorted(cells(sweep).items())] == [True, False, True]
    assert {cell.state for cell in read_cells(sweep.folder)} == {DONE, BLOCKED}
    assert '"blocked"' in (sweep.folder / "compare.html").read_text()
    assert sweep.run("retry", str(sweep.folder))[1].startswith("nothing to retry")
    assert "1 blocked" in sweep.run("status", str(sweep.folder), "--once")[1]
    assert "left out: it is blocked" in sweep.run("sync", str(sweep.folder))[1]
    passed = json.loads(cells(sweep)[0].guardrails.read_text())
    assert passed["blocked"] == "" and passed["texts"]["the prompt of Sunny"] == {"words": {"passed": True}}


def test_a_clip_with_unsafe_frames_is_removed_also_where_an_earlier_run_had_it(released: Sweep) -> None:
    """The threshold that every frame exceeds stands for unsafe frames, of which this repository has none."""
    sweep, guards = released, ("guardrails.safety=true", f"guardrails.weights={guard_weights()}")
    command = (*sweep.quick, "name=one", "tracking=wandb")
    code, said = sweep.run(*command, "guardrails=off")
    folder = RunFolder(sweep.cwd / "out" / "runs" / "one")
    assert code == 0 and folder.metrics.exists(), said
    code, said = sweep.run(*command, *guards, "guardrails.safety_threshold=1e-9")
    assert (code, folder.require_status().state) == (2, BLOCKED), said
    assert "guardrails.safety: Sunny/single view: 9 of 9 frames are unsafe" in said.replace("\n", " ")
    assert [name for name in SHOWN if (folder.path / name).exists()] == []
    code, said = sweep.run(*command, *guards)
    assert (code, folder.require_status().state) == (0, DONE), said
    assert folder.require_status().misses == {"guardrails": 1}, "the video itself was in the cache"
    judged = json.loads(folder.guardrails.read_text())["videos"]["Sunny/single view"]["safety"]
    (network,) = json.loads(folder.guardrails.read_text())["guards"]["files"]
    assert network == "open-nsfw.onnx" and judged["passed"] and 0 <= judged["highest_score"] < 0.5


def test_files_and_metrics_have_faces_pixelated(released: Sweep) -> None:
    sweep, weights = released, guard_weights()
    command = (*sweep.quick, f"model.picture={PHOTOGRAPH}", "tracking=disabled")
    guards = ("guardrails.faces=true", f"guardrails.weights={weights}")
    assert sweep.run(*command, "name=plain")[0] == 0
    code, said = sweep.run(*command, *guards, "name=guarded")
    assert code == 0, said
    plain, guarded = (RunFolder(sweep.cwd / "out" / "runs" / name) for name in ("plain", "guarded"))
    assert plain.require_status().run_id != guarded.require_status().run_id
    (video,), (same,) = (list((run.path / "single_view").glob("*.mp4")) for run in (guarded, plain))
    finder = FaceGuard(weights, 0.5, 20)
    assert all(finder.find(np.ascontiguousarray(frame)) for frame in read_video(same)[::4])
    assert not any(finder.find(np.ascontiguousarray(frame)) for frame in read_video(video)[::4])
    assert plain.read_metrics() != guarded.read_metrics()
    record = json.loads(guarded.guardrails.read_text())
    assert record["videos"]["Sunny/single view"]["faces"] == len(read_video(video))
    assert guarded.require_status().misses["guardrails"] == 2 and guarded.require_status().hits["generate"] == 1
    assert sweep.run("evaluate", str(guarded.path), "--metrics", "psnr")[0] == 0
