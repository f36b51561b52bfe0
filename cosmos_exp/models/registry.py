"""The video models by name: ours, and those of other packages, which are entry points of the group `cosmos_exp.models`.

An entry point names a `ModelFamily`. Its name is an option of the `model` group, with the family's config type; a
family with several models adds options of its own that begin with `defaults: [base_<family>, _self_]`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib import import_module

from cosmos_exp.common.entry_points import model_entry_points
from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.models.base import ModelFamily
from cosmos_exp.models.config import ModelConfig
from cosmos_exp.models.contract import Contract

log = logging.getLogger(__name__)

OURS = {
    "transfer1": "cosmos_exp.models.transfer1.family",
    "transfer25": "cosmos_exp.models.transfer25.family",
    "render": "cosmos_exp.models.render_model",
    "remote": "cosmos_exp.models.remote.family",
    "cosmos3": "cosmos_exp.models.cosmos3.family",
}
"""{family: module with its FAMILY}; their options are files of `conf/model/`."""

_registered: dict[str, ModelFamily] = {}


def register_model(name: str, family: ModelFamily) -> None:
    """Make a family known to this process, as an entry point does for all. Before a config is composed."""
    if name in OURS:
        raise UserError(f"the model family {name!r} is ours: choose another name")
    _registered[name] = family


def family_names() -> tuple[str, ...]:
    """Of all families, without importing them."""
    return (*OURS, *other_families())


def other_families() -> tuple[str, ...]:
    """Of those that are not ours; each is an option `model=NAME`."""
    return tuple(name for name in dict.fromkeys([*_registered, *model_entry_points()]) if name not in OURS)


def find_family(name: str) -> ModelFamily:
    """Raises UserError for an unknown name, and where the package of an entry point cannot be imported."""
    if name in _registered:
        return _registered[name]
    if name in OURS:
        return import_module(OURS[name]).FAMILY
    if name not in model_entry_points():
        raise UserError(unknown_name("model family", name, family_names()))
    point = model_entry_points()[name]
    package = point.dist.name if point.dist else point.module
    try:
        family = point.load()
    except Exception as error:  # whatever the code of another package does while it is imported
        raise UserError(
            f"model={name}: {point.value} of the package {package} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(family, ModelFamily):
        raise UserError(f"model={name}: {point.value} of the package {package} is no ModelFamily, but {family!r}")
    return family


def config_types() -> dict[str, type[ModelConfig]]:
    """{family: its config type} of the families that can be imported; others are logged."""
    types = {}
    for name in family_names():
        try:
            types[name] = find_family(name).config
        except UserError as error:
            log.warning("%s", error)
    return types


def contract_of(config: ModelConfig) -> Contract:
    """What the model of a config can make, without loading it."""
    return find_family(config.family).contract(config, named_contract)


def known_contracts() -> Mapping[str, Contract]:
    """{name: contract} of the models that exist by name, whether their weights are here or not."""
    return {name: contract for family in family_names() for name, contract in find_family(family).known().items()}


def named_contract(name: str) -> Contract:
    """Of the model that `model=NAME` stands for, with its own defaults. UserError for an unknown name."""
    known = known_contracts()
    if name in known:
        return known[name]
    if name not in other_families():
        raise UserError(unknown_name("model", name, [*known, *other_families()]))
    return contract_of(find_family(name).config(name=name, family=name))
