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
from cosmos_exp.common.guards import YAML_BYTES, compose_yaml, read_bytes, yaml_nodes

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
    node, parts = _composed(path), key.split(".")
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
    root = _composed(path)
    if root is not None and not isinstance(root, yaml.MappingNode):
        raise _mistake(path, _line(root), "an option file is a mapping: write KEY: VALUE")
    for node in yaml_nodes(root):
        _check_node(path, node)
    return root


def _composed(path: Path) -> yaml.Node | None:
    return compose_yaml(_text(path), str(path), yaml.SafeLoader)  # which Hydra reads it with


def _text(path: Path) -> str:
    content = read_bytes("option file", path, YAML_BYTES)
    for mark, encoding in ENCODINGS.items():
        if content.startswith(mark):
            raise UserError(f"{path}, line 1: the file is {encoding}: save it as plain UTF-8")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line, byte = content[: error.start].count(b"\n") + 1, content[error.start]
        raise UserError(f"{path}, line {line}: byte 0x{byte:02x} is not UTF-8: save it as UTF-8") from error


def _check_node(path: Path, node: yaml.Node) -> None:
    """That a value is one that Hydra takes; those in it apart."""
    if node.tag not in PLAIN_TAGS:
        raise _mistake(path, _line(node), f"the tag {node.tag.replace(STANDARD, '!!')} is not allowed")
    for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
        if not isinstance(key, yaml.ScalarNode):
            raise _mistake(path, _line(key), "a key must be a name, not a list or a mapping")
    if isinstance(node, yaml.ScalarNode) and "${" in node.value:
        try:
            parse_interpolation(node.value)
        except GrammarParseError as error:
            raise _mistake(path, _line(node), f"cannot read the interpolation {node.value!r}") from error


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


def _mistake(path: Path, line: int, problem: str) -> UserError:
    return UserError(f"{path}, line {line}: {problem}")


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1
