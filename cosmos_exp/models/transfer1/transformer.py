"""The base diffusion transformer of Cosmos-Transfer1, single view and multi view, on diffusers' Cosmos blocks."""

from __future__ import annotations

import torch
from diffusers.models.transformers.transformer_cosmos import (
    CosmosAdaLayerNorm,
    CosmosEmbedding,
    CosmosLearnablePositionalEmbed,
    CosmosPatchEmbed,
)
from torch import Tensor, nn

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.dit.block import Block, modulation_values, without_zero_rows
from cosmos_exp.models.dit.patches import resize_padding, unpatchify
from cosmos_exp.models.dit.positions import Positions, rope_table
from cosmos_exp.models.dit.regional import RegionTexts
from cosmos_exp.models.dit.residuals import repeated
from cosmos_exp.models.dit.stack import BlockStack, PromptKeys, StepInputs
from cosmos_exp.models.kernels.fused import norm_and_modulate
from cosmos_exp.models.transfer1.config import DiTConfig
from cosmos_exp.models.transfer1.embeddings import ViewEmbedding, sincos_positions

BASE_FPS = 24.0


class Trunk(BlockStack):
    """The common part of base net and control encoder: patch, position and time embedding, blocks."""

    def __init__(self, config: DiTConfig):
        super().__init__()
        self.config = config
        width = config.model_channels
        self.patch_embed = CosmosPatchEmbed(config.in_channels, width, config.patch_size, bias=False)
        self.learnable_pos_embed = (
            CosmosLearnablePositionalEmbed(width, config.max_size, config.patch_size)
            if config.extra_pos == "learnable"
            else None
        )
        self.view_embed = ViewEmbedding(config) if config.view_channels else None
        self.time_embed = CosmosEmbedding(width, width)
        self.transformer_blocks = nn.ModuleList(
            Block(
                heads=config.num_heads,
                head_dim=config.head_dim,
                text_channels=config.text_channels,
                mlp_ratio=config.mlp_ratio,
                adaln_lora_dim=config.adaln_lora_dim,
            )
            for _ in range(config.num_blocks)
        )

    @property
    def dtype(self) -> torch.dtype:
        return self.patch_embed.proj.weight.dtype

    def grid(self, x: Tensor) -> tuple[int, int, int]:
        """Token grid of a latent [B,C,T,H,W]: frames of all views, rows, columns."""
        size, patch = x.shape[2:], self.config.patch_size
        if any(s % p for s, p in zip(size, patch)):
            raise UserError(f"latent size {tuple(size)} (frames, rows, columns) is not a multiple of the patch {patch}")
        frames, rows, columns = (s // p for s, p in zip(size, patch))
        if frames % self.config.num_views:
            raise UserError(f"{frames} latent frames do not divide into num_views={self.config.num_views}")
        return frames, rows, columns

    def positions(self, x: Tensor, fps: float = BASE_FPS) -> Positions:
        """Tables for the tokens of x [B,C,V*T,H,W]; they depend on its size alone."""
        frames, rows, columns = self.grid(x)
        views = self.config.num_views
        grid = (frames // views, rows, columns)
        limit = tuple(m // p for m, p in zip(self.config.max_size, self.config.patch_size))
        if any(n > most for n, most in zip(grid, limit)):
            raise UserError(f"token grid {grid} (frames, rows, columns) exceeds the largest this network has, {limit}")
        rope = rope_table(
            self.config.head_dim, grid, scale=self.config.rope_scale, fps=fps, num_views=views, device=x.device
        )
        if self.learnable_pos_embed is not None:
            extra = self.learnable_pos_embed(x[:1])
        else:
            extra = sincos_positions(self.config.model_channels, grid, num_views=views, device=x.device)
        return Positions(rope, extra.to(self.dtype))

    def condition_channels(
        self,
        x: Tensor,
        *,
        condition_mask: Tensor | None = None,
        padding_mask: Tensor | None = None,
        view_ids: Tensor | None = None,
        frame_repeat: Tensor | None = None,
        view_embed: ViewEmbedding | None = None,
    ) -> Tensor:
        """The input channels after the latent, [B, in_channels - latent_channels, V*T, H, W].

        condition_mask: [B,1,V*T,H,W] or broadcastable, 1 on given frames; None: no frame is given.
        padding_mask: [B,1,h,w] at any size, nearest-resized; None: zeros, every pixel is real.
        view_ids: integers [B, V*T]; None: the config's. frame_repeat: [B, V]; None: zeros.
        view_embed: another network's view embedding to use instead of this one's.
        """
        batch, _, frames, height, width = x.shape
        plane = (batch, 1, frames, height, width)
        channels = []
        if self.config.condition_mask:
            mask = x.new_zeros(()) if condition_mask is None else condition_mask.to(x)
            channels.append(mask.expand(plane))
        padding = x.new_zeros(()) if padding_mask is None else resize_padding(padding_mask, x)
        channels.append(padding.expand(plane))
        if self.view_embed is not None:
            views = self.config.num_views
            per_view = frames // views
            if view_ids is None:
                ids = self.config.view_ids or tuple(range(views))
                view_ids = torch.tensor(ids, device=x.device).repeat_interleave(per_view)[None]
            if frame_repeat is None:
                frame_repeat = x.new_zeros((1, views))
            embed = (self.view_embed if view_embed is None else view_embed)(
                view_ids, frame_repeat.to(self.dtype), per_view
            )
            channels.append(embed.to(x).expand(batch, -1, -1, height, width))
        return torch.cat(channels, dim=1)

    def tokens(self, x: Tensor, condition_channels: Tensor) -> Tensor:
        """Patch tokens [B, V*T*h*w, D] of the scaled noisy latent x and its condition channels."""
        return self.patch_embed(torch.cat([x, condition_channels], dim=1)).flatten(1, 3)

    def step_inputs(self, timestep: Tensor) -> StepInputs:
        """The modulation of every block at c_noise [B], or [1] where all samples share it."""
        time = self.time_embed(self.patch_embed.proj.weight, timestep)
        blocks = tuple(block.modulations(time) for block in self.blocks)
        return StepInputs(blocks, self.head_modulation(time))

    def head_modulation(self, time: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor] | None:
        return None

    def prompt_keys(
        self, text: Tensor | None, *, merge: bool = False, regions: RegionTexts | None = None
    ) -> PromptKeys:
        """Keys and values of every block for text [B, V*S, text_channels], views in order.

        merge: apply `without_zero_rows`, and return None for all-zero text. regions: regional prompts, if any.
        """
        if text is None or (merge and not text.any()):
            return None
        text, zeros = text.reshape(len(text) * self.config.num_views, -1, text.shape[-1]), 0
        if merge:
            text, zeros = without_zero_rows(text)
        keys = [block.text_keys(text, zeros) for block in self.blocks]
        if regions is not None:
            keys = [own._replace(regions=block.region_keys(regions)) for own, block in zip(keys, self.blocks)]
        return tuple(keys)


class DiT(Trunk):
    """A base net: trunk and head. Control residuals are added after its first blocks."""

    def __init__(self, config: DiTConfig):
        super().__init__(config)
        self.norm_out = CosmosAdaLayerNorm(config.model_channels, config.adaln_lora_dim)
        pt, ph, pw = config.patch_size
        self.proj_out = nn.Linear(config.model_channels, pt * ph * pw * config.latent_channels, bias=False)
        init_weights(self)

    def forward(
        self,
        x: Tensor,
        timestep: Tensor,
        text: Tensor | None,
        condition_channels: Tensor,
        positions: Positions,
        residuals: tuple[Tensor, ...] = (),
    ) -> Tensor:
        """Raw network output F, [B, latent_channels, V*T, H, W].

        x: latent scaled by c_in. timestep: [B] c_noise = ln(sigma)/4. text: [B, V*S, text_channels] or None for
        all-zero text. residuals: [B, L, D] each, the i-th added after block i.
        """
        step = self.step_inputs(timestep)
        start = self.start(self.tokens(x, condition_channels), step, positions)
        hidden = self.finish(start, (self.prompt_keys(text),), step, positions, residuals)
        return self.head(hidden, step, self.grid(x))

    def finish(
        self,
        start: Tensor,
        prompts: tuple[PromptKeys, ...],
        step: StepInputs,
        positions: Positions,
        residuals: tuple[Tensor, ...] = (),
    ) -> Tensor:
        """The last block's tokens [n*B, L, D] for n prompts, from what `start` returned [B, L, D]."""
        hidden, left = repeated(start, len(prompts)), list(residuals)
        del residuals  # each is freed when it has been added
        for i in range(len(self.transformer_blocks)):
            hidden = self.block(i, hidden, prompts, step, positions)
            if left:
                hidden = hidden + left.pop(0)
        return hidden

    def head(self, hidden: Tensor, step: StepInputs, grid: tuple[int, int, int]) -> Tensor:
        """F [n*B, latent_channels, V*T, H, W] of the last block's tokens."""
        assert step.head is not None
        return unpatchify(self.proj_out(norm_and_modulate(hidden, *step.head)), grid, self.config.patch_size)

    def head_modulation(self, time: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        shift, scale = modulation_values(self.norm_out, time).chunk(2, dim=-1)
        return shift, 1 + scale


def init_weights(net: Trunk) -> None:
    """Random initialisation for training: AdaLN and output start at zero, so every block starts as the identity."""
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=module.in_features**-0.5, a=-3, b=3)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for block in net.blocks:
        for norm in (block.norm1, block.norm2, block.norm3):
            nn.init.zeros_(norm.linear_2.weight)
    nn.init.zeros_(net.time_embed.t_embedder.linear_2.weight)
    if net.learnable_pos_embed is not None:
        for table in net.learnable_pos_embed.parameters():
            nn.init.normal_(table, std=0.02)
    if isinstance(net, DiT):
        nn.init.zeros_(net.norm_out.linear_2.weight)
        nn.init.zeros_(net.proj_out.weight)
