"""`cosmos-exp sync FOLDER`: run folders to W&B, from what lies on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cosmos_exp.cli.commands.parser import Parser


def command_line() -> Parser:
    parser = Parser(
        "sync",
        "Write the offline W&B run of every run folder in and below FOLDER, from what lies on disk, and with --online "
        "send to the server those that it has not had. A run keeps its id; what is there already is left alone.",
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path)
    parser.add_argument("--online", action="store_true", help="send the runs to the W&B server, each once")
    parser.add_argument("--project", help="W&B project, in place of tracking.project of each run")
    parser.add_argument("--entity", help="W&B user or team, in place of tracking.entity of each run")
    return parser


def main(arguments: Sequence[str]) -> int:
    from cosmos_exp.tracking.wandb.sync import sync

    options = command_line().parse(arguments)
    sync(options.folder, online=options.online, project=options.project, entity=options.entity, say=print)
    return 0
