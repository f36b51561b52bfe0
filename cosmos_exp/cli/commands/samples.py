"""`cosmos-exp samples run|overrides|write`: sample files (JSON, JSONL) of NVIDIA's commands for Cosmos-Transfer2.5."""

from __future__ import annotations

import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError, ValidationErrors, unknown_name
from cosmos_exp.common.input_files import did_you_mean
from cosmos_exp.models.transfer25.sample_json import ENDINGS
from cosmos_exp.models.transfer25.samples import SETTABLE, AnySample, changed, notes, read_samples

if TYPE_CHECKING:
    from cosmos_exp.pipeline.general_samples import GeneralRun
    from cosmos_exp.pipeline.samples import SampleRun

ACTIONS = ("run", "overrides", "write")


def command_line() -> Parser:
    parser = Parser(
        "samples",
        "Sample files of NVIDIA's commands for Cosmos-Transfer2.5. run: make their videos, from prompts and "
        "control videos, without a scene. overrides: print the overrides of a run that makes the same. write: a "
        "sample file of a finished run, or of the run that overrides name. Everything is checked first, in all files.",
    )
    parser.choice("action", ACTIONS, "what to do")
    add = parser.add_argument
    add(
        "arguments",
        metavar="FILE|RUN|OVERRIDE",
        nargs="*",
        help="sample files, .json or .jsonl; of write, a run folder; KEY=VALUE: overrides, such as hardware=gpu",
    )
    add("-i", "--input", action="append", default=[], metavar="FILE", help="a further sample file")
    add("-o", "--output", required=True, metavar="OUT", type=Path, help="folder of the videos; of write, the file")
    for key in SETTABLE:
        names = dict.fromkeys((f"--{key.replace('_', '-')}", f"--{key}"))
        add(*names, metavar="VALUE", help=f"{key} of every sample, in place of the file's")
    add("--style", action="append", default=[], metavar="NAME", help="of write: of this style; repeat; default: all")
    add("--lossless", action="store_true", help="videos exact to the bit, but not playable in browsers")
    add("--overwrite", action="store_true", help="replace the videos of another sample of that name, or the file")
    add("--config-dir", metavar="DIR", type=Path, help="folder of options of your own")
    return parser


def main(arguments: Sequence[str]) -> int:
    options = command_line().parse(arguments)
    overrides = [argument for argument in options.arguments if "=" in argument and not Path(argument).is_file()]
    files = [*(argument for argument in options.arguments if argument not in overrides), *options.input]
    if options.action == "write":
        return _write(options, files, overrides)
    if options.style:
        raise UserError("--style goes with `samples write`: a sample has one prompt")
    if not files:
        raise UserError(f"samples {options.action}: give one or more sample files, .json or .jsonl")
    values = {key: _value(given) for key in SETTABLE if (given := getattr(options, key)) is not None}
    samples = [changed(sample, values) for sample in read_samples([Path(file) for file in files])]
    from cosmos_exp.pipeline.samples import planned

    runs = planned(samples, overrides, options.config_dir)
    if options.action == "overrides":
        return _print_overrides(runs, options, overrides)
    return _run(runs, options)


def _value(text: str) -> Any:
    """A number, true or false as JSON has it; anything else as a text."""
    import json

    try:
        return json.loads(text)
    except ValueError:
        return {"True": True, "False": False}.get(text, text)


def _run(runs: Sequence[SampleRun | GeneralRun], options: Namespace) -> int:
    from cosmos_exp.pipeline.samples import run_sample

    _check_output(options.output, [run.sample for run in runs], overwrite=options.overwrite)
    failed = 0
    for run in runs:
        _tell(run)
        try:
            for path in run_sample(run, options.output, lossless=options.lossless):
                print(path, flush=True)
        except UserError as error:
            failed += 1
            print(f"cosmos-exp: {run.sample.name}: {error}", file=sys.stderr, flush=True)
    if failed and len(runs) > 1:
        print(f"cosmos-exp: {failed} of {len(runs)} samples failed", file=sys.stderr)
    return 2 if failed else 0


def _check_output(out: Path, samples: Sequence[AnySample], *, overwrite: bool) -> None:
    """Raises ValidationErrors for names under which the folder has the videos of other samples."""
    if out.is_file():
        raise UserError(f"--output {str(out)!r} is a file, not a folder")
    problems = []
    for sample in samples:
        path = out / f"{sample.name}.json"
        if not overwrite and path.is_file() and _kept(path) != sample:
            problems.append(f"{path} is of another sample: give --overwrite to replace it and its videos")
    if problems:
        raise ValidationErrors(problems)


def _kept(path: Path) -> AnySample | None:
    try:
        return read_samples([path])[0]
    except UserError:
        return None


def _print_overrides(runs: Sequence[SampleRun | GeneralRun], options: Namespace, overrides: Sequence[str]) -> int:
    from cosmos_exp.pipeline.samples import run_overrides

    for run in runs:
        _tell(run)
        own = run_overrides(run, options.output, overrides)
        print(shlex.join(["cosmos-exp", *own]), flush=True)
    return 0


def _tell(run: SampleRun | GeneralRun) -> None:
    for note in (*run.notes, *notes(run.sample)):
        print(f"note: {note}", file=sys.stderr, flush=True)


def _write(options: Namespace, folders: Sequence[str], overrides: Sequence[str]) -> int:
    from cosmos_exp.config.compose import compose, composing
    from cosmos_exp.pipeline.reproduce import read_run
    from cosmos_exp.pipeline.samples import written

    given = [f"--{key.replace('_', '-')}" for key in SETTABLE if getattr(options, key) is not None]
    if given:
        raise UserError(f"{', '.join(given)}: `samples write` takes these values from the run; give overrides of it")
    if len(folders) > 1 or (folders and overrides):
        raise UserError("samples write: give one run folder, or overrides of a run alone")
    if options.output.suffix not in ENDINGS:
        raise UserError(f"--output {str(options.output)!r}: name a file {' or '.join(ENDINGS)}")
    if not options.overwrite and options.output.exists():
        raise UserError(f"--output {str(options.output)!r} is there: give --overwrite to replace it")
    if folders:
        folder = Path(folders[0])
        if not folder.is_dir():
            raise UserError(f"no run folder {folders[0]!r}{did_you_mean(folder)}")
        _, cfg, _ = read_run(folder)
    else:
        cfg = compose(overrides, config_dir=options.config_dir)
    for style in options.style:
        if style not in cfg.captions.styles:
            raise UserError(unknown_name("style of this run", style, cfg.captions.styles))
    with composing():
        notes = written(cfg, options.output, styles=options.style, lossless=options.lossless)
    print(options.output)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    return 0
