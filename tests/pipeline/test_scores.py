"""Metrics of several threads are those of one."""

from __future__ import annotations

import cosmos_exp as cx
from cosmos_exp.runs.run_folder import RunFolder

SMALL = ("views=single", "model=render", "model.num_frames=9", "previews=none", "tracking=disabled")


def test_the_number_of_threads_changes_no_metric(tmp_path) -> None:
    folders = []
    for threads in (1, 3):
        root = tmp_path / str(threads)
        overrides = [*SMALL, f"hardware.threads={threads}", f"paths.outputs={root}", f"paths.cache={root}/cache"]
        folders.append(RunFolder(cx.run(overrides, root / "run").path))
    for read in (RunFolder.read_metrics, RunFolder.read_references, RunFolder.read_frames):
        one, three = (read(folder) for folder in folders)
        assert one == three and one
