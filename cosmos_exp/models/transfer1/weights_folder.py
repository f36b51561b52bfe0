"""Where a model's weights lie, and what loads them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.input_files import did_you_mean
from cosmos_exp.common.interpreter import loading_modules
from cosmos_exp.models.checkpoints import released
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.transfer1.description import read_description

if TYPE_CHECKING:
    from cosmos_exp.models.transfer1.model import WorldModel

SHIPPED_WEIGHTS = Path(__file__).with_name("weights")


def model_folder(name: str, weights: str | None) -> Path:
    """The folder of a model: the given one, the one that ships with the package, or where released models are kept."""
    shipped = SHIPPED_WEIGHTS / name
    if weights is None and name in released.MODELS and not shipped.is_dir():
        folder = released.models_root() / name
        if not (folder / "model.json").is_file():
            raise UserError(f"no weights of {name} in {folder}: {released.how_to_get(name, folder)}")
        return folder
    folder = Path(weights) if weights else shipped
    if not folder.is_dir():
        raise UserError(f"model.weights: no folder {str(folder)!r}{did_you_mean(folder)}")
    return folder


def read_contract(folder: Path) -> Contract:
    """What the model in `folder` can make, without loading it."""
    try:
        return Contract.from_dict(read_description(folder)["contract"])
    except FileNotFoundError:
        raise UserError(f"model.weights: {str(folder)!r} holds no model.json, so it is no model folder") from None


def load_model(folder: Path, **options: Any) -> WorldModel:
    """See `WorldModel.from_folder`."""
    with loading_modules():
        from cosmos_exp.models.transfer1.model import WorldModel

    return WorldModel.from_folder(folder, **options)
