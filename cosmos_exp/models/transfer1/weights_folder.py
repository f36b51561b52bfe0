"""Where a model's weights lie, and what loads them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_exp.common.interpreter import loading_modules
from cosmos_exp.models.checkpoints import released
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.dit.weights_folder import contract_in, given_folder, released_folder
from cosmos_exp.models.transfer1.description import read_description

if TYPE_CHECKING:
    from cosmos_exp.models.transfer1.model import WorldModel

SHIPPED_WEIGHTS = Path(__file__).with_name("weights")


def model_folder(name: str, weights: str | None) -> Path:
    """The folder of a model: the given one, the one that ships with the package, or where released models are kept."""
    shipped = SHIPPED_WEIGHTS / name
    if weights is None and name in released.MODELS and not shipped.is_dir():
        return released_folder(name, released.MODELS[name].download)
    return given_folder(weights or shipped)


def read_contract(folder: Path) -> Contract:
    """What the model in `folder` can make, without loading it."""
    return contract_in(folder, read_description)


def load_model(folder: Path, **options: Any) -> WorldModel:
    """See `WorldModel.from_folder`."""
    with loading_modules():
        from cosmos_exp.models.transfer1.model import WorldModel

    return WorldModel.from_folder(folder, **options)
