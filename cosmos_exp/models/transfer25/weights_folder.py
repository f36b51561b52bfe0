"""Where the weights of a Cosmos-Transfer2.5 model lie, and what loads them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.input_files import did_you_mean
from cosmos_exp.common.interpreter import loading_modules
from cosmos_exp.models.checkpoints.released import models_root
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.dit.description import CONFIG_FILE
from cosmos_exp.models.transfer25.description import read_description

if TYPE_CHECKING:
    from cosmos_exp.models.transfer25.model import ViewsModel


def model_folder(name: str, weights: str | None) -> Path:
    """The folder of a model: the given one, or where released models are kept."""
    if weights is None:
        folder = models_root() / name
        if not (folder / CONFIG_FILE).is_file():
            raise UserError(
                f"no weights of {name} in {folder}: get them with `cosmos-exp download {name}`, then `cosmos-exp "
                f"convert checkpoint checkpoints -o {folder} --model {name}`; a folder elsewhere is given as "
                "model.weights=FOLDER"
            )
        return folder
    folder = Path(weights)
    if not folder.is_dir():
        raise UserError(f"model.weights: no folder {str(folder)!r}{did_you_mean(folder)}")
    return folder


def read_contract(folder: Path) -> Contract:
    """What the model in `folder` can make, without loading it."""
    try:
        return Contract.from_dict(read_description(folder)["contract"])
    except FileNotFoundError:
        raise UserError(f"model.weights: {str(folder)!r} holds no {CONFIG_FILE}, so it is no model folder") from None


def load_model(folder: Path, **options: Any) -> ViewsModel:
    """See `ViewsModel.from_folder`."""
    with loading_modules():
        from cosmos_exp.models.transfer25.model import ViewsModel

    return ViewsModel.from_folder(folder, **options)
