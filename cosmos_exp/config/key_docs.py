"""What a config key means, from where it is declared: the docstring beside the field, its type, default and place; and
from the rules that check it, which values are allowed.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import Field, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from omegaconf import DictConfig, OmegaConf

from cosmos_exp.common.typed_config import REQUIRED, default_of
from cosmos_exp.config.compose import compose
from cosmos_exp.config.conf_folder import CONF
from cosmos_exp.config.launchers import LAUNCHERS, problems
from cosmos_exp.config.schema import Config
from cosmos_exp.models.registry import config_types, other_families
from cosmos_exp.scene.sources import SOURCES

LAUNCHER = "hydra.launcher"
ROOT = CONF.parent.parent
USUAL = ("scene=procedural", "model=nano")
"""Options that the config has without overrides."""
OPTION_OF = {"transfer1": "nano", "transfer25": "transfer25_auto_multiview", "cosmos3": "cosmos3_auto"}
"""{model family: one of its options}, where none has the family's name."""
IMPOSSIBLE = {int: -(10**9), float: -1e9, str: "?"}
"""A value of each type that no key with a rule allows, to hear the rule."""


@dataclass(frozen=True)
class KeyDoc:
    """key: dotted. type: as it is written. default: of its type; REQUIRED where the option gives it.

    text: what it means; may be empty. about: what its group is. place: `file:line` of its declaration. effect: whether
    it changes the run id. option: `group=option`, one with which the key is there; empty where it always is. inner: of
    a group, its keys.
    """

    key: str
    type: str
    default: Any
    text: str
    about: str
    place: str
    effect: str
    option: str
    inner: tuple[str, ...]


@dataclass(frozen=True)
class Declaration:
    """As it stands in a class. text: the docstring beside it."""

    type: str
    text: str
    place: str


def documented_keys() -> dict[str, list[KeyDoc]]:
    """{key: what it means} of every key of the main config, of every scene source, model family and launcher; several
    where options declare a key of this name each on its own, that of the default option first."""
    kinds: list[tuple[type, str, str]] = [(Config, "", "")]
    kinds += [(source.config, "scene.", f"scene={name}") for name, source in SOURCES.items()]
    kinds += [(kind, "model.", f"model={OPTION_OF.get(name, name)}") for name, kind in config_types().items()]
    kinds += [(kind, f"{LAUNCHER}.", f"hydra/launcher={name}") for name, kind in LAUNCHERS.items()]
    found: dict[str, list[KeyDoc]] = {}
    for kind, prefix, option in sorted(kinds, key=lambda kind: kind[2] not in ("", *USUAL)):
        for doc in _docs(kind, prefix, option, "no" if prefix.startswith(LAUNCHER) else "yes"):
            known = found.setdefault(doc.key, [])
            if doc.place not in [other.place for other in known]:
                known.append(doc)
    return found


def keys_of(kind: type, prefix: str = "", effect: str = "yes") -> list[KeyDoc]:
    """The keys of another config, such as that of training, with those of its groups. effect: on the run id."""
    return list(_docs(kind, prefix, "", effect))


def _docs(kind: type, prefix: str, option: str, effect: str) -> Iterator[KeyDoc]:
    hints = get_type_hints(kind)
    for entry in fields(kind):
        if entry.name.startswith("_"):
            continue
        inner, key = hints[entry.name], prefix + entry.name
        group = is_dataclass(inner) and isinstance(inner, type)
        own = _own_effect(kind, entry, effect)
        declared = declarations(kind)[entry.name]
        text = declared.text or (summary(inner) if group else "")
        names = tuple(f"{key}.{sub.name}" for sub in fields(inner)) if group else ()
        default = REQUIRED if group else default_of(entry)
        yield KeyDoc(key, declared.type, default, text, summary(kind), declared.place, own, option, names)
        if group:
            yield from _docs(inner, f"{key}.", option, own)


def _own_effect(kind: type, entry: Field, effect: str) -> str:
    if effect == "no" or not entry.metadata.get("changes_result", True):
        return "no"
    where = getattr(kind, "COUNTS_WHERE", "")
    return f"yes, {where}" if where else effect


def declarations(kind: type) -> dict[str, Declaration]:
    """{field: where a dataclass or the nearest of its bases declares it}."""
    found: dict[str, Declaration] = {}
    for base in reversed(kind.__mro__):
        if is_dataclass(base):
            found |= _declared_in(base)
    return found


@cache
def _declared_in(kind: type) -> dict[str, Declaration]:
    lines, first = inspect.getsourcelines(kind)
    (tree,) = ast.parse(textwrap.dedent("".join(lines))).body
    assert isinstance(tree, ast.ClassDef)
    file = Path(inspect.getsourcefile(kind) or "")
    shown = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
    found = {}
    for node, after in zip(tree.body, [*tree.body[1:], None]):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            place = f"{shown.as_posix()}:{first + node.lineno - 1}"
            found[node.target.id] = Declaration(ast.unparse(node.annotation), _text(after), place)
    return found


def _text(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split())
    return ""


def summary(kind: type) -> str:
    """The docstring of a config type; empty where it has none of its own."""
    text = " ".join((kind.__doc__ or "").split())
    return "" if text.startswith(f"{kind.__name__}(") else text  # what dataclass puts there


@dataclass(frozen=True)
class Usual:
    """value: that the config has without overrides. allowed: what the rules say of an impossible value, such as
    `1 to 1000`; empty where they say nothing."""

    value: Any
    allowed: tuple[str, ...]


def usual(doc: KeyDoc) -> Usual:
    """Composes the config, with the option that knows the key, and checks it with an impossible value."""
    value = _impossible(doc.type)
    if doc.key.startswith(f"{LAUNCHER}."):
        said = problems({doc.key.rpartition(".")[2]: value}) if isinstance(value, int) else ()
        return Usual(doc.default, _rules(said, doc.key))
    from cosmos_exp.config.validate import validate

    cfg = deepcopy(_composed(doc.option))
    given = OmegaConf.select(cfg, doc.key, default=REQUIRED)
    if OmegaConf.is_config(given):
        given = OmegaConf.to_container(given)
    if value is None or doc.inner:
        return Usual(given, ())
    OmegaConf.update(cfg, doc.key, value)
    return Usual(given, _rules(validate(cfg), doc.key))


def allowed(doc: KeyDoc, check: Callable[[Any], Iterable[str]]) -> tuple[str, ...]:
    """As `Usual.allowed`, of a key of another config. check: what is wrong with a value."""
    value = _impossible(doc.type)
    return () if value is None else _rules(check(value), doc.key)


@cache
def _composed(option: str) -> DictConfig:
    return compose([option] if option else [])


def _rules(messages: Iterable[str], key: str) -> tuple[str, ...]:
    """Those that are about the key, without the key, the impossible value, and the nearest value to it."""
    own = re.compile(rf"^(unknown )?{re.escape(key)}(?![\w.])(=\[.*?\]|=\S+)?:? ")
    rules = [own.sub("", message) for message in messages if own.match(message)]
    rules = [re.sub(r"^((unknown [\w. ]+ )?'\?': (allowed: )?|must be )", "", rule) for rule in rules]
    rules = [re.sub(r"^no (file|folder) '\?'$", r"an existing \1", rule) for rule in rules]
    return tuple(dict.fromkeys(re.sub(r"; (the )?nearest.*$", "", rule) for rule in rules))


def _impossible(kind: str) -> Any:
    """A value of the annotated type, a list of it for a list."""
    inner = re.match(r"(list\[)?(int|float|str)\b", kind)
    if inner is None:
        return None
    value = {"int": IMPOSSIBLE[int], "float": IMPOSSIBLE[float], "str": IMPOSSIBLE[str]}[inner[2]]
    return [value] if inner[1] else value


def groups() -> list[str]:
    """Those of the options below conf/, such as `sampler` and `hydra/launcher`."""
    folders = [*CONF.iterdir(), *(CONF / "hydra").iterdir()]
    names = [folder.relative_to(CONF).as_posix() for folder in folders if list(folder.glob("*.yaml"))]
    return sorted(name for name in names if not name.endswith("_logging"))


def group_options(group: str) -> dict[str, str]:
    """{option: what it is}: the comment that its file begins with, or the docstring of its type."""
    found = {path.stem: comment(path) for path in sorted((CONF / group).glob("*.yaml"))}
    types = {"model": {name: config_types()[name] for name in other_families()}, "hydra/launcher": LAUNCHERS}
    return found | {name: summary(kind) for name, kind in types.get(group, {}).items()}


def comment(path: Path) -> str:
    """The comment at the top of an option's file, as one text, without the line that Hydra reads."""
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            lines.append(line.lstrip("# "))
    return " ".join(lines)


def similar_keys(name: str, keys: Sequence[str]) -> list[str]:
    """Keys whose last part is exactly this one, such as `sampler.guidance` for `guidance`."""
    return [key for key in keys if key.rpartition(".")[2] == name.rpartition(".")[2]]
