"""The main job on the embedded default: wall time by stage, the cached re-run, and `--help`.

python -m benchmarks.demo [OVERRIDE ...]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

HELP_REPEATS = 5


def command(*arguments: str, cwd: str | Path) -> float:
    """Seconds of one `cosmos-exp` command, from start to exit."""
    started = time.perf_counter()
    line = [sys.executable, "-m", "cosmos_exp", *arguments]
    subprocess.run(line, cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def run(overrides: Sequence[str] = ()) -> list[dict[str, object]]:
    """One row per measurement: what, seconds. The first run starts with an empty cache, in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [row("--help, least of several", min(command("--help", cwd=folder) for _ in range(HELP_REPEATS)))]
        rows += _timed(Path(folder), "first run", overrides)
        rows += _timed(Path(folder), "cached re-run", overrides)
    return rows


def _timed(folder: Path, what: str, overrides: Sequence[str]) -> list[dict[str, object]]:
    seconds = command("name=demo", *overrides, cwd=folder)
    status = json.loads((folder / "outputs" / "runs" / "demo" / "status.json").read_text())
    stages = [row(f"{what}: {stage}", spent) for stage, spent in status["seconds"].items()]
    return [*stages, row(f"{what}: whole command", seconds)]


def row(what: str, seconds: float) -> dict[str, object]:
    return {"what": what, "seconds": seconds}


def main(overrides: Sequence[str] = ()) -> None:
    print("seconds of the main job on the embedded default")
    for entry in run(overrides):
        print(f"{entry['what']:<40} {entry['seconds']:>8.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
