"""`cosmos-exp compare SWEEP_FOLDER`: the page that shows a sweep's cells side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cosmos_exp.callbacks import write_comparison
from cosmos_exp.commands.parser import Parser


def command_line() -> Parser:
    parser = Parser("compare", "Write the page that shows a sweep's cells side by side, and print where it is.")
    parser.add_argument("folder", metavar="SWEEP_FOLDER", type=Path)
    return parser


def main(arguments: Sequence[str]) -> int:
    print(write_comparison(command_line().parse(arguments).folder))
    return 0
