"""Sizes of a Cosmos-Transfer2.5 network. The defaults are those of the released 2B multi-view network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from cosmos_exp.common.errors import UserError, unknown_name


@dataclass(frozen=True)
class NetConfig:
    """A base net with its control branches. Triples are ordered (frames, rows, columns).

    text_width: of an encoded prompt, which is projected to text_channels. text_tokens: rows of a view's prompt.
    max_size: latent pixels, before patching. control_every: a control residual is added after every so many blocks,
    from block 0 on. hint_channels: of the control latent after zero padding. hint_layers: of the MLP behind its
    embedder; 0: none. view_channels: input channels that tell the views apart; 0: a single-view net. image_width: of
    the image that the cross-attention reads beside the text; 0: none.
    """

    model_channels: int = 2048
    num_blocks: int = 28
    num_heads: int = 16
    mlp_ratio: float = 4.0
    adaln_lora_dim: int = 256
    latent_channels: int = 16
    patch_size: tuple[int, int, int] = (1, 2, 2)
    max_size: tuple[int, int, int] = (128, 240, 240)
    rope_scale: tuple[float, float, float] = (8 / 24, 3.0, 3.0)
    text_width: int = 100_352
    text_channels: int = 1024
    text_tokens: int = 512
    controls: tuple[str, ...] = ("wsm",)
    control_every: int = 7
    hint_channels: int = 184
    hint_layers: int = 7
    view_table_size: int = 7
    view_channels: int = 7
    image_width: int = 0

    def __post_init__(self) -> None:
        for name in ("patch_size", "max_size", "rope_scale", "controls"):  # JSON has lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.model_channels % self.num_heads:
            raise UserError(f"model_channels={self.model_channels} is not a multiple of num_heads={self.num_heads}")
        if self.head_dim < 16 or self.head_dim % 2:
            raise UserError(f"head dim {self.head_dim} (model_channels / num_heads): RoPE needs an even one from 16 up")
        if self.image_width and self.view_channels:
            raise UserError("image_width and view_channels: only a single-view net reads an image")

    @property
    def head_dim(self) -> int:
        return self.model_channels // self.num_heads

    @property
    def condition_channels(self) -> int:
        """Input channels beside the latent: condition mask, padding mask, view embedding."""
        return 2 + self.view_channels

    @property
    def injected(self) -> tuple[int, ...]:
        """Indices of the blocks after which a control residual is added."""
        return tuple(range(0, self.num_blocks, self.control_every))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NetConfig:
        known = [f.name for f in fields(cls)]
        for name in values:
            if name not in known:
                raise UserError(unknown_name("network setting", name, known))
        return cls(**values)


AUTO_MULTIVIEW_2B = NetConfig()
GENERAL_2B = NetConfig(rope_scale=(1.0, 3.0, 3.0), hint_channels=128, hint_layers=0, view_channels=0)
"""The first releases for edge, depth, seg or vis, and the one with a branch for each."""
GENERAL_2B_IMAGE = replace(GENERAL_2B, image_width=1152)
"""The current releases, which read an image of SigLIP2; without one they read zeros, as in the original."""
