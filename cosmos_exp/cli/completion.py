"""Shell completion: subcommands with their flags and arguments, and for overrides what Hydra knows and what a key
allows.

`-sc install=SHELL` prints a script that asks for words with `-sc query=SHELL`. That for bash and zsh is our own:
Hydra's takes no word that contains a space.
"""

from __future__ import annotations

import io
import os
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout, suppress
from glob import glob
from importlib import import_module
from pathlib import Path

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError

Run = Callable[[list[str]], int]

LINE = "COMP_LINE"
SPECIAL = re.compile(r"([\s'\"\\$`&|;<>()*?!#])")
"""What a shell would not take as part of a word."""
NAME = re.compile(r"[\w:]+( \w+)?")  # in the rules that list the values of a key


INSTALL = """\
_cosmos_exp_words() {
    local word
    COMPREPLY=()
    while IFS= read -r word; do
        COMPREPLY+=("$word")
    done < <(COMP_LINE="${COMP_LINE:0:$COMP_POINT}" "$1" -sc query=bash 2> /dev/null)
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o nospace -o default -F _cosmos_exp_words cosmos-exp
"""
UNINSTALL = """\
complete -r cosmos-exp
unset -f _cosmos_exp_words
"""


def main(action: str, commands: Iterable[str], hydra: Run) -> int:
    """What follows `-sc`: query=SHELL prints the words that may stand where the line of the environment ends, a line
    each; install=SHELL and uninstall=SHELL print scripts. hydra: the main job."""
    what, _, shell = action.partition("=")
    if what == "query":
        line = os.environ.get(LINE, "")
        found = complete(line, commands, hydra)
        print("\n".join(found if shell == "fish" or _begun(line)[1] else map(quoted, found)))
        return 0
    if what in ("install", "uninstall") and shell in ("bash", "zsh"):
        print(INSTALL if what == "install" else UNINSTALL, end="")
        return 0
    return hydra(["-sc", action])


def quoted(word: str) -> str:
    """As it is typed: characters that mean something to a shell after a backslash."""
    return SPECIAL.sub(r"\\\1", word)


def _begun(line: str) -> tuple[list[str], str]:
    """(words of a line that may end within one, the quotation mark that is open at its end)."""
    for mark in ("", "'", '"'):
        with suppress(ValueError):  # it is in quotation marks, or ends with a backslash
            return shlex.split(line + mark), mark
    return shlex.split(line[:-1]), ""


def complete(line: str, commands: Iterable[str], hydra: Run) -> list[str]:
    """line: the command with its program's name, up to the cursor."""
    words, mark = _begun(line)
    given, ended = words[1:], line.endswith(" ") and not line.endswith("\\ ") and not mark
    word = "" if ended or not given else given.pop()
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
    own = ("convert", "checkpoint"), ("render", "wsm")  # whose second word has options of its own
    name = "_".join([command, *given[:1]]) if (command, *given[:1]) in own else command.replace("-", "_")
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

        return list(STYLES)
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
    return [name for names in lists if all(map(NAME.fullmatch, names)) for name in names]


def _asked(given: Sequence[str], word: str, hydra: Run) -> list[str]:
    """Hydra's words; none where what is given before does not compose."""
    before, printed = os.environ.get(LINE), io.StringIO()
    composed = [value for value in given if " " not in value]  # Hydra takes the line apart at spaces
    os.environ[LINE] = " ".join(["cosmos-exp", *composed, word])
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
