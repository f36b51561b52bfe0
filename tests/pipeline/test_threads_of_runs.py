"""The number of threads changes no result and no key."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cosmos_exp.pipeline.run import run
from cosmos_exp.runs.run_folder import RunFolder

SMALL = ("model.num_frames=9", "sampler.num_steps=1", "scene.num_vehicles=2", "captions.styles=[Night]")
LITTLE = ("previews=none", "metrics.names=[mask_miou]", "metrics.references=false")


@pytest.mark.parametrize("more", [(), ("views=single", "sampler.guidance=0")], ids=["six_views", "one_pass"])
def test_runs_with_other_numbers_of_threads_are_the_same_bit_for_bit(configure, more, tmp_path: Path) -> None:
    """Of six views, whose latents, guidance passes and videos are made side by side; and of a single pass."""
    records, keys = [], []
    for threads in (1, 3):
        to = tmp_path / str(threads)
        cfg = configure(
            *SMALL, *LITTLE, *more, "tracking=disabled", f"hardware.threads={threads}", f"paths.outputs={to}", "name=it"
        )
        run(cfg, to / "run")
        assert torch.get_num_threads() == 1
        records.append(RunFolder(to / "run").read_provenance())
        keys.append({path.parent.relative_to(to).as_posix() for path in (to / "cache").glob("*/*/_SUCCESS")})
        del records[-1]["written"]["config.yaml"]  # which says where it went
    one, three = records
    assert one["results"] == three["results"] and ("multi_view/Night" in one["results"]) == (not more)
    assert one["written"] == three["written"] and "metrics.json" in one["written"]
    assert keys[0] == keys[1]
    assert [record["machine"]["threads"] for record in records] == [1, 3]
