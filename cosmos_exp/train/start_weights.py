"""Weights that a training starts from, and what latents depend on."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

import torch

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.models.transfer1.tokenizer import VideoTokenizer
from cosmos_exp.models.transfer1.weights_folder import SHIPPED_WEIGHTS

log = logging.getLogger(__name__)

DECODER = ("vae.decoder.", "vae.post_quant_conv.")
"""Of the names of the tokenizer's weights that latents do not depend on."""
NETWORKS: dict[str, Callable[[WorldModel], torch.nn.Module]] = {
    "tokenizer": lambda model: model.tokenizer,
    "text_encoder": lambda model: model.text_encoder,
    "single_view": lambda model: model.single_view(),
    "multi_view": lambda model: model.multi_view(),
}


def encoder_hash(tokenizer: VideoTokenizer) -> str:
    """SHA-256 of what latents depend on, as a model folder has it, in bfloat16."""
    digest = hashlib.sha256()
    state = {name: value for name, value in tokenizer.state_dict().items() if not name.startswith(DECODER)}
    for name, value in sorted(state.items()):
        rounded = value.detach().to("cpu", torch.bfloat16) if value.is_floating_point() else value.cpu()
        digest.update(name.encode())
        digest.update(rounded.contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def take_weights(model: WorldModel, names: list[str], device: torch.device) -> None:
    """Give each network of the model the weights of the first model among the named that has it in the same sizes.

    names: of models that ship, or folders. Raises UserError where one of them gives nothing.
    """
    wanted, left = json.loads(json.dumps(model.config)), list(NETWORKS)
    for name in names:
        shipped = SHIPPED_WEIGHTS / name
        source = WorldModel.from_folder(shipped if shipped.is_dir() else Path(name), device=device)
        taken = [part for part in left if source.config[part] == wanted[part]]
        if not taken:
            raise UserError(f"start_from={name}: none of its networks is wanted in the size that it has")
        for part in taken:
            NETWORKS[part](model).load_state_dict(NETWORKS[part](source).state_dict())
            left.remove(part)
        log.info("from %s: %s", name, ", ".join(taken))
    if left:
        log.info("random weights: %s", ", ".join(left))
