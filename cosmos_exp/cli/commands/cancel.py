"""`cosmos-exp cancel SWEEP_FOLDER`: ends a sweep, wherever its workers run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cosmos_exp.cli.commands.parser import Parser


def command_line() -> Parser:
    parser = Parser("cancel", "Take the waiting cells of a sweep out of its queue, and ask the running ones to stop.")
    parser.add_argument("folder", metavar="SWEEP_FOLDER", type=Path)
    return parser


def main(arguments: Sequence[str]) -> int:
    from cosmos_exp.sweeps import slurm
    from cosmos_exp.sweeps.queue import SweepFolder

    sweep = SweepFolder(command_line().parse(arguments).folder)
    waiting, working = sweep.cancel()
    slurm.cancel_waiting(sweep.jobs())
    print(f"cells taken out of the queue: {waiting}; running and asked to stop: {working}")
    return 0
