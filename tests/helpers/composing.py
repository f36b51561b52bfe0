"""Configs of many overrides at little cost: composed by Hydra once for each choice of options."""

from __future__ import annotations

import copy

from hydra import compose, initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from cosmos_exp.config import schema
from cosmos_exp.config.hydra_internals import apply_overrides


class Composer:
    """Composes a config. Overrides that choose options go through Hydra's compose, whose results are kept; those that
    change a value in a group are applied to a copy, in their order, as Hydra does after it has merged the options.
    """

    def __init__(self, name: str = "config"):
        schema.register()
        self.name = name
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def __call__(self, *overrides: str) -> DictConfig:
        given = OverridesParser.create().parse_overrides(list(overrides))
        options = tuple(override.input_line for override in given if not changes_value(override))
        if options not in self._composed:
            with initialize_config_module("cosmos_exp.conf", version_base="1.3"):
                self._composed[options] = compose(self.name, overrides=list(options))
        config = copy.deepcopy(self._composed[options])
        apply_overrides([override for override in given if changes_value(override)], config)
        return config


def changes_value(override: Override) -> bool:
    """Whether an override changes a value inside of a group, `scene.seed=1`, and no more than that."""
    return "." in override.key_or_group and not override.is_hydra_override() and not override.is_sweep_override()
