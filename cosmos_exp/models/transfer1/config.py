"""Sizes of a diffusion transformer. The defaults are those of the released 7B networks."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from cosmos_exp.common.errors import UserError, unknown_name

EXTRA_POSITIONS = ("learnable", "sincos")


@dataclass(frozen=True)
class DiTConfig:
    """One network: a base net, or a control encoder when `hint_channels` is set.

    `max_size` counts latent pixels, before patching. Triples are ordered (frames, rows, columns).
    """

    model_channels: int = 4096
    num_blocks: int = 28
    num_heads: int = 32
    mlp_ratio: float = 4.0
    text_channels: int = 1024
    adaln_lora_dim: int = 256
    latent_channels: int = 16
    condition_mask: bool = False  # one input channel marking given latent frames
    patch_size: tuple[int, int, int] = (1, 2, 2)
    max_size: tuple[int, int, int] = (128, 240, 240)
    rope_scale: tuple[float, float, float] = (2.0, 1.0, 1.0)
    extra_pos: str = "learnable"
    hint_channels: int = 0  # channels of the control latent after zero padding; 0: no hint, a base net
    num_views: int = 1
    view_ids: tuple[int, ...] | None = None  # row of the view table for each view; None: 0, 1, 2, ...
    view_table_size: int = 7
    view_channels: int = 0  # input channels carrying the view embedding; 0: a single-view net

    def __post_init__(self):
        for name in ("patch_size", "max_size", "rope_scale", "view_ids"):  # JSON has lists
            value = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
        if self.model_channels % self.num_heads:
            raise UserError(f"model_channels={self.model_channels} is not a multiple of num_heads={self.num_heads}")
        if self.head_dim < 12 or self.head_dim % 2:
            raise UserError(f"head dim {self.head_dim} (model_channels / num_heads): RoPE needs an even one from 12 up")
        if self.extra_pos not in EXTRA_POSITIONS:
            raise UserError(unknown_name("extra_pos", self.extra_pos, EXTRA_POSITIONS))
        if (self.num_views > 1) != (self.view_channels > 0):
            raise UserError(f"num_views={self.num_views} does not go with view_channels={self.view_channels}")
        if self.view_ids is not None and len(self.view_ids) != self.num_views:
            raise UserError(f"view_ids={self.view_ids} names {len(self.view_ids)} views, num_views={self.num_views}")

    @property
    def head_dim(self) -> int:
        return self.model_channels // self.num_heads

    @property
    def in_channels(self) -> int:
        """Channels into the patch embedder: latent, condition mask, padding mask, view embedding."""
        return self.latent_channels + self.condition_mask + 1 + self.view_channels

    def control(self, *, hint_channels: int, num_blocks: int = 3) -> DiTConfig:
        """The control encoder that goes with this base net."""
        return replace(self, hint_channels=hint_channels, num_blocks=num_blocks, rope_scale=(1.0, 1.0, 1.0))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DiTConfig:
        known = [f.name for f in fields(cls)]
        for name in values:
            if name not in known:
                raise UserError(unknown_name("network setting", name, known))
        return cls(**values)


TRANSFER1_7B = DiTConfig(condition_mask=True)
SAMPLE_AV_7B = DiTConfig()
SINGLE2MULTIVIEW_7B = DiTConfig(condition_mask=True, extra_pos="sincos", num_views=6, view_channels=6)
