"""`cosmos-exp check-clip CLIP`: what a model that reads World Scenario maps will miss or mistake in a clip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError, unknown_name


def command_line() -> Parser:
    parser = Parser(
        "check-clip",
        "What a model that reads World Scenario maps will miss or mistake in a ClipGT or RDS-HQ clip: a line for each "
        "error, warning and note. The exit status is 1 where a clip has an error.",
    )
    parser.add_argument("clip", type=Path, metavar="CLIP", help="a ClipGT clip, a folder of them, or RDS-HQ")
    parser.add_argument("--clip", dest="name", metavar="ID", help="one clip; default: all")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def main(arguments: Sequence[str]) -> int:
    options = command_line().parse(arguments)
    from cosmos_exp.common.files import json_text
    from cosmos_exp.rendering.wsm.preflight import Finding, Severity, findings
    from cosmos_exp.rendering.wsm.sources import find_clips, open_source

    clips = find_clips(options.clip)
    if options.name is not None:
        if options.name not in clips:
            raise UserError(unknown_name(f"clip in {options.clip}", options.name, clips))
        clips = {options.name: clips[options.name]}
    found: dict[str, list[Finding]] = {}
    for name, folder in clips.items():
        try:
            found[name] = findings(open_source(folder, name))
        except UserError as error:
            found[name] = [Finding(Severity.ERROR, str(error))]
    if options.json:
        told = {name: [{"severity": f.severity.value, "text": f.text} for f in own] for name, own in found.items()}
        print(json_text(told, indent=2))
    else:
        for name, own in found.items():
            counts = [f"{sum(f.severity is kind for f in own)} {kind.value}s" for kind in Severity]
            print(f"{name}: {', '.join(counts)}")
            for finding in own:
                print(f"  {finding.severity.value}: {finding.text}")
    return int(any(finding.severity is Severity.ERROR for own in found.values() for finding in own))
