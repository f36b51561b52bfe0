"""`cosmos-exp scene info LOG`: what a CARLA recorder log holds."""

from __future__ import annotations

import gc
from collections.abc import Sequence

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.files import json_text
from cosmos_exp.scene.carla.info import format_info, scene_info


def command_line() -> Parser:
    parser = Parser("scene", "What a CARLA recorder log holds: map, frames, duration, actors, ego.")
    parser.choice("action", ["info"], "print what the log holds")
    parser.add_argument("log", metavar="LOG", help="recorder file")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def main(arguments: Sequence[str]) -> int:
    options = command_line().parse(arguments)
    gc.disable()  # a log may hold millions of records, which it would go through again and again
    info = scene_info(options.log)
    print(json_text(info, indent=2) if options.json else format_info(info))
    return 0
