"""Composes the configs of a sweep's cells: the first by Hydra, those that differ in plain values from a copy of it."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, ListConfig, OmegaConf

from cosmos_exp.common.single_entry_cache import SingleEntryCache
from cosmos_exp.config.hydra_internals import apply_overrides, get_overrides_dirname

_composers = SingleEntryCache()


def composer_of(loader: ConfigLoader, master: DictConfig) -> CellComposer:
    """The composer of a multirun, one per process. loader, master: as of `CellComposer`."""
    return _composers.get(id(master), lambda: CellComposer(loader, master))


def plain_list(values: ListConfig) -> list[str]:
    """Recorded overrides as they were given: what they refer to is a matter of each cell."""
    found = OmegaConf.to_container(values, resolve=False)
    assert isinstance(found, list)
    return [str(value) for value in found]


def number_cell(config: DictConfig, number: int) -> None:
    """Give a cell its number, in its config with `hydra`, in which values can be added."""
    config.hydra.job.num = number
    config.hydra.job.id = f"{config.hydra.job.name}_{number}"


class CellComposer:
    """loader: Hydra's. master: what it composed for the whole multirun."""

    def __init__(self, loader: ConfigLoader, master: DictConfig):
        self.loader = loader
        self.master = master
        self._composed: tuple[list[Override], DictConfig] | None = None

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The config of the cell with these overrides, `hydra` included; the caller's own. Raises as Hydra does."""
        given = OverridesParser.create(config_loader=self.loader).parse_overrides(list(overrides))
        if self._composed is not None:
            before, config = self._composed
            if (changed := changed_values(before, given, config)) is not None:
                return self._with(copy.deepcopy(config), given, changed)
        config = self.loader.load_sweep_config(self.master, list(overrides))
        self._composed = given, copy.deepcopy(config)
        return config

    def _with(self, config: DictConfig, given: list[Override], changed: list[Override]) -> DictConfig:
        """`config`, of another cell, turned into that of the overrides `given`; changed: those that differ."""
        apply_overrides(changed, config)
        task = [override for override in given if not override.is_hydra_override()]
        config.hydra.overrides.task = [override.input_line for override in task]
        config.hydra.job.override_dirname = get_overrides_dirname(task, **config.hydra.job.config.override_dirname)
        OmegaConf.copy_cache(from_config=self.master, to_config=config)
        return config


def changed_values(before: list[Override], given: list[Override], config: DictConfig) -> list[Override] | None:
    """The overrides in `given` that differ from those `before`, with which `config` was composed; None where the
    difference changes more than plain values of the config."""
    keys = [override.key_or_group for override in given]
    if keys != [override.key_or_group for override in before]:
        return None
    changed = [new for old, new in zip(before, given) if new.input_line != old.input_line]
    groups = config.hydra.runtime.choices
    return changed if all(_is_plain(override, keys, groups) for override in changed) else None


def _is_plain(override: Override, keys: list[str], groups: DictConfig) -> bool:
    """Whether it replaces one value and has nothing to do with the other overrides."""
    key = override.key_or_group
    related = [other for other in keys if f"{other}.".startswith(f"{key}.") or f"{key}.".startswith(f"{other}.")]
    return (
        override.type == OverrideType.CHANGE
        and not isinstance(override.value(), dict)
        and not override.is_hydra_override()
        and key not in groups
        and "[" not in "".join(keys)
        and related == [key]
    )
