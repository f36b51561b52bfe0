"""`cosmos-exp explain METRIC | CONFIG.KEY | GROUP | GROUP=OPTION`: what it is, from where it is declared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError, nearest_name, unknown_name

if TYPE_CHECKING:
    from cosmos_exp.common.console import Console
    from cosmos_exp.config.key_docs import KeyDoc, Usual

SERVE = "serve."
"""What keys of a server begin with."""


def command_line() -> Parser:
    parser = Parser(
        "explain",
        "What a metric measures, compares with and overlooks, and which values it takes; or what a config key means, "
        "its type, default, allowed values and place; or the options of a config group.",
    )
    parser.add_argument(
        "name", metavar="METRIC|CONFIG.KEY", help="psnr, tse_keep, sampler.guidance, sampler, scene=carla_log"
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    from cosmos_exp.common.console import Console

    name = command_line().parse(arguments).name.lstrip("+")
    console = Console(highlight=False, markup=False, emoji=False)
    if not (_metric(name, console) or _option(name, console) or _key(name, console)):
        raise UserError(_unknown(name))
    return 0


def _metric(name: str, console: Console) -> bool:
    from rich.markdown import Markdown

    from cosmos_exp.metrics.definitions import definitions, metric_name

    found = definitions().get(metric_name(name))
    if found:
        console.print(Markdown(found.text))
    return found is not None


def _option(name: str, console: Console) -> bool:
    """GROUP=OPTION: what it is, and its file."""
    from rich.syntax import Syntax

    from cosmos_exp.config.conf_folder import CONF
    from cosmos_exp.config.key_docs import group_options, groups

    group, equals, option = name.partition("=")
    if not equals or group not in groups():
        return False
    options = group_options(group)
    if option not in options:
        raise UserError(unknown_name(f"option of {group}", option, options))
    file = CONF / group / f"{option}.yaml"
    if file.is_file():
        console.print(f"conf/{group}/{option}.yaml", style="bold")
        console.print(Syntax(file.read_text(encoding="utf-8").rstrip(), "yaml", theme="ansi_dark", word_wrap=True))
    else:
        console.print(options[option], markup=False)
    return True


def _key(name: str, console: Console) -> bool:
    """A key, or a group with its options and keys."""
    from cosmos_exp.config.key_docs import groups

    keys = _keys()
    for doc in keys.get(name, []):
        _print_doc(doc, console)
    inner = [docs[0] for key, docs in keys.items() if key.rpartition(".")[0] == name.replace("/", ".")]
    if name in groups():
        _print_options(name, console)
    if inner:
        _print_keys(inner, console)
    return name in keys or name in groups() or bool(inner)


def _keys() -> dict[str, list[KeyDoc]]:
    """Those of runs, and of `cosmos-exp serve`."""
    from cosmos_exp.config.key_docs import documented_keys, keys_of
    from cosmos_exp.serving.config import ServeConfig

    return documented_keys() | {doc.key: [doc] for doc in keys_of(ServeConfig, SERVE, effect="no")}


def _usual(doc: KeyDoc) -> Usual:
    from cosmos_exp.config.key_docs import Usual, allowed, usual
    from cosmos_exp.serving.config import ServeConfig, serve_problems

    if not doc.key.startswith(SERVE):
        return usual(doc)
    name = doc.key.removeprefix(SERVE)
    return Usual(doc.default, allowed(doc, lambda value: serve_problems(replace(ServeConfig(), **{name: value}))))


def _print_doc(doc: KeyDoc, console: Console) -> None:
    from rich.table import Table

    from cosmos_exp.common.typed_config import REQUIRED
    from cosmos_exp.config.key_docs import USUAL

    now = _usual(doc)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    rows = {"meaning": doc.text or doc.about, "type": doc.type}
    if not doc.inner:
        rows["default"] = "to be given, by the option or by you" if doc.default == REQUIRED else _shown(doc.default)
        if now.value not in (doc.default, REQUIRED):
            rows["default"] += f"; without overrides a run has {_shown(now.value)}"
        rows["allowed"] = "\n".join(now.allowed)
    rows["with"] = "" if doc.option in USUAL else doc.option
    rows |= {"changes the run id": doc.effect, "declared in": doc.place}
    console.print(doc.key, style="bold")
    for label, text in rows.items():
        if text:
            table.add_row(label, text)
    console.print(table, "", markup=False)


def _print_options(group: str, console: Console) -> None:
    from rich.table import Table

    from cosmos_exp.cli.main import default_options
    from cosmos_exp.config.key_docs import group_options

    default = default_options().get(group) or default_options().get(f"override {group}")
    title = f"{group}=OPTION, * is the default" if default else f"+{group}=OPTION"
    table = Table("option", "what it is", title=title, title_justify="left")
    for option, text in group_options(group).items():
        table.add_row(f"{option}*" if option == default else option, text)
    console.print(table, markup=False)


def _print_keys(docs: Sequence[KeyDoc], console: Console) -> None:
    from rich.table import Table

    from cosmos_exp.common.typed_config import REQUIRED

    table = Table("key", "default", "meaning", title="keys", title_justify="left")
    for doc in docs:
        table.add_row(doc.key, "" if doc.default == REQUIRED else _shown(doc.default), doc.text)
    console.print(table, markup=False)


def _shown(value: Any) -> str:
    """As it is written in YAML."""
    return (
        {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)
    )


def _unknown(name: str) -> str:
    """The nearest metric and the nearest key."""
    from cosmos_exp.config.key_docs import groups, similar_keys
    from cosmos_exp.metrics.definitions import definitions

    keys = [*_keys(), *groups()]
    metric, key = nearest_name(name, definitions()), nearest_name(name, keys)
    near = [f"the metric {metric!r}"] if metric else []
    near += [f"the config key {key!r}" for key in similar_keys(name, keys) or ([key] if key else [])]
    hint = f"did you mean {' or '.join(near[:4])}? " if near else ""
    named = f"metrics: {', '.join(definitions())}; config groups: {', '.join(groups())}"
    return f"{name!r} is neither a metric nor a config key: {hint}{named}"
