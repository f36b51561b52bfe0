"""The multirun of the command, from Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cosmos_exp.runs.load import Sweep, load_sweep


def sweep(overrides: Sequence[str], *, config_dir: Path | str | None = None) -> Sweep:
    """Run every combination of the comma-separated values, as `cosmos-exp -m OVERRIDE ...` does, and read the result.

    Cells run in processes of their own, on this machine or on Slurm as `hydra/launcher` says. Raises UserError for a
    mistake before any work, and where cells failed; those that are done are in the folder that its message names.
    """
    from cosmos_exp.cli.main import run
    from cosmos_exp.sweeps.compose_cells import compose_multirun

    own = ["--config-dir", str(config_dir)] if config_dir else []
    folder = compose_multirun(list(overrides), Path(config_dir) if config_dir else None).hydra.sweep.dir
    run(["--multirun", *own, *overrides])
    return load_sweep(folder)
