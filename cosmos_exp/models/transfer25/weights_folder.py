"""Where the weights of a Cosmos-Transfer2.5 model lie, and what loads them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_exp.common.interpreter import loading_modules
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.dit.weights_folder import contract_in, given_folder, released_folder
from cosmos_exp.models.transfer25.description import read_description

if TYPE_CHECKING:
    from cosmos_exp.models.transfer25.model import ViewsModel


def model_folder(name: str, weights: str | None) -> Path:
    """The folder of a model: the given one, or where released models are kept."""
    return released_folder(name, name) if weights is None else given_folder(weights)


def read_contract(folder: Path) -> Contract:
    """What the model in `folder` can make, without loading it."""
    return contract_in(folder, read_description)


def load_model(folder: Path, **options: Any) -> ViewsModel:
    """See `ViewsModel.from_folder`."""
    with loading_modules():
        from cosmos_exp.models.transfer25.model import ViewsModel

    return ViewsModel.from_folder(folder, **options)
