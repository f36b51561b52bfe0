"""SigLIP with the classifier of Cosmos-Guardrail1; imports torch and transformers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cosmos_exp.common.errors import UserError
from cosmos_exp.guardrails.classes import CLASSES

HIDDEN = (512, 256)
PREFIX = "network.layers."
EXTRA = "_extra_state"
"""Of keys that NVIDIA's Transformer Engine adds, without values."""


def classifier(embedding: int) -> nn.Sequential:
    """Of embeddings [N, embedding]: logits of `CLASSES`."""
    first, second = HIDDEN
    return nn.Sequential(
        nn.Linear(embedding, first), nn.BatchNorm1d(first), nn.ReLU(),
        nn.Linear(first, second), nn.BatchNorm1d(second), nn.ReLU(),
        nn.Linear(second, len(CLASSES)),
    )  # fmt: skip


def load_classifier(path: Path) -> nn.Sequential:
    """The released classifier: `model` of the file, whose tensors must be those of `classifier`, none more or less.
    UserError else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["model"]
        state = {key.removeprefix(PREFIX): value for key, value in state.items() if not key.endswith(EXTRA)}
        network = classifier(state["0.weight"].shape[1])
    except FileNotFoundError:
        raise UserError(f"no classifier at {str(path)!r}") from None
    except Exception as error:  # of a damaged file torch raises anything
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{str(path)!r} is not the classifier of Cosmos-Guardrail1: {said}") from error
    _require_same(network, state, path)
    network.load_state_dict(state)
    return network.eval()


def _require_same(network: nn.Module, state: Mapping[str, Any], path: Path) -> None:
    wanted, given = network.state_dict(), state
    problems = [f"{key} is missing" for key in wanted if key not in given]
    problems += [f"{key} is unknown" for key in given if key not in wanted]
    for key in wanted.keys() & given.keys():
        if not isinstance(given[key], Tensor) or given[key].shape != wanted[key].shape:
            problems.append(f"{key} has another shape")
        elif not torch.isfinite(given[key].float()).all():
            problems.append(f"{key} has values that are no numbers")
    if problems:
        raise UserError(f"{str(path)!r} is not the classifier of Cosmos-Guardrail1: {', '.join(sorted(problems)[:8])}")


class Networks:
    """folder: of SigLIP. path: of the classifier. UserError where one cannot be loaded, or they do not fit."""

    def __init__(self, folder: Path, path: Path, device: str):
        from transformers import AutoImageProcessor, AutoModel

        self.device = torch.device(device)
        self.head = load_classifier(path).to(self.device)
        try:
            self.processor = AutoImageProcessor.from_pretrained(folder, use_fast=False, local_files_only=True)
            model, read = AutoModel.from_pretrained(folder, local_files_only=True, output_loading_info=True)
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{str(folder)!r} is no SigLIP: {str(error).splitlines()[0]}") from error
        if model.config.model_type != "siglip":
            raise UserError(f"{str(folder)!r} is no SigLIP, but {model.config.model_type}")
        if wrong := [key for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") for key in read[kind]]:
            raise UserError(
                f"{str(folder)!r} is no whole SigLIP: {len(wrong)} tensors are missing, unknown or of another shape"
            )
        embedding, needed = model.config.vision_config.hidden_size, self.head[0].in_features
        if embedding != needed:
            raise UserError(f"SigLIP of {str(folder)!r} gives embeddings of {embedding}, the classifier reads {needed}")
        self.siglip = model.to(self.device).eval()

    @torch.inference_mode()
    def classes(self, frames: np.ndarray) -> np.ndarray:
        """int [F], of `CLASSES`, of uint8 [F,H,W,3] RGB. UserError where a frame gives no numbers."""
        pixels = self.processor(images=list(frames), return_tensors="pt")["pixel_values"].to(self.device)
        embedded = self.siglip.vision_model(pixel_values=pixels).pooler_output
        logits = self.head(nn.functional.normalize(embedded.float(), dim=-1))
        if not torch.isfinite(logits).all():
            raise UserError("guardrails.safety: SigLIP gave values that are no numbers: the frames cannot be judged")
        return logits.argmax(dim=-1).cpu().numpy()
