"""A model of several views: tokenizer, text encoder and the network, and their contract."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.interpreter import loading_modules
from cosmos_exp.models.checkpoints.checkpoint import load_strict, read_state, save_state
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.dit.description import CONFIG_FILE
from cosmos_exp.models.dit.memory import Memory
from cosmos_exp.models.dit.parts import ModelParts
from cosmos_exp.models.kernels.speed import Speed
from cosmos_exp.models.transfer1.tokenizer import to_uint8
from cosmos_exp.models.transfer25.checkpoint import load_network
from cosmos_exp.models.transfer25.config import NetConfig
from cosmos_exp.models.transfer25.description import read_description, weight_files
from cosmos_exp.models.transfer25.network import ControlledNet
from cosmos_exp.models.transfer25.tokenizer import VideoTokenizer, to_signed

if TYPE_CHECKING:
    from cosmos_exp.models.transfer25.text import TextEncoder


class ViewsModel(ModelParts):
    """Parts are created lazily, and loaded from the folder if there is one. config: plain values, as in `model.json`.

    The tokenizer works in `dtype` as the network does, the text encoder in that of `memory`.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        folder: Path | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        speed: Speed | None = None,
        memory: Memory | None = None,
    ):
        self.config = dict(config)
        self.contract = Contract.from_dict(config["contract"])
        super().__init__(folder, device=device, dtype=dtype, speed=speed, memory=memory)

    @classmethod
    def from_folder(cls, folder: Path, **options: Any) -> ViewsModel:
        """A folder written by `save`. Every weights file must be there; each is loaded strictly on first use.

        options: device, dtype, speed, memory.
        """
        folder = Path(folder)
        try:
            config = read_description(folder)
        except FileNotFoundError:
            raise UserError(f"no model in {folder}: {CONFIG_FILE} not found") from None
        absent = [name for name in weight_files(config) if not (folder / name).is_file()]
        if absent:
            raise UserError(f"model folder {folder} lacks {', '.join(absent)}")
        return cls(config, folder=folder, **options)

    @property
    def tokenizer(self) -> VideoTokenizer:
        self._evict_for("tokenizer")
        return self._part("tokenizer", "tokenizer", lambda: VideoTokenizer(self.config["tokenizer"]))

    @property
    def text_encoder(self) -> TextEncoder:
        with loading_modules():
            from cosmos_exp.models.transfer25.text import TextEncoder  # which loads transformers

        self._evict_for("text_encoder")
        settings, tokens = self.config["text_encoder"], self.contract.text_tokens
        return self._part("text_encoder", "text_encoder", lambda: TextEncoder(settings, tokens, folder=self.folder))

    @property
    def network(self) -> ControlledNet:
        self._evict_for("multi_view")
        return self._part("multi_view", "network", lambda: ControlledNet(NetConfig.from_dict(self.config["network"])))

    @torch.no_grad()
    def encode_text(self, prompt: str) -> Tensor:
        """[S, text_width] bfloat16, padding included."""
        return self.text_encoder.encode([prompt])[0].bfloat16()

    @torch.no_grad()
    def encode_video(self, frames: np.ndarray) -> Tensor:
        """uint8 [F,H,W,3] -> float32 latents [16,T,h,w]."""
        return self.tokenizer.encode(to_signed(frames)[None].to(self.device))[0]

    @torch.no_grad()
    def decode(self, latents: Tensor) -> np.ndarray:
        """Latents [16,T,h,w] -> uint8 [F,H,W,3]."""
        return to_uint8(self.tokenizer.decode(latents[None].to(self.device))[0])

    def save(self, folder: Path, dtype: torch.dtype = torch.bfloat16) -> None:
        """Write `model.json` and one safetensors file per part; floating tensors are stored as `dtype`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        parts = {"tokenizer": self.tokenizer, "text_encoder": self.text_encoder, "network": self.network}
        for name, part in parts.items():
            save_state(part, folder / f"{name}.safetensors", dtype)
        (folder / CONFIG_FILE).write_text(json.dumps(self.config, indent=2) + "\n")

    def _fill(self, part: nn.Module, path: Path) -> None:
        if isinstance(part, ControlledNet):
            load_network(part, path)
            return
        load_strict(part, read_state(path), path)

    def _to_device(self, part: nn.Module) -> nn.Module:
        if isinstance(part, ControlledNet):
            part.cast(self.dtype).apply_speed(self.speed, self.device)
            if self.memory.offload == "blocks":
                part.offload_to(self._offload)
        elif isinstance(part, VideoTokenizer):
            part.to(self.dtype)
        else:
            from cosmos_exp.models.transfer25.text import TextEncoder

            assert isinstance(part, TextEncoder)
            part.cast(getattr(torch, self.memory.text_encoder_dtype))
            return part if self.memory.text_encoder == "cpu" else part.to(self.device)
        return part.to(self.device)
