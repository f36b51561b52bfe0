"""Shell completion: subcommands with their flags and arguments, and for overrides what Hydra knows and what a key
allows. The scripts of `-sc install=SHELL` are Hydra's; they ask for words with `-sc query=SHELL`."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from glob import glob
from importlib import import_module
from pathlib import Path

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError

Run = Callable[[list[str]], int]

QUERY = "query="
LINE = "COMP_LINE"
NAME = re.compile(r"[\w:]+( \w+)?")  # in the rules that list the values of a key


def main(shell: str, commands: Iterable[str], hydra: Run) -> int:
    """Print the words that may stand where the line of the environment ends. hydra: the main job."""
    line = os.environ.get(LINE, "")
    print(("\n" if shell == "fish" else " ").join(complete(line, commands, hydra)))
    return 0


def complete(line: str, commands: Iterable[str], hydra: Run) -> list[str]:
    """line: the command with its program's name, up to the cursor."""
    given = line.split()[1:]
    word = "" if line.endswith(" ") or not given else given.pop()
    if given and given[0] in commands and given[0] != "run":
        found = _of_command(given[0], given[1:], word, hydra)
    else:
        first = () if given else commands
        found = [*first, *_overrides(given, word, hydra)]
    return sorted({name for name in found if name.startswith(word)})


def _of_command(command: str, given: Sequence[str], word: str, hydra: Run) -> list[str]:
    if command == "train":
        return _training_keys()
    parser = parser_of(command, given)
    actions = {name: action for action in parser._actions for name in action.option_strings}
    before = actions.get(given[-1]) if given else None
    if before is not None and before.nargs != 0:
        return _values(str(before.metavar or before.dest), word)
    if word.startswith("-"):
        return [name for name in actions if name.startswith("--")]
    named = [str(action.metavar or "") for action in parser._actions if not action.option_strings]
    placed = sum(not value.startswith("-") for value in given)
    name = named[min(placed, len(named) - 1)] if named else ""
    if name == "OVERRIDE":
        return _overrides([value for value in given if "=" in value], word, hydra)
    return _values(name, word) if name else []


def parser_of(command: str, given: Sequence[str] = ()) -> Parser:
    """The parser of a subcommand's arguments."""
    name = "convert_checkpoint" if (command, *given[:1]) == ("convert", "checkpoint") else command.replace("-", "_")
    return import_module(f"cosmos_exp.cli.commands.{name}").command_line()


def _values(metavar: str, word: str) -> list[str]:
    """Of an argument, by the name it has in the help."""
    kind = metavar.upper()
    if "METRIC" in kind or kind in ("METRICS", "A,B"):
        from cosmos_exp.metrics import METRICS

        listed = word[: word.rfind(",") + 1]
        keys = _keys() if "KEY" in kind else []
        return [listed + name for name in METRICS] + keys
    if kind == "STYLE":
        from cosmos_exp.common.styles import STYLES

        return [name for name in STYLES if " " not in name]
    if metavar.islower():
        return metavar.split("|")
    if kind.endswith("FOLDER") or kind.startswith("RUN"):
        from cosmos_exp.runs.run_folder import PLACES

        return [path for place in PLACES for path in glob(f"{place}/*")] + _files(word)
    return _files(word)


def _overrides(given: Sequence[str], word: str, hydra: Run) -> list[str]:
    key, equals, value = word.partition("=")
    if not equals or "." not in key:  # a key's beginning, or the options of a group
        return _asked(given, word, hydra)
    listed = value[: max(value.rfind(mark) for mark in "[,") + 1]
    allowed = _allowed(key)
    if allowed:
        return [f"{key}={listed}{name}" for name in allowed]
    return [f"{key}={path}" for path in _files(value)] if value else _asked(given, word, hydra)


def _allowed(key: str) -> list[str]:
    """The names that a key allows, where these are few and known."""
    from cosmos_exp.config.key_docs import documented_keys, usual

    docs = documented_keys().get(key, [])
    if any(doc.type.startswith("bool") for doc in docs):
        return ["true", "false"]
    rules = [rule for doc in docs for rule in usual(doc).allowed]
    lists = [rule.split(", ") for rule in rules]
    return [name for names in lists if all(map(NAME.fullmatch, names)) for name in names if " " not in name]


def _asked(given: Sequence[str], word: str, hydra: Run) -> list[str]:
    """Hydra's words; none where what is given before does not compose."""
    before, printed = os.environ.get(LINE), io.StringIO()
    os.environ[LINE] = " ".join(["cosmos-exp", *given, word])
    try:
        with redirect_stdout(printed):
            hydra(["-sc", "query=bash"])
    except (UserError, SystemExit):
        return []
    finally:
        os.environ[LINE] = before or ""
    return printed.getvalue().split()


def _files(start: str) -> list[str]:
    return [path + "/" * Path(path).is_dir() for path in glob(f"{start}*")]


def _keys() -> list[str]:
    from cosmos_exp.config.key_docs import documented_keys

    return list(documented_keys())


def _training_keys() -> list[str]:
    from cosmos_exp.config.key_docs import keys_of
    from cosmos_exp.train.config import TrainConfig

    return [f"{doc.key}=" for doc in keys_of(TrainConfig) if not doc.inner]
