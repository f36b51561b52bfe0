"""Mistakes in option files of the user's own, found before Hydra reads the files, and named by file and line.

Hydra takes an option file for correct: what is wrong with one ends in a traceback, or in a search without end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from omegaconf.errors import GrammarParseError
from omegaconf.grammar_parser import parse as parse_interpolation

from cosmos_exp.common.errors import UserError

MOST_BYTES = 1 << 20
MOST_LEVELS = 50
MOST_VALUES = 100_000
"""With what aliases repeat."""
LONGEST_NUMBER = 400
"""Digits."""
PLAIN_TAGS = {
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq")
}
STANDARD = "tag:yaml.org,2002:"
ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\xef\xbb\xbf": "UTF-8 with a byte order mark"}


def own_folders(arguments: Sequence[str]) -> list[Path]:
    """Folders of options that a command line adds, with --config-dir or hydra.searchpath."""
    found = []
    for argument, following in zip(arguments, [*arguments[1:], ""]):
        flag, _, value = argument.partition("=")
        if flag in ("--config-dir", "-cd"):
            found.append(value or following)
        elif flag == "hydra.searchpath":
            found += [part.strip(" '\"").removeprefix("file://") for part in value.strip("[]").split(",")]
    return [Path(folder) for folder in found if folder and Path(folder).is_dir()]


def check_option_files(folders: Sequence[Path], overrides: Sequence[str]) -> None:
    """UserError for a mistake in an option file of these folders that the overrides select, directly or through the
    defaults lists of others."""
    checked: set[Path] = set()
    for override in overrides:
        group, _, options = override.partition("=")
        group = group.lstrip("+~").partition("@")[0]
        for name in _names(folders, group, options):
            _check_tree(folders, f"{group}/{name}", (), checked)


def place_of(folders: Sequence[Path], option: str, key: str) -> str:
    """`FILE, line N`: where an option file of these folders gives a key; the file alone where it does not, "" where it
    is in another folder."""
    path = _find(folders, option)
    if path is None:
        return ""
    node, parts = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader), key.split(".")
    for start in range(len(parts)):
        if line := _line_of(node, parts[start:]):
            return f"{path}, line {line}"
    return str(path)


def _line_of(node: yaml.Node | None, parts: Sequence[str]) -> int | None:
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if key.value == parts[0]:
            return (_line_of(value, parts[1:]) if len(parts) > 1 else None) or key.start_mark.line + 1
        if key.value == ".".join(parts):
            return key.start_mark.line + 1
    return None


def _names(folders: Sequence[Path], group: str, options: str) -> Iterator[str]:
    """The options that the value of an override may name."""
    if options.startswith("glob("):
        for folder in folders:
            yield from (path.stem for path in sorted((folder / group).glob("*.yaml")))
    else:
        yield from filter(None, re.split(r"[\s,()\[\]'\"]+", options))


def _find(folders: Sequence[Path], option: str) -> Path | None:
    file = option if option.endswith((".yaml", ".yml")) else f"{option}.yaml"
    return next((folder / file for folder in folders if (folder / file).exists()), None)


def _check_tree(folders: Sequence[Path], option: str, above: tuple[str, ...], checked: set[Path]) -> None:
    """Check the file of an option, and those that its defaults list names. above: the options on the way to it."""
    path = _find(folders, option)
    if path is None or path in checked:
        return
    group, way = option.rpartition("/")[0], (*above, option)
    for name, line in _defaults(path, _checked_node(path)):
        named = name[1:] if name.startswith("/") else f"{group}/{name}".lstrip("/")
        if named in way:
            loop = " -> ".join([*way[way.index(named) :], named])
            raise _mistake(path, line, f"its defaults list leads back to itself: {loop}")
        _check_tree(folders, named, way, checked)
    checked.add(path)


def _checked_node(path: Path) -> yaml.Node | None:
    """The content of an option file. UserError where it cannot be one."""
    text = _text(path)
    try:
        _check_levels(path, text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise UserError(_yaml_mistake(path, error)) from error
    except yaml.YAMLError as error:
        line = _line_at(text, getattr(error, "position", 0))
        raise _mistake(path, line, " ".join(str(error).split("\n")[0].split())) from error
    if node is None:
        return None
    if not isinstance(node, yaml.MappingNode):
        raise _mistake(path, _line(node), "an option file is a mapping: write KEY: VALUE")
    _check_node(path, node, {}, [])
    return node


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"{path}: {path.stat().st_size:,} bytes are too many for an option file ({MOST_BYTES:,})")
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    for mark, encoding in ENCODINGS.items():
        if content.startswith(mark):
            raise UserError(f"{path}, line 1: the file is {encoding}: save it as plain UTF-8")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line, byte = content[: error.start].count(b"\n") + 1, content[error.start]
        raise UserError(f"{path}, line {line}: byte 0x{byte:02x} is not UTF-8: save it as UTF-8") from error


def _check_levels(path: Path, text: str) -> None:
    """How deep it nests, seen without building anything."""
    level, line = 0, 1
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        line = event.start_mark.line + 1 if event.start_mark else line
        if level > MOST_LEVELS:
            raise _mistake(path, line, f"nested more than {MOST_LEVELS} levels deep")


def _check_node(path: Path, node: yaml.Node, sizes: dict[int, int], above: list[yaml.Node]) -> int:
    """Check a value and those in it; returns how many they are. sizes: of those checked before, for aliases."""
    if any(node is other for other in above):
        raise _mistake(path, _line(node), "the value contains itself")
    if id(node) in sizes:
        return sizes[id(node)]
    if node.tag not in PLAIN_TAGS:
        raise _mistake(path, _line(node), f"the tag {node.tag.replace(STANDARD, '!!')} is not allowed")
    parts: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        _check_keys(path, node)
        parts = [value for _, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        parts = node.value
    else:
        _check_scalar(path, node)
    size = 1 + sum(_check_node(path, part, sizes, [*above, node]) for part in parts)
    if size > MOST_VALUES:
        raise _mistake(path, _line(node), f"{size:,} values, repeated ones included; {MOST_VALUES:,} are allowed")
    sizes[id(node)] = size
    return size


def _check_keys(path: Path, node: yaml.MappingNode) -> None:
    first: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _mistake(path, _line(key), "a key must be a name, not a list or a mapping")
        if key.value in first:
            raise _mistake(path, _line(key), f"{key.value!r} is given twice, first in line {first[key.value]}")
        first[key.value] = _line(key)


def _check_scalar(path: Path, node: yaml.Node) -> None:
    value = str(node.value)
    if node.tag.endswith((":int", ":float")) and len(value) > LONGEST_NUMBER:
        raise _mistake(path, _line(node), f"a number of {len(value):,} digits; {LONGEST_NUMBER} are allowed")
    if "${" in value:
        try:
            parse_interpolation(value)
        except GrammarParseError as error:
            raise _mistake(path, _line(node), f"cannot read the interpolation {value!r}") from error


def _defaults(path: Path, node: yaml.Node | None) -> list[tuple[str, int]]:
    """(option, line) of what the defaults list of a file names: relative to the root where it begins with /, else to
    the folder of the file's group. UserError where it is no such list."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    given = next((value for key, value in pairs if key.value == "defaults"), None)
    if given is None or given.tag.endswith(":null"):
        return []
    if not isinstance(given, yaml.SequenceNode):
        raise _mistake(path, _line(given), "defaults must be a list: defaults: [OPTION, GROUP: OPTION, ...]")
    found: list[tuple[str, int]] = []
    for entry in given.value:
        if isinstance(entry, yaml.ScalarNode) and entry.tag.endswith(":str"):
            found.append((entry.value, _line(entry)))
        elif isinstance(entry, yaml.MappingNode) and len(entry.value) == 1:
            found += [(option, _line(entry)) for option in _of_group(path, *entry.value[0])]
        else:
            raise _mistake(path, _line(entry), "an entry of defaults must be OPTION or GROUP: OPTION")
    return [(name, line) for name, line in found if name != "_self_" and "${" not in name]


def _of_group(path: Path, key: yaml.Node, value: yaml.Node) -> list[str]:
    group = key.value.removeprefix("optional ").removeprefix("override ").strip().partition("@")[0]
    options = value.value if isinstance(value, yaml.SequenceNode) else [value]
    if isinstance(value, yaml.MappingNode) or any(not isinstance(option, yaml.ScalarNode) for option in options):
        raise _mistake(path, _line(value), "an entry of defaults must be GROUP: OPTION, or GROUP: [OPTION, ...]")
    return [f"{group}/{option.value}" for option in options if not option.tag.endswith(":null")]


def _yaml_mistake(path: Path, error: yaml.MarkedYAMLError) -> str:
    mark = error.context_mark or error.problem_mark
    line = f", line {mark.line + 1}" if mark else ""
    until = error.problem_mark
    ends = f" (line {until.line + 1})" if mark and until and until.line != mark.line else ""
    told = ": ".join(filter(None, (error.context, error.problem)))
    hint = "; indent with spaces, not tabs" if r"'\t'" in told else ""
    return f"{path}{line}: {told}{ends}{hint}"


def _mistake(path: Path, line: int, problem: str) -> UserError:
    return UserError(f"{path}, line {line}: {problem}")


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _line_at(text: str, position: int) -> int:
    return text[:position].count("\n") + 1
