"""All that depends on Hydra's internals: the classes that it keeps to itself, and the wording of its errors.

Everything else uses Hydra's public API. Hydra imports our plugins, and so this module, at each start: nothing heavy is
imported here.
"""

from __future__ import annotations

import errno
import math
import re
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks as Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_loader_impl import get_overrides_dirname as get_overrides_dirname
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from cosmos_exp.common.errors import UserError, ValidationErrors, nearest_name, unknown_name
from cosmos_exp.config.option_files import place_of

NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
EXPLAINED = (HydraException, OmegaConfBaseException, UserError, OSError)
"""What `explain` has a message for."""

IN_OPTION = r"In '([^']+)': (\w+) raised while composing config:\s*(.*?)\s*full_key: ?(\S*)"
UNKNOWN_KEY = r"full_key: (\S+)\s+reference_type=(\S+)"
NOT_A_TYPE = r"is not a subclass of (\w+)"
LIST_FOR_MAPPING = "Cannot merge DictConfig with ListConfig"
MERGING, REFUSED = "Error merging override ", ("Could not override", "Could not delete")


class HydraBypassError(BaseException):
    """Carries an error to the command line past Hydra, which would warn, or print lines of its own, and go on."""

    def __init__(self, error: Exception):
        super().__init__(error)
        self.error = error


def __getattr__(name: str) -> Any:
    """BasicSweeper, imported when it is asked for: Hydra loads its own plugins once more when it looks for plugins, and
    a subclass needs the class of that time."""
    if name != "BasicSweeper":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    return BasicSweeper


def apply_overrides(overrides: list[Override], config: DictConfig) -> None:
    """Apply parsed overrides to a composed config, in place."""
    ConfigLoaderImpl._apply_overrides_to_config(overrides, config)


def split_into_cells(overrides: list[Override]) -> list[list[str]]:
    """The overrides of each cell of a grid."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    batches = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    return [list(cell) for batch in batches for cell in batch]


def count_values(override: Override) -> int:
    """How many cells a swept override gives, without listing them."""
    value = override.value()
    if isinstance(value, RangeSweep):
        if not value.step:
            raise UserError(f"{override.input_line}: the step of a range must not be 0")
        assert value.start is not None and value.stop is not None
        return max(0, math.ceil((value.stop - value.start) / value.step))
    if isinstance(value, ChoiceSweep):
        return len(value.list)
    return sum(1 for _ in override.sweep_string_iterator()) if override.is_discrete_sweep() else 1


def explain(error: Exception, config: type | None = None, folders: Sequence[Path] = ()) -> str | None:
    """One message for what a user can cause; None for an error that is not theirs. config: type of the application's
    config, by default of the main job. folders: of options of the user's own."""
    if isinstance(error, ValidationErrors) and len(error.errors) > 1:
        return f"{len(error.errors)} problems\n{error}"
    if isinstance(error, ValidationErrors):
        return error.errors[0]
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MissingConfigException):
        return _explain_missing(error)
    if isinstance(error, OSError):
        return _explain_disk(error)
    if isinstance(error, OverrideParseException):
        return _explain_grammar(error)
    if isinstance(error, ConfigCompositionException):
        return _explain_option(str(error), config, folders) or _explain_composition(error, config)
    return " ".join(str(error).split())


def _explain_disk(error: OSError) -> str | None:
    if error.errno in NO_SPACE:
        where = f" while writing {error.filename}" if error.filename else ""
        return f"no space left on the disk{where}: free some, or set paths.outputs and paths.cache to another disk"
    if error.errno in NOT_WRITABLE:
        return (
            f"cannot write {error.filename}: {error.strerror}; set paths.outputs and paths.cache to a writable folder"
        )
    return None


def _explain_missing(error: MissingConfigException) -> str:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    options = [o for o in error.options or () if not o.startswith("base_")]
    if not options:
        return str(error).split("\n")[0]
    return unknown_name(f"option of {group}", option, options)


def _explain_grammar(error: OverrideParseException) -> str:
    return (
        f"cannot read the override {error.override!r}: write KEY=VALUE, a list as KEY=[a,b], "
        "and quote values with spaces or special characters: 'KEY=\"two words\"'"
    )


def _explain_option(text: str, config: type | None, folders: Sequence[Path]) -> str | None:
    """What is wrong with the content of an option file, and where it is; None for another problem."""
    found = re.match(IN_OPTION, text, re.DOTALL)
    if found is None and (named := re.match(r"In '([^']+)': (.*)", text)):
        return f"{place_of(folders, named[1], '') or f'option {named[1]}'}: {named[2]}"
    if found is None:
        return None
    option, kind, problem, key = found.groups()
    place = place_of(folders, option, key) or f"option {option}"
    if kind != "ConfigKeyError":
        return f"{place}: {key + ': ' if key else ''}{' '.join(problem.split())}"
    if key == option.partition("/")[0] or re.fullmatch("_.*_", key):
        return f"{place}: its values belong to {key!r}, which no config has: begin the file with # @package _global_"
    return f"{place}: {unknown_key(key, config)}"


def _explain_composition(error: ConfigCompositionException, config: type | None) -> str:
    first = str(error).split("\n")[0]
    cause = str(error.__cause__).split("\n")[0] if error.__cause__ else ""
    inside = re.search(UNKNOWN_KEY, str(error.__cause__ or ""))
    if first.startswith(REFUSED):
        key = first.split("'")[1]
        if inside and "." not in inside[1] and (known := _keys_of(inside[2])):  # of a mapping in a list
            return unknown_name(f"key of {key}", inside[1], known)
        return unknown_key(inside[1] if inside else key, config)
    expected = re.search(NOT_A_TYPE, cause)
    if expected and (known := _keys_of(expected[1])):
        return f"{first.removeprefix(MERGING)}: a mapping is needed, of the keys {', '.join(known)}"
    if LIST_FOR_MAPPING in cause:
        key = first.removeprefix(MERGING).partition("=")[0]
        return f"{key} is a mapping, not a list: give {key}={{KEY: VALUE}} or {key}.KEY=VALUE"
    if first.startswith(MERGING):
        return f"{first.removeprefix(MERGING)}: {cause}"
    return " ".join(str(error).split())


def _keys_of(name: str) -> Sequence[str]:
    """Of a config type of ours; empty for another."""
    from cosmos_exp.config import schema

    found = next((kind for kind in schema.types() if kind.__name__ == name), None)
    return [entry.name for entry in fields(found)] if found and is_dataclass(found) else []


def unknown_key(key: str, config: type | None = None) -> str:
    """Message for a key no config has: the nearest whole key, and what its group knows."""
    from cosmos_exp.config import schema

    known = schema.keys(config or schema.Config)
    parent = key.rpartition(".")[0]
    siblings = [k for k in known if k.rpartition(".")[0] == parent]
    same_name = [k for k in known if k.rpartition(".")[2] == key.rpartition(".")[2]]
    if same_name:
        return f"unknown config key {key!r}: did you mean {' or '.join(map(repr, same_name))}?"
    nearest = nearest_name(key, siblings or known)
    hint = f" did you mean {nearest!r}?" if nearest else ""
    allowed = f" allowed: {', '.join(siblings)}" if siblings else ""
    return f"unknown config key {key!r}:{hint}{allowed}"
