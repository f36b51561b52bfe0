"""`cosmos-exp captions rewrite -i DIR -o DIR [OVERRIDE ...]`: captions of many clips in seven styles, by a language
model."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError, ValidationErrors
from cosmos_exp.config.compose import compose, composing

if TYPE_CHECKING:
    from cosmos_exp.captions.config import CaptionsConfig
    from cosmos_exp.captions.folder import Outcome
    from cosmos_exp.captions.rewriting import RewriteSettings
    from cosmos_exp.config.schema import Config
    from cosmos_exp.llm.config import LLMConfig

GROUPS = ("captions", "llm", "guardrails", "paths")
SHOWN = 10
"""Clips that are named of those with texts by template."""


def command_line() -> Parser:
    parser = Parser(
        "captions",
        "Write OUT/<clip>.json, {Original, Golden hour, Morning, Night, Rainy, Snowy, Sunny, Foggy}, of every "
        "IN/<clip>.txt or IN/<clip>.json. Every text is checked against its caption. What is there already stays; "
        "the same command goes on where it ended.",
    )
    parser.choice("what", ["rewrite"], "captions in the seven styles")
    parser.add_argument("overrides", metavar="OVERRIDE", nargs="*", help="of the groups captions and llm, as of a run")
    parser.add_argument("-i", "--input", required=True, type=Path, metavar="IN", help="folder of captions")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="OUT", help="folder to write to")
    parser.add_argument("--config-dir", metavar="DIR", type=Path, help="folder of options of your own")
    return parser


def main(arguments: Sequence[str]) -> int:
    options = command_line().parse(arguments)
    started = time.monotonic()
    if options.output.exists() and not options.output.is_dir():
        raise UserError(f"--output {str(options.output)!r} is a file, not a folder")
    config = _config(options.overrides, options.config_dir)
    captions, llm = config.captions, config.llm
    from cosmos_exp.captions.folder import rewrite_folder
    from cosmos_exp.common.progress import steps
    from cosmos_exp.guardrails.texts import text_guards
    from cosmos_exp.llm.answers import Cached
    from cosmos_exp.llm.models import chat_model

    chat, guards = Cached(chat_model(llm), config.paths.cache), text_guards(config.guardrails)
    with steps("captions") as tick:
        outcome = rewrite_folder(
            options.input,
            options.output,
            chat,
            _settings(captions, llm),
            concurrency=llm.concurrency,
            tick=tick,
            check=guards.require_safe,
        )
    return _told(outcome, options.output, time.monotonic() - started)


def _config(overrides: Sequence[str], config_dir: Path | None) -> Config:
    from cosmos_exp.captions.config import captions_problems
    from cosmos_exp.config.schema import typed
    from cosmos_exp.guardrails.problems import guardrail_problems
    from cosmos_exp.llm.config import llm_problems

    for override in overrides:
        key = override.partition("=")[0].lstrip("+~")
        if re.split(r"[./@]", key)[0] not in GROUPS:
            raise UserError(f"{override}: changes no caption; the groups that do are {', '.join(GROUPS[:3])}")
    chosen = any(override.startswith("captions=") for override in overrides)
    cfg = compose([*([] if chosen else ["captions=rewrite"]), *overrides], config_dir=config_dir)
    with composing():
        config = typed(cfg)
    captions, llm = config.captions, config.llm
    errors = [*captions_problems(captions, llm=llm.name, used=()), *llm_problems(llm)]
    errors += guardrail_problems(config.guardrails)
    if captions.source != "rewrite":
        errors.append(f"captions.source={captions.source}: folders of captions are rewritten; leave it out")
    if errors:
        raise ValidationErrors(errors)
    return config


def _settings(captions: CaptionsConfig, llm: LLMConfig) -> RewriteSettings:
    from cosmos_exp.captions.fidelity import PROFILES
    from cosmos_exp.captions.rewriting import RewriteSettings

    return RewriteSettings(
        profile=PROFILES["released" if captions.profile == "auto" else captions.profile],
        sampling=llm.sampling,
        attempts=captions.attempts,
        recolor=captions.recolor,
        together=captions.request == "all",
        variant=captions.variant,
    )


def _told(outcome: Outcome, out: Path, seconds: float) -> int:
    from cosmos_exp.common.progress import console

    there = f", {len(outcome.present)} were there already" if outcome.present else ""
    print(f"{len(outcome.written)} captions written to {out}{there}, {seconds:.1f} s")
    if outcome.by_template:
        count, clips = sum(map(len, outcome.by_template.values())), list(outcome.by_template.items())
        lines = [f"- {clip}: {', '.join(styles)}" for clip, styles in clips[:SHOWN]]
        lines += [f"- and {len(clips) - SHOWN} more clips"] * (len(clips) > SHOWN)
        told = f"{count} texts are by template, as no answer was faithful; {out}/rewrites says why:"
        console.print("\n".join([told, *lines]), style="yellow", markup=False, highlight=False)
    if outcome.problems:
        lines = [f"{len(outcome.problems)} captions were not rewritten:", *(f"- {p}" for p in outcome.problems)]
        console.print("\n".join(lines), style="red", markup=False, highlight=False)
    return 2 if outcome.problems else 0
