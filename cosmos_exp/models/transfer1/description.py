"""`model.json`: the contract of a world model and the sizes of its networks, checked before any is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.guards import read_json, shortened
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.dit.description import CONFIG_FILE, LARGEST, check_sizes, keys_of
from cosmos_exp.models.transfer1.config import DiTConfig

PARTS = ("name", "contract", "tokenizer", "text_encoder", "single_view", "multi_view")
VIEW_PREFIX = {"single_view": "", "multi_view": "multiview_"}
"""Of the names of a network's weights files."""


def read_description(folder: Path) -> dict[str, Any]:
    """What `model.json` says. FileNotFoundError where there is none, UserError for anything but a world model's."""
    path = folder / CONFIG_FILE
    values = read_json("model description", path)
    if not isinstance(values, dict):
        raise UserError(f"{path} is no model description: it holds {shortened(values)}, not keys")
    missing = [part for part in PARTS if part not in values]
    if missing:
        raise UserError(f"model description {path} lacks {', '.join(missing)}")
    try:
        Contract.from_dict(keys_of(values["contract"], "contract"))
        check_sizes(keys_of(keys_of(values["tokenizer"], "tokenizer").get("vae"), "tokenizer.vae"), "tokenizer.vae")
        check_sizes(keys_of(values["text_encoder"], "text_encoder"), "text_encoder")
        for stage in ("single_view", "multi_view"):
            if values[stage] is not None:
                _check_stage(keys_of(values[stage], stage), stage)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return values


def weight_files(description: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the weights files of every part that a model has."""
    names = ["tokenizer", "text_encoder"]
    for stage, prefix in VIEW_PREFIX.items():
        if description[stage] is not None:
            names.append(f"{prefix}base")
            names += [f"{prefix}control_{control}" for control in description[stage]["controls"]]
    return tuple(f"{name}.safetensors" for name in names)


def _check_stage(stage: dict[str, Any], place: str) -> None:
    _check_network(keys_of(stage.get("base"), f"{place}.base"), f"{place}.base")
    for name, network in keys_of(stage.get("controls"), f"{place}.controls").items():
        _check_network(keys_of(network, f"{place}.controls.{name}"), f"{place}.controls.{name}")


def _check_network(values: dict[str, Any], place: str) -> None:
    check_sizes(values, place)
    known = {f.name: f.default for f in fields(DiTConfig)}
    for name, value in values.items():
        if name not in known:
            raise UserError(f"{place}: {unknown_name('network setting', name, known)}")
        usual = known[name] if known[name] is not None else (0,)
        right = value is None if known[name] is None and value is None else _like(value, usual, name)
        if not right:
            raise UserError(f"{place}.{name} is {shortened(value)}: a value like {shortened(usual)} is needed")
    DiTConfig.from_dict(values)


def _like(value: Any, usual: Any, name: str) -> bool:
    """Whether a value is of the type of the usual one; of a triple, whether it is one."""
    if isinstance(usual, tuple):
        long_enough = isinstance(value, list) and (name == "view_ids" or len(value) == len(usual))
        return long_enough and all(_like(one, usual[0], name) for one in value)
    if isinstance(usual, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= LARGEST
    least = 0 if name.startswith(("hint", "view", "adaln")) else 1
    return type(value) is type(usual) and (not isinstance(value, int) or isinstance(value, bool) or value >= least)
