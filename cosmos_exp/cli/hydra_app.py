"""Runs a Hydra application so that every mistake of the user ends in one message instead of a traceback."""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import NoReturn

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from cosmos_exp.common.errors import UserError, ValidationErrors, nearest_name, unknown_name
from cosmos_exp.config import schema
from cosmos_exp.scene.source import ALL
from cosmos_exp.scene.sources import SOURCES
from cosmos_exp.sweeps import callbacks

FULL_ERROR = "HYDRA_FULL_ERROR"
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
EXPLAINED = (HydraException, OmegaConfBaseException, UserError, OSError)
MULTIRUN = ("-m", "--multirun")
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def run_app(load: Callable[[], Callable[[], None]], arguments: list[str], config: type = schema.Config) -> int:
    """Run the application that `load` imports, on these command line arguments. Returns the exit status.

    config: type of the application's config.

    Raises UserError for the mistakes of a user, so that the caller prints one message; with HYDRA_FULL_ERROR=1 the
    original traceback is printed as well.
    """
    wants_traceback = os.environ.get(FULL_ERROR, "0") == "1"
    os.environ[FULL_ERROR] = "1"  # makes Hydra raise instead of printing and exiting
    arguments = sweep_over_all(arguments)
    flags = [argument for argument in arguments if argument in MULTIRUN]  # Hydra takes them only before overrides
    sys.argv = [sys.argv[0], *flags, *(argument for argument in arguments if argument not in MULTIRUN)]
    try:
        load()()
    except callbacks.PastHydra as carried:
        _fail(carried.error, wants_traceback, config)
    except EXPLAINED as error:
        _fail(error, wants_traceback, config)
    return 0


def sweep_over_all(arguments: list[str]) -> list[str]:
    """The arguments, with `scene.KEY=all` as a sweep over all values that the scene's source knows of.

    What it needs to know for that, such as the folder of the clips, must be among the arguments.
    """
    given = dict(argument.split("=", 1) for argument in arguments if argument.startswith("scene") and "=" in argument)
    source = SOURCES.get(given.get("scene", ""))
    wanted = [key for key in source.every if given.get(f"scene.{key}") == ALL] if source else []
    if not wanted:
        return arguments
    options = {key.removeprefix("scene."): value.strip("'\"") for key, value in given.items()}
    expanded = {f"scene.{key}={ALL}": f"scene.{key}={_quoted(source.every[key](options))}" for key in wanted}
    return ["--multirun", *(expanded.get(argument, argument) for argument in arguments if argument not in MULTIRUN)]


def _quoted(values: Sequence[str]) -> str:
    return ",".join(f"'{value}'" for value in values)


def _fail(error: Exception, wants_traceback: bool, config: type) -> NoReturn:
    message = explain(error, config)
    if wants_traceback or message is None:
        traceback.print_exception(error)
    report = callbacks.report_failed_sweep()
    raise UserError("\n".join(filter(None, (message or str(error), report)))) from error


def explain(error: Exception, config: type = schema.Config) -> str | None:
    """One message for what a user can cause; None for an error that is not theirs."""
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
        return _explain_composition(error, config)
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


def _explain_composition(error: ConfigCompositionException, config: type) -> str:
    first = str(error).split("\n")[0]
    cause = str(error.__cause__).split("\n")[0] if error.__cause__ else ""
    inside = re.search(r"full_key: (\S+)\s+reference_type=(\S+)", str(error.__cause__ or ""))
    if first.startswith(("Could not override", "Could not delete")):
        key = first.split("'")[1]
        if inside and "." not in inside[1] and (known := _keys_of(inside[2])):  # of a mapping in a list
            return unknown_name(f"key of {key}", inside[1], known)
        return unknown_key(inside[1] if inside else key, config)
    expected = re.search(r"is not a subclass of (\w+)", cause)
    if expected and (known := _keys_of(expected[1])):
        return f"{first.removeprefix('Error merging override ')}: a mapping is needed, of the keys {', '.join(known)}"
    if "Cannot merge DictConfig with ListConfig" in cause:
        key = first.removeprefix("Error merging override ").partition("=")[0]
        return f"{key} is a mapping, not a list: give {key}={{KEY: VALUE}} or {key}.KEY=VALUE"
    if first.startswith("Error merging override"):
        return f"{first.removeprefix('Error merging override ')}: {cause}"
    return " ".join(str(error).split())


def _keys_of(name: str) -> list[str]:
    """Of a config type of ours; empty for another."""
    return [entry.name for entry in fields(getattr(schema, name))] if hasattr(schema, name) else []


def unknown_key(key: str, config: type = schema.Config) -> str:
    """Message for a key no config has: the nearest whole key, and what its group knows."""
    known = schema.keys(config)
    parent = key.rpartition(".")[0]
    siblings = [k for k in known if k.rpartition(".")[0] == parent]
    same_name = [k for k in known if k.rpartition(".")[2] == key.rpartition(".")[2]]
    if same_name:
        return f"unknown config key {key!r}: did you mean {' or '.join(map(repr, same_name))}?"
    nearest = nearest_name(key, siblings or known)
    hint = f" did you mean {nearest!r}?" if nearest else ""
    allowed = f" allowed: {', '.join(siblings)}" if siblings else ""
    return f"unknown config key {key!r}:{hint}{allowed}"
