"""How long a Slurm job is asked for: from what such results have cost before."""

from __future__ import annotations

import math
from collections.abc import Sequence

from omegaconf import DictConfig

UNKNOWN = 240
"""Minutes where something was never measured."""
LEAST = 30
"""Minutes; a shorter job is one that submitit takes for one whose time is over when it is preempted."""
START = 300.0
"""Seconds for imports and for reading a large model."""
MARGIN = 1.5


def job_minutes(configs: Sequence[DictConfig], cells_per_job: int) -> tuple[int, str]:
    """Minutes for a worker that happens to take the longest cells, and how they were found."""
    from cosmos_exp.sweeps.plan import make_plan

    plan = make_plan(configs)
    seconds = []
    for cell in plan.cells:
        needed = [plan.estimate(wanted) for wanted in (*cell.wanted.values(), cell.rest) if not wanted.cached]
        if None in needed:
            return UNKNOWN, "nothing like it was measured"
        seconds.append(sum(estimate.seconds for estimate in needed))
    longest = sum(sorted(seconds)[-cells_per_job:])
    return max(LEAST, math.ceil(MARGIN * (START + longest) / 60)), f"{longest / 60:.1f} min of work expected"
