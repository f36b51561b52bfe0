"""`cosmos-exp convert checkpoint`: published Cosmos-Transfer files as a model folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.models.checkpoints.released import MODELS, find_released, released_config, released_files
from cosmos_exp.models.transfer25.released import MODELS as TRANSFER25

DTYPES = ("bfloat16", "float32")


def command_line() -> Parser:
    parser = Parser(
        "convert checkpoint",
        "Published checkpoints (.pt, TorchScript) as a model folder: safetensors, checked strictly, and model.json.",
    )
    parser.add_argument("source", metavar="SRC", help="folder that `cosmos-exp download` filled, or one published file")
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="model folder to write or complete")
    parser.add_argument("--model", required=True, metavar="NAME", help=", ".join((*MODELS, *TRANSFER25)))
    parser.add_argument("--controls", metavar="NAME,...", help="Transfer1 with these controls only (default: all)")
    parser.add_argument("--parts", nargs="+", metavar="PART", help="these parts only, e.g. base control_hdmap")
    parser.add_argument("--dtype", default="bfloat16", metavar="|".join(DTYPES), help="of the networks' weights")
    parser.add_argument("--overwrite", action="store_true", help="write parts that the folder already has")
    return parser


def main(arguments: Sequence[str]) -> int:
    options = command_line().parse(arguments)
    controls = options.controls.split(",") if options.controls is not None else None
    if options.model in TRANSFER25:
        if controls is not None:
            raise UserError(f"--controls: {options.model} has one network for its one control; leave it out")
    elif options.model not in MODELS:
        raise UserError(unknown_name("released model", options.model, (*MODELS, *TRANSFER25)))
    else:
        find_released(options.model, controls)
    if options.dtype not in DTYPES:
        raise UserError(unknown_name("dtype", options.dtype, DTYPES))
    import torch

    from cosmos_exp.models.checkpoints.convert import convert_checkpoint

    if options.model in TRANSFER25:
        from cosmos_exp.models.transfer25.convert import published_config, read_part

        config, files = published_config(options.model), TRANSFER25[options.model].files
        read = read_part
    else:
        config, files, read = released_config(options.model, controls), released_files(options.model, controls), None
    folder = Path(options.output)
    written = convert_checkpoint(
        Path(options.source),
        folder,
        config,
        files,
        parts=options.parts,
        dtype=getattr(torch, options.dtype),
        overwrite=options.overwrite,
        report=lambda line: print(line, flush=True),
        read=read,
    )
    print(f"{len(written)} parts of {options.model} written to {folder}")
    return 0
