"""Weights that a training starts from, and what latents depend on."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

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

    A base net may have more blocks than the named one: those after its last start as the identity, but for the position
    embedding that each block adds. names: of models that ship, or folders. Raises UserError where one gives nothing.
    """
    wanted, left = json.loads(json.dumps(model.config)), list(NETWORKS)
    for name in names:
        shipped = SHIPPED_WEIGHTS / name
        source = WorldModel.from_folder(shipped if shipped.is_dir() else Path(name), device=device)
        taken = [part for part in left if _fits(source.config[part], wanted[part])]
        if not taken:
            raise UserError(f"start_from={name}: none of its networks is wanted in the size that it has")
        for part in taken:
            deeper = source.config[part] != wanted[part]
            NETWORKS[part](model).load_state_dict(NETWORKS[part](source).state_dict(), strict=not deeper)
            left.remove(part)
        log.info("from %s: %s", name, ", ".join(taken))
    if left:
        log.info("random weights: %s", ", ".join(left))


def _fits(sizes: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether a network is wanted in these sizes, or with further blocks in its base net."""
    if "base" in sizes and sizes["base"]["num_blocks"] < wanted["base"]["num_blocks"]:
        sizes = {**sizes, "base": {**sizes["base"], "num_blocks": wanted["base"]["num_blocks"]}}
    return sizes == wanted
