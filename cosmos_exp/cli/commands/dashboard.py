"""`cosmos-exp dashboard SWEEP_FOLDER`: the comparison of a sweep as a saved W&B workspace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.files import write_json


def command_line() -> Parser:
    parser = Parser("dashboard", "Save a W&B workspace that compares the cells of a sweep, and print its address.")
    parser.add_argument("folder", metavar="SWEEP_FOLDER", type=Path)
    parser.add_argument("--project", help="W&B project, in place of tracking.project of the runs")
    parser.add_argument("--entity", help="W&B user or team, in place of tracking.entity of the runs")
    parser.add_argument(
        "--spec", metavar="FILE", type=Path, help="write the workspace as JSON instead; needs no account"
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    from cosmos_exp.tracking.wandb import dashboard
    from cosmos_exp.tracking.wandb.upload import check_server

    options = command_line().parse(arguments)
    if not options.spec:
        check_server()
    workspace = dashboard.workspace(options.folder, project=options.project, entity=options.entity)
    if options.spec:
        write_json(options.spec, dashboard.spec(workspace))
        print(options.spec)
        return 0
    print(dashboard.save(workspace))
    return 0
