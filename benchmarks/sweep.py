"""What a sweep saves: its CPU time against that of as many separate runs, each from an empty cache.

`python -m benchmarks.sweep [OVERRIDE ...]` runs +sweep=guidance_x_weight and then its 12 cells one by one, with these
overrides. CPU seconds are user and system time of every process of a command, those that outlive it included.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cosmos_exp.runs.sweep_cells import find_runs, read_overrides

SWEEP = "guidance_x_weight"
SAMPLING = ("single_view", "multi_view")  # the stages that sample and decode
PR_SET_CHILD_SUBREAPER = 36


def cpu_seconds(*arguments: str) -> float:
    """Of one `cosmos-exp` command and all its descendants."""
    before = os.times()
    line = [sys.executable, "-m", "cosmos_exp", *arguments]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_for_orphans()
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def _wait_for_orphans() -> None:
    """W&B's own process ends after the one that started it."""
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def run(overrides: Sequence[str] = ()) -> list[dict[str, object]]:
    """Rows of {what, value, unit}."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        cpu_seconds(
            "+experiment=quick", f"paths.outputs={root}/first", *overrides
        )  # compiles, if this is the first run
        together = cpu_seconds(f"+sweep={SWEEP}", f"paths.outputs={root}/sweep", *overrides)
        cells = find_runs(root / "sweep")
        alone = []
        for cell in cells:
            place = {"paths.outputs": str(root / cell.name), "name": "alone", "views": "single"}
            alone.append(cpu_seconds(*(f"{key}={value}" for key, value in (read_overrides(cell) | place).items())))
        same = sum(_metrics(cell) == _metrics(root / cell.name / "runs" / "alone") for cell in cells)
        spent = [json.loads((cell / "status.json").read_text())["cpu_seconds"] for cell in cells]
    sampling = [sum(seconds.get(stage, 0.0) for stage in SAMPLING) for seconds in spent]
    warm = sum(sum(seconds.values()) for seconds in spent[1:])
    return [
        row(f"{len(cells)} cells as one sweep, CPU", together, "s"),
        row(f"{len(cells)} cells as runs of their own, CPU", sum(alone), "s"),
        row("ratio", sum(alone) / together, "x"),
        row("cells with the same metrics both ways", same, ""),
        row("sampling and decoding, all cells, CPU", sum(sampling), "s"),
        row("outside of these, whole sweep", 100 * (1 - sum(sampling) / together), "%"),
        row("outside of these, stages of the cells after the first", 100 * (1 - sum(sampling[1:]) / warm), "%"),
    ]


def _metrics(run_folder: Path) -> dict:
    return json.loads((run_folder / "metrics.json").read_text())


def row(what: str, value: float, unit: str) -> dict[str, object]:
    return {"what": what, "value": value, "unit": unit}


def main(overrides: Sequence[str] = ()) -> None:
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    print(f"a sweep against separate runs; threads: {threads}, load average {os.getloadavg()[0]:.1f}")
    for entry in run(overrides):
        print(f"{entry['value']:9.1f} {entry['unit']:2} {entry['what']}")


if __name__ == "__main__":
    main(sys.argv[1:])
