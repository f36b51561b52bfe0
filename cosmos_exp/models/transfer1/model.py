"""A world model: tokenizer, text encoder, single-view and multi-view denoiser, and their contract."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.interpreter import loading_modules
from cosmos_exp.models.checkpoints.checkpoint import load_network, load_strict, read_state, save_state
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.dit.description import CONFIG_FILE
from cosmos_exp.models.dit.memory import Memory
from cosmos_exp.models.dit.parts import ModelParts
from cosmos_exp.models.kernels.speed import Speed
from cosmos_exp.models.transfer1.config import DiTConfig
from cosmos_exp.models.transfer1.control import ControlEncoder, ControlledDiT
from cosmos_exp.models.transfer1.description import PARTS, VIEW_PREFIX, read_description, weight_files
from cosmos_exp.models.transfer1.edm import Denoiser
from cosmos_exp.models.transfer1.tokenizer import VideoTokenizer, to_signed, to_uint8
from cosmos_exp.models.transfer1.transformer import DiT, Trunk

if TYPE_CHECKING:
    from cosmos_exp.models.transfer1.text import TextEncoder


class WorldModel(ModelParts):
    """Parts are created lazily, and loaded from the folder if there is one.

    config: plain values, see `nano_config`. dtype, speed: of the two denoisers. memory: which parts are on the device
    at the same time; only models with a folder evict parts, because these can be loaded again.
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
        missing = [part for part in PARTS if part not in config]
        if missing:
            raise UserError(f"model description {folder or ''} lacks {', '.join(missing)}")
        self.config = dict(config)
        self.contract = Contract.from_dict(config["contract"])
        super().__init__(folder, device=device, dtype=dtype, speed=speed, memory=memory)
        self._denoisers: dict[str, Denoiser] = {}

    @classmethod
    def build(cls, config: Mapping[str, Any], **options: Any) -> WorldModel:
        """Random weights, for training. options: device, dtype, speed."""
        return cls(config, **options)

    @classmethod
    def from_folder(cls, folder: Path, **options: Any) -> WorldModel:
        """A folder written by `save`. Every weights file must be there; each is loaded strictly on first use.

        options: device, dtype, speed, memory.
        """
        folder = Path(folder)
        try:
            config = read_description(folder)
        except FileNotFoundError:
            raise UserError(f"no world model in {folder}: {CONFIG_FILE} not found") from None
        model = cls(config, folder=folder, **options)
        absent = [name for name in model.weight_files() if not (folder / name).is_file()]
        if absent:
            raise UserError(f"world model {folder} lacks {', '.join(absent)}")
        return model

    def weight_files(self) -> tuple[str, ...]:
        """Names of the files of every part."""
        vocabulary = self.config["text_encoder"].get("vocabulary")
        return (*weight_files(self.config), *([vocabulary] if vocabulary else []))

    def stages(self) -> tuple[tuple[str, str], ...]:
        """(stage, prefix of its weights files) of the nets that this model has."""
        return tuple((stage, prefix) for stage, prefix in VIEW_PREFIX.items() if self.config[stage] is not None)

    @property
    def tokenizer(self) -> VideoTokenizer:
        self._evict_for("tokenizer")
        settings = self.config["tokenizer"]
        return self._part("tokenizer", "tokenizer", lambda: VideoTokenizer(settings["vae"], settings["stat_frames"]))

    @property
    def text_encoder(self) -> TextEncoder:
        with loading_modules():
            from cosmos_exp.models.transfer1.text import TextEncoder  # which loads transformers' T5

        self._evict_for("text_encoder")
        return self._part(
            "text_encoder",
            "text_encoder",
            lambda: TextEncoder(self.config["text_encoder"], self.contract.text_tokens, folder=self.folder),
        )

    def single_view(self, controls: Iterable[str] | None = None) -> Denoiser:
        """The single-view denoiser with the encoders of `controls`, by default of all."""
        return self._denoiser("single_view", controls)

    def multi_view(self, controls: Iterable[str] | None = None) -> Denoiser:
        """The multi-view denoiser with the encoders of `controls`, by default of all."""
        return self._denoiser("multi_view", controls)

    @torch.no_grad()
    def encode_text(self, prompt: str) -> Tensor:
        """[S, text_channels] float32, zero rows beyond the prompt."""
        return self.text_encoder.encode([prompt])[0].float()

    @torch.no_grad()
    def encode_video(self, frames: np.ndarray) -> Tensor:
        """uint8 [F,H,W,3] -> float32 latents [16,T,h,w]."""
        return self.tokenizer.encode(to_signed(frames)[None].to(self.device))[0]

    @torch.no_grad()
    def decode(self, latents: Tensor) -> np.ndarray:
        """Latents [16,T,h,w] -> uint8 [F,H,W,3]."""
        pieces = self.tokenizer.decoded(latents[None].to(self.device))
        return np.concatenate([to_uint8(piece[0]) for piece in pieces])

    def save(self, folder: Path, dtype: torch.dtype = torch.bfloat16) -> None:
        """Write `model.json` and one safetensors file per part; floating tensors are stored as `dtype`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_state(self.tokenizer, folder / "tokenizer.safetensors", dtype)
        save_state(self.text_encoder, folder / "text_encoder.safetensors", dtype)
        for stage, prefix in self.stages():
            net = self._denoiser(stage, None).net
            save_state(net.base, folder / f"{prefix}base.safetensors", dtype)
            for name, encoder in net.controls.items():
                save_state(encoder, folder / f"{prefix}control_{name}.safetensors", dtype)
        (folder / CONFIG_FILE).write_text(json.dumps(self.config, indent=2) + "\n")

    def _denoiser(self, stage: str, controls: Iterable[str] | None) -> Denoiser:
        settings, prefix = self.config[stage], VIEW_PREFIX[stage]
        if settings is None:
            raise UserError(f"model {self.config['name']} has no {stage.replace('_', '-')} network")
        self._evict_for(stage)
        if stage not in self._denoisers:
            base = self._part(stage, f"{prefix}base", lambda: DiT(DiTConfig.from_dict(settings["base"])))
            self._denoisers[stage] = Denoiser(ControlledDiT(base, {})).eval()
        denoiser = self._denoisers[stage]
        for name in settings["controls"] if controls is None else controls:
            if name not in settings["controls"]:
                raise UserError(unknown_name(f"{stage} control", name, settings["controls"]))
            if name not in denoiser.net.controls:
                config = DiTConfig.from_dict(settings["controls"][name])
                encoder = self._part(stage, f"{prefix}control_{name}", partial(ControlEncoder, config))
                denoiser.net.controls[name] = encoder
        return denoiser

    def _to_device(self, part: nn.Module) -> nn.Module:
        """A part in its dtype, on its device."""
        memory = self.memory
        if isinstance(part, VideoTokenizer):
            part.float().chunk = memory.tokenizer_chunk
        elif isinstance(part, Trunk):
            part.to(self.dtype).apply_speed(self.speed, self.device)
            if memory.offload == "blocks":
                part.offload_to(self._offload)
        else:  # the text encoder
            part.to(getattr(torch, memory.text_encoder_dtype))
            return part if memory.text_encoder == "cpu" else part.to(self.device)
        return part.to(self.device)

    def _drop(self, group: str) -> None:
        self._denoisers.pop(group, None)

    def _fill(self, part: nn.Module, path: Path) -> None:
        if isinstance(part, Trunk):
            load_network(part, path)
        else:
            load_strict(part, read_state(path), path)
        if isinstance(part, VideoTokenizer):
            part.make_wavelets()
