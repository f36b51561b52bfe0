"""The control branch of Cosmos-Transfer1: encoders of control latents that steer a base net."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from diffusers.models.transformers.transformer_cosmos import CosmosPatchEmbed
from torch import Tensor, nn

from cosmos_exp.errors import UserError, unknown_name
from cosmos_exp.world.config import DiTConfig
from cosmos_exp.world.embeddings import Positions
from cosmos_exp.world.transformer import BASE_FPS, DiT, Trunk, init_weights, resize_padding

HINT_WIDTHS = (16, 16, 32, 32, 96, 96, 256)

Weight = float | Tensor  # scalar, [B] per sample, or map [B or 1, 1, V*T, h, w] on the patch grid


class ControlEncoder(Trunk):
    """A truncated copy of the base net that turns a control latent into one residual per block."""

    def __init__(self, config: DiTConfig):
        super().__init__(config)
        width = config.model_channels
        self.hint_embed = CosmosPatchEmbed(config.hint_channels + 1, width, config.patch_size, bias=False)
        widths = (width, *HINT_WIDTHS, width)
        layers: list[nn.Module] = []
        for narrow, wide in pairwise(widths):
            layers += [nn.Linear(narrow, wide), nn.SiLU()]
        self.hint_block = nn.Sequential(*layers[:-1])
        self.zero_blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(config.num_blocks))
        init_weights(self)
        for layer in self.zero_blocks:
            nn.init.zeros_(layer.weight)

    def hint_tokens(self, hint: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """Tokens [B, L, D] of a control latent [B, 16, V*T, H, W]. They depend on the control video alone."""
        missing = self.config.hint_channels - hint.shape[1]
        if missing < 0:
            raise UserError(
                f"control latent has {hint.shape[1]} channels, this encoder takes up to {self.config.hint_channels}"
            )
        hint = F.pad(hint, (0, 0, 0, 0, 0, 0, 0, missing))
        padding = hint.new_zeros(()) if padding_mask is None else resize_padding(padding_mask, hint)
        padding = padding.expand(len(hint), 1, *hint.shape[2:])
        return self.hint_block(self.hint_embed(torch.cat([hint, padding], dim=1)).flatten(1, 3))

    def forward(
        self,
        x: Tensor,
        timestep: Tensor,
        text: Tensor | None,
        condition_channels: Tensor,
        positions: Positions,
        hint_tokens: Tensor,
    ) -> list[Tensor]:
        """Unweighted residuals, one [B, L, D] per block. Arguments as in `DiT.forward`."""
        hidden = self.tokens(x, condition_channels)
        time = self.time_embed(hidden, timestep)
        text = self.split_text(text)
        residuals = []
        for i, (block, zero_block) in enumerate(zip(self.transformer_blocks, self.zero_blocks)):
            hidden = block(hidden, text, time, positions)
            if i == 0:
                hidden = hidden + hint_tokens
            residuals.append(zero_block(hidden))
        return residuals

    def init_from_base(self, base: DiT) -> None:
        """Start training from the base: copy every parameter of the same name and shape."""
        own = self.state_dict()
        same = {k: v for k, v in base.state_dict().items() if k in own and own[k].shape == v.shape}
        self.load_state_dict(same, strict=False)


@dataclass(frozen=True)
class ClipInputs:
    """What a network needs of one clip and does not change from step to step.

    positions, channels, hint_tokens: by network name; "base" or the control's name.
    """

    positions: dict[str, Positions]
    channels: dict[str, Tensor]
    hint_tokens: dict[str, Tensor]


class ControlledDiT(nn.Module):
    """A base net with its control encoders.

    reference_compat: with several controls in a multi-view net, let the encoders use the base's view embedding, as the
    reference implementation does.
    """

    def __init__(self, base: DiT, controls: Mapping[str, ControlEncoder], *, reference_compat: bool = False):
        super().__init__()
        self.base = base
        self.controls = nn.ModuleDict(controls)
        self.reference_compat = reference_compat

    @property
    def dtype(self) -> torch.dtype:
        return self.base.dtype

    @property
    def config(self) -> DiTConfig:
        return self.base.config

    def prepare(
        self,
        x: Tensor,
        hints: Mapping[str, Tensor],
        *,
        condition_mask: Tensor | None = None,
        padding_mask: Tensor | None = None,
        fps: float = BASE_FPS,
        view_ids: Tensor | None = None,
        frame_repeat: Tensor | None = None,
    ) -> ClipInputs:
        """Everything that stays the same over the steps of a clip shaped like x [B,16,V*T,H,W].

        hints: control latents [B,16,V*T,H,W] by control name. Other arguments as in `Trunk.condition_channels`.
        """
        for name in hints:
            if name not in self.controls:
                raise UserError(unknown_name("control", name, self.controls))
        borrowed = self.base.view_embed if self.reference_compat and len(hints) > 1 else None
        positions, channels, tokens = {}, {}, {}
        for name, net in {"base": self.base, **{name: self.controls[name] for name in hints}}.items():
            positions[name] = net.positions(x, fps)
            channels[name] = net.condition_channels(
                x,
                condition_mask=condition_mask,
                padding_mask=padding_mask,
                view_ids=view_ids,
                frame_repeat=frame_repeat,
                view_embed=borrowed,
            )
        for name, hint in hints.items():
            tokens[name] = self.controls[name].hint_tokens(hint.to(x), padding_mask)
        return ClipInputs(positions, channels, tokens)

    def residuals(
        self, x: Tensor, timestep: Tensor, text: Tensor | None, clip: ClipInputs, weights: Mapping[str, Weight]
    ) -> tuple[Tensor, ...]:
        """Weighted sum over the controls, one [B, L, D] per injected block. A control of weight 0.0 is not run."""
        total: list[Tensor] = []
        for name, hint_tokens in clip.hint_tokens.items():
            weight = weights[name]
            if isinstance(weight, float | int) and weight == 0:
                continue
            encoder = self.controls[name]
            parts = encoder(x, timestep, text, clip.channels[name], clip.positions[name], hint_tokens)
            scale = token_weight(weight, parts[0])
            parts = [scale * part for part in parts]
            total = [a + b for a, b in zip(total, parts)] if total else parts
        return tuple(total)

    def forward(
        self, x: Tensor, timestep: Tensor, text: Tensor | None, clip: ClipInputs, weights: Mapping[str, Weight]
    ) -> Tensor:
        """Raw network output F [B,16,V*T,H,W]; x scaled by c_in, timestep [B] = c_noise, text [B, V*S, channels]."""
        residuals = self.residuals(x, timestep, text, clip, weights)
        return self.base(x, timestep, text, clip.channels["base"], clip.positions["base"], residuals)


def token_weight(weight: Weight, tokens: Tensor) -> Tensor | float:
    """A control weight shaped to multiply tokens [B, L, D]."""
    if not isinstance(weight, Tensor) or weight.ndim == 0:
        return weight
    weight = weight.to(tokens)
    return weight[:, None, None] if weight.ndim == 1 else weight.flatten(1)[..., None]
