"""What the descriptions of models, `model.json`, have in common, checked before any network is built."""

from __future__ import annotations

from typing import Any

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.guards import shortened

CONFIG_FILE = "model.json"
LARGEST = 1_000_000
"""Of every whole number that is a size; the released networks have none above 200 000."""
LAYERS = 1000
LAYER_COUNTS = ("num_blocks", "num_layers", "num_decoder_layers", "num_hidden_layers")


def keys_of(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{place} is {shortened(value)}: keys are needed")
    return value


def check_sizes(values: dict[str, Any], place: str) -> None:
    """UserError for whole numbers that no network has, at any level."""
    for name, value in values.items():
        numbers = [value]
        if isinstance(value, dict):
            check_sizes(value, f"{place}.{name}")
        elif isinstance(value, list):
            numbers = value
        most = LAYERS if name in LAYER_COUNTS else LARGEST
        for number in numbers:
            if isinstance(number, int) and not isinstance(number, bool) and abs(number) > most:
                raise UserError(f"{place}.{name} is {shortened(number)}: at most {most}")
