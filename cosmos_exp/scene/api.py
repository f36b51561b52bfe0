"""Scenes by the name of their source."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from cosmos_exp.common.errors import UserError, ValidationErrors, unknown_name
from cosmos_exp.common.typed_config import REQUIRED
from cosmos_exp.scene.source import own_options
from cosmos_exp.scene.sources import SOURCES
from cosmos_exp.scene.sources import load_scene as load_configured
from cosmos_exp.scene.types import Scene


def load_scene(source: str = "procedural", **options: Any) -> Scene:
    """A scene: `load_scene("carla_log", log="drive.log", map="Town01.xodr")`.

    options: keys of the source's `scene` group; those left out have its defaults. Raises UserError for an unknown
    source or option, for a missing one, and as the source does.
    """
    if source not in SOURCES:
        raise UserError(unknown_name("scene source", source, SOURCES))
    kind = SOURCES[source].config
    known = [entry.name for entry in fields(kind)]
    for key in options:
        if key not in known:
            raise UserError(unknown_name(f"option of the scene source {source}", key, known))
    config = kind(**{"name": source, "source": source, **options})
    missing = [key for key in known if getattr(config, key) == REQUIRED]
    if missing:
        raise ValidationErrors(f"{key} is required: give {key}=..." for key in missing)
    if problems := list(SOURCES[source].check(own_options(config))):
        raise ValidationErrors(problems)
    return load_configured(config)
