"""Every module of this folder is a scene source: `SOURCE` in `<name>.py` is what `scene.source=<name>` reads with."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from cosmos_exp.scene.source import SceneSource, own_options
from cosmos_exp.scene.types import Scene

SOURCES: dict[str, SceneSource] = {
    module.name: import_module(f"{__name__}.{module.name}").SOURCE for module in iter_modules(__path__)
}


def load_scene(config: Mapping[str, Any]) -> Scene:
    """The scene of a `scene` config. Raises UserError as its source does."""
    return SOURCES[config["source"]].load(**own_options(config))
