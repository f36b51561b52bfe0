"""`cosmos-exp verify goldens FOLDER`: hold the networks against golden tensors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cosmos_exp.commands.parser import Parser
from cosmos_exp.world.verify import print_results, verify_goldens


def command_line() -> Parser:
    parser = Parser("verify", "Check the code against a folder of golden data; exit status 0 only if all of it passes.")
    parser.choice("what", ["goldens"], "goldens: the networks, against golden tensors")
    parser.add_argument("folder", metavar="FOLDER", type=Path)
    return parser


def main(arguments: Sequence[str]) -> int:
    options = command_line().parse(arguments)
    return 0 if print_results(verify_goldens(options.folder)) else 1
