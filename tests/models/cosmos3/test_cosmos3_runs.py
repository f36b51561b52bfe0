"""A whole run of `model=cosmos3_auto`, and what is known of it before."""

from __future__ import annotations

import json
from pathlib import Path

from helpers.cosmos3_bound import VIEWS, configured
from helpers.videos import numbered

from cosmos_exp.common.video import read_video, write_video
from cosmos_exp.pipeline.run import run
from cosmos_exp.runs.states import DONE
from cosmos_exp.sweeps.plan import make_plan

FRAMES = 14  # three chunks of 9, on the last 5 frames of the one before


def test_a_run_makes_every_view_and_its_requests_are_planned(server, tmp_path: Path, caplog):
    maps = tmp_path / "maps"
    for view in VIEWS:
        write_video(maps / f"{view}.mp4", numbered(FRAMES, 120, 208), 30)
    own = (
        *(f"model.num_frames={FRAMES}", "model.chunk_frames=9", f"controls.wsm.file={maps}"),
        *("previews=none", "previews.controls=used", "metrics.names=[psnr]", "metrics.references=false"),
        *(f"paths.outputs={tmp_path}", f"paths.cache={tmp_path / 'cache'}"),
    )
    config = configured(server.url, *own)
    plan = make_plan([config])
    (before,) = [stage for stage in plan.stages if stage.stage == "generate"]
    (note,) = plan.cost_notes
    assert "is 3 requests, one after the other," in note and "2 views of 9 frames of 208x120, 70 passes" in note
    assert "2 to 4 uploads" in note
    assert (before.to_make, before.seconds) == (3, None) and server.calls == []
    status = run(config, tmp_path / "run")
    assert status.state == DONE and status.misses["generate"] == 3
    assert "which does not tell its weights" in caplog.text
    (folder,) = (tmp_path / "run" / "multi_view").iterdir()
    assert {read_video(folder / f"{n}.mp4").shape for n in range(len(VIEWS))} == {(FRAMES, 120, 208, 3)}
    assert {f"psnr/{view}" for view in VIEWS} <= json.loads((tmp_path / "run/metrics.json").read_text())["Sunny"].keys()
    for job in server.submitted:
        for view in job.extra["multiview"]["views"]:
            assert "facing" not in view["prompt"] and view["prompt"]
    other = configured(server.url, *own, "sampler.seed=1")
    (after,) = [stage for stage in make_plan([config, other]).stages if stage.stage == "generate"]
    assert (after.cached, after.to_make) == (3, 3) and after.seconds and after.seconds > 0
