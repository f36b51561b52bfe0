"""Networks at any size with random weights, and one guided evaluation of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cosmos_exp.models.checkpoints.checkpoint import load_strict, own_tensors
from cosmos_exp.models.dit.parts import ModelParts
from cosmos_exp.models.dit.view_layout import stack_views
from cosmos_exp.models.transfer1.denoise import guided
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.models.transfer1.multi_view import front_condition
from cosmos_exp.models.transfer1.tokenizer import VideoTokenizer
from cosmos_exp.models.transfer25.model import ViewsModel
from cosmos_exp.sampling.sampler_params import SamplerParams

CONTROL = "hdmap"
SIGMA = 2.0


class RandomParts(ModelParts):
    """A model whose files hold random values: all tensors are views of one, mapped as files would be.

    in_float32: parts whose files hold float32; the others are in the networks' dtype.
    """

    in_float32: tuple[str, ...] = ("tokenizer", "text_encoder")

    def __init__(self, config: Mapping[str, Any], **place: Any):
        config = dict(config)
        config["text_encoder"] = {k: v for k, v in config["text_encoder"].items() if k != "vocabulary"}
        super().__init__(config, folder=Path("random"), **place)
        self.values: dict[torch.dtype, Tensor] = {}

    def _load(self, name: str, make: Callable[[], nn.Module]) -> nn.Module:
        with torch.device("meta"):
            part = make()
        dtype = torch.float32 if name in self.in_float32 else self.dtype
        state = {key: self._drawn(tensor.shape, dtype) for key, tensor in own_tensors(part).items()}
        load_strict(part, state, name)
        if isinstance(part, VideoTokenizer):
            part.make_wavelets()
            part.mean, part.std = torch.zeros_like(part.mean), torch.ones_like(part.std)
        return part

    def _drawn(self, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        if dtype not in self.values or len(self.values[dtype]) < shape.numel():
            self.values[dtype] = torch.empty(shape.numel(), dtype=dtype).normal_(std=0.02)
        return self.values[dtype][: shape.numel()].view(shape)


class RandomModel(RandomParts, WorldModel):
    """Of Cosmos-Transfer1."""


class RandomViewsModel(RandomParts, ViewsModel):
    """Of Cosmos-Transfer2.5."""

    in_float32 = ("tokenizer",)


def evaluate(model: WorldModel, stage: str, shape: tuple[int, ...], text: Tensor) -> Tensor:
    """One guided evaluation with one control. shape: latents of a view. text: [S, channels]."""
    denoiser = getattr(model, stage)([CONTROL])
    views, device = denoiser.net.config.num_views, model.device
    x = stack_views(torch.randn(views, *shape, device=device))[None] * SIGMA
    condition = front_condition(torch.zeros(shape), views, None, device) if views > 1 else None
    with torch.inference_mode():
        clip = denoiser.prepare(x, {CONTROL: torch.zeros_like(x)}, condition=condition, fps=model.contract.fps)
    denoise = guided(
        denoiser,
        clip,
        text=text.repeat(views, 1)[None].to(device),
        negative_text=None if views > 1 else text[None, :].to(device),
        sampler=SamplerParams(num_steps=35, guidance=5.0),
        weights={CONTROL: 1.0},
        condition=condition,
    )
    return denoise(x, SIGMA)
