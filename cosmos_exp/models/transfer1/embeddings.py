"""Position and view embeddings of the diffusion transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cosmos_exp.models.transfer1.config import DiTConfig


def sincos_axis(length: int, dim: int, device: torch.device | str = "cpu") -> Tensor:
    """[length, dim] float32: [sin(p w), cos(p w)] with w_j = 10000^(-j / (dim/2))."""
    omega = 10000.0 ** (-torch.arange(dim // 2, dtype=torch.float64) / (dim / 2))
    angles = torch.outer(torch.arange(length, dtype=torch.float64), omega)
    return torch.cat([angles.sin(), angles.cos()], dim=-1).to(device=device, dtype=torch.float32)


def sincos_positions(
    model_channels: int, grid: tuple[int, int, int], *, num_views: int = 1, device: torch.device | str = "cpu"
) -> Tensor:
    """Fixed embedding [1, num_views*T*h*w, D] of Single2MultiView: the axis embeddings side by side, frames first."""
    frames, rows, columns = grid
    space = model_channels // 6 * 2
    time = sincos_axis(frames, model_channels - 2 * space, device).repeat(num_views, 1)
    parts = (
        time[:, None, None].expand(-1, rows, columns, -1),
        sincos_axis(rows, space, device)[None, :, None].expand(len(time), -1, columns, -1),
        sincos_axis(columns, space, device)[None, None].expand(len(time), rows, -1, -1),
    )
    return torch.cat(parts, dim=-1).flatten(0, 2)[None]


class ViewEmbedding(nn.Module):
    """Input channels that tell the views apart: a table row per view plus a linear function of its frame repeat.

    The frame-repeat value counts repeated frames, divided by 10; all zeros still adds the bias.
    """

    def __init__(self, config: DiTConfig):
        super().__init__()
        self.table = nn.Embedding(config.view_table_size, config.view_channels)
        self.frame_repeat = nn.Linear(1, config.view_channels)

    def forward(self, view_ids: Tensor, frame_repeat: Tensor, frames_per_view: int) -> Tensor:
        """view_ids: integers [B, V*T]. frame_repeat: [B, V]. Returns [B, view_channels, V*T, 1, 1]."""
        ids = view_ids.clamp(0, self.table.num_embeddings - 1)
        repeat = self.frame_repeat(frame_repeat[..., None]).repeat_interleave(frames_per_view, dim=1)
        return (self.table(ids) + repeat).transpose(1, 2)[..., None, None]
