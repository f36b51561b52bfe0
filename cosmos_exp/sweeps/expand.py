"""Arguments of the command that stand for a sweep: `scene.KEY=all`."""

from __future__ import annotations

from collections.abc import Sequence

from cosmos_exp.scene.source import ALL
from cosmos_exp.scene.sources import SOURCES

MULTIRUN = ("-m", "--multirun")


def sweep_over_all(arguments: list[str]) -> list[str]:
    """The arguments, with `scene.KEY=all` as a sweep over all values that the scene's source knows of.

    What it needs to know for that, such as the folder of the clips, must be among the arguments.
    """
    given = dict(argument.split("=", 1) for argument in arguments if argument.startswith("scene") and "=" in argument)
    source = SOURCES.get(given.get("scene", ""))
    wanted = [key for key in source.every if given.get(f"scene.{key}") == ALL] if source else []
    if source is None or not wanted:
        return arguments
    options = {key.removeprefix("scene."): value.strip("'\"") for key, value in given.items()}
    expanded = {f"scene.{key}={ALL}": f"scene.{key}={_quoted(source.every[key](options))}" for key in wanted}
    return ["--multirun", *(expanded.get(argument, argument) for argument in arguments if argument not in MULTIRUN)]


def _quoted(values: Sequence[str]) -> str:
    return ",".join(f"'{value}'" for value in values)
