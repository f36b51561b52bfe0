"""`model.json` of a Cosmos-Transfer2.5 model: contract and sizes of the networks, checked before any is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.guards import read_json, shortened
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.dit.description import CONFIG_FILE, check_sizes, keys_of
from cosmos_exp.models.transfer25.config import NetConfig

FAMILY_NAME = "transfer25"
PARTS = ("name", "family", "contract", "tokenizer", "text_encoder", "network")
WEIGHTS = ("tokenizer", "text_encoder", "network")


def read_description(folder: Path) -> dict[str, Any]:
    """What `model.json` says. FileNotFoundError where there is none, UserError for anything but a model of ours."""
    path = folder / CONFIG_FILE
    values = read_json("model description", path)
    if not isinstance(values, dict):
        raise UserError(f"{path} is no model description: it holds {shortened(values)}, not keys")
    if values.get("family") != FAMILY_NAME:
        raise UserError(f"{path} describes no model of Cosmos-Transfer2.5: its family is not {FAMILY_NAME!r}")
    missing = [part for part in PARTS if part not in values]
    if missing:
        raise UserError(f"model description {path} lacks {', '.join(missing)}")
    try:
        Contract.from_dict(keys_of(values["contract"], "contract"))
        for part in WEIGHTS:
            check_sizes(keys_of(values[part], part), part)
        _check_network(values["network"])
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return values


def weight_files(description: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the files of all parts, and of the text encoder's vocabulary."""
    vocabulary = description["text_encoder"].get("vocabulary")
    return (*(f"{part}.safetensors" for part in WEIGHTS), *([vocabulary] if vocabulary else []))


def _check_network(values: dict[str, Any]) -> None:
    known = {f.name: f.default for f in fields(NetConfig)}
    for name, value in values.items():
        if name not in known:
            raise UserError(f"network: {unknown_name('network setting', name, known)}")
        if not _like(value, known[name]):
            raise UserError(f"network.{name} is {shortened(value)}: a value like {shortened(known[name])} is needed")
    NetConfig.from_dict(values)


def _like(value: Any, usual: Any) -> bool:
    """Whether a value is of the type of the usual one; of a triple of numbers, whether it is one."""
    if isinstance(usual, tuple):
        numbers = not isinstance(usual[0], str)
        right = isinstance(value, (list, tuple)) and (not numbers or len(value) == len(usual))
        return right and all(_like(one, usual[0]) for one in value)
    if isinstance(usual, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0
    if isinstance(usual, int):
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return isinstance(value, type(usual))
