"""The time limit of a Slurm job, from the measured cost of such results."""

from __future__ import annotations

import math
from collections.abc import Sequence

from omegaconf import DictConfig

UNKNOWN = 240
"""Minutes, where the cost of a result was never measured."""
LEAST = 30
"""Minutes. A preemption of a shorter job looks to submitit like its time limit."""
START = 300.0
"""Seconds for imports and for reading a large model."""
MARGIN = 1.5


def job_minutes(configs: Sequence[DictConfig], cells: int) -> tuple[int, str]:
    """(minutes for a worker that takes the longest cells, where they are from).

    configs: of the cells known so far. cells: how many a worker takes; the known ones stand for any others.
    """
    from cosmos_exp.sweeps.plan import make_plan

    plan = make_plan(configs)
    seconds = []
    for cell in plan.cells:
        needed = [wanted for wanted in (*cell.wanted.values(), cell.rest) if not wanted.cached]
        known = [estimate.seconds for wanted in needed if (estimate := plan.estimate(wanted))]
        if len(known) < len(needed):
            return UNKNOWN, "nothing like it was measured"
        seconds.append(sum(known))
    longest_cells = sorted(seconds)[-cells:]
    longest = sum(longest_cells) * cells / len(longest_cells)
    return max(LEAST, math.ceil(MARGIN * (START + longest) / 60)), f"{longest / 60:.1f} min of work expected"
