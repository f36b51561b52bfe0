"""`cosmos-exp verify goldens|render FOLDER`: hold the networks or the renderer against reference data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cosmos_exp.cli.commands.parser import Parser


def command_line() -> Parser:
    parser = Parser("verify", "Check the code against a folder of golden data; exit status 0 only if all of it passes.")
    parser.choice(
        "what",
        ["goldens", "render"],
        "goldens: the networks, against golden tensors; render: HD map, LiDAR, projection, objects and novel poses, "
        "against frames and numbers of the RDS-HQ toolkit, or World Scenario maps, against frames of NVIDIA's renderer",
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path)
    return parser


def main(arguments: Sequence[str]) -> int:
    options = command_line().parse(arguments)
    check = _goldens if options.what == "goldens" else _render
    return 0 if check(options.folder) else 1


def _goldens(folder: Path) -> bool:
    from cosmos_exp.verify.networks import print_results, verify_goldens

    return print_results(verify_goldens(folder))


def _render(folder: Path) -> bool:
    from cosmos_exp.verify.check import print_checks
    from cosmos_exp.verify.condition_videos import verify_render

    return print_checks(verify_render(folder))
