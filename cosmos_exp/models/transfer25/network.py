"""The diffusion transformer of Cosmos-Transfer2.5 with its control branches, on the blocks that all families share.

A control branch reads the first tokens of the base net and its own control latent, and has no time or text embedding of
its own. All views are one sequence: self-attention is joint, cross-attention is view by view.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers.models.transformers.transformer_cosmos import CosmosAdaLayerNorm, CosmosEmbedding, CosmosPatchEmbed
from torch import Tensor, nn

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.models.dit.block import Block, modulation_values
from cosmos_exp.models.dit.offload import Offload
from cosmos_exp.models.dit.parallel import SequenceGroup
from cosmos_exp.models.dit.passes import evaluated
from cosmos_exp.models.dit.patches import resize_padding, unpatchify
from cosmos_exp.models.dit.positions import Positions, rope_table
from cosmos_exp.models.dit.regional import Region
from cosmos_exp.models.dit.residuals import Weight, is_zero, repeated, weighted_sum
from cosmos_exp.models.dit.shared_attention import KERNELS, PASSES, SharedAttention, differing_views
from cosmos_exp.models.dit.stack import BlockStack, PromptKeys, StepInputs, first_residual
from cosmos_exp.models.dit.step_cache import StepCache
from cosmos_exp.models.kernels.fused import norm_and_modulate
from cosmos_exp.models.kernels.speed import Speed
from cosmos_exp.models.transfer25.config import NetConfig

HEAD_EPS = 1e-6  # of the RMS norm of queries and keys; diffusers' own is 1e-5
TIMESTEP_SCALE = 0.001

PromptInputs = Mapping[str, PromptKeys]  # of the base net ("base") and of each control branch


@dataclass(frozen=True)
class ClipInputs:
    """Inputs of a network that are constant over the steps of a clip.

    positions: of all tokens. channels: condition mask, padding mask, view embedding [B, n, V*T, H, W]. hint_tokens:
    [B, L, D] of each control. views: V.
    """

    positions: Positions
    channels: Tensor
    hint_tokens: dict[str, Tensor]
    views: int

    @property
    def num_tokens(self) -> int:
        return self.positions.num_tokens

    @property
    def device(self) -> torch.device:
        return self.positions.device

    @property
    def num_frames(self) -> int:
        """Latent frames of all views."""
        return self.channels.shape[2]

    def local(self, sequence: SequenceGroup | None) -> ClipInputs:
        """The part that this rank holds."""
        if sequence is None:
            return self
        tokens = {name: sequence.local(hint, dim=1).clone() for name, hint in self.hint_tokens.items()}
        channels = sequence.local(self.channels, dim=2).clone()
        return ClipInputs(self.positions.local(sequence), channels, tokens, self.views)

    def local_frames(self, x: Tensor) -> Tensor:
        """Of x [B,C,V*T,H,W], the frames that this rank holds."""
        sequence = self.positions.sequence
        return x if sequence is None else sequence.local(x, dim=2)

    def gather_frames(self, x: Tensor) -> Tensor:
        """The inverse of `local_frames`, on every rank."""
        sequence = self.positions.sequence
        return x if sequence is None else sequence.gather(x, dim=2)


class ControlBranch(BlockStack):
    """Turns a control latent and the base net's first tokens into a residual for every `control_every`-th block."""

    def __init__(self, config: NetConfig):
        super().__init__()
        self.config = config
        width = config.model_channels
        channels = config.hint_channels + config.condition_channels
        self.patch_embed = CosmosPatchEmbed(channels, width, config.patch_size, bias=False)
        layers = [layer for _ in range(config.hint_layers) for layer in (nn.Linear(width, width), nn.SiLU())]
        self.hint_block = nn.Sequential(*layers)
        self.before_proj = nn.Linear(width, width)
        self.transformer_blocks = _blocks(config, len(config.injected))
        self.after_proj = nn.ModuleList(nn.Linear(width, width) for _ in config.injected)

    def hint_tokens(self, hint: Tensor, channels: Tensor) -> Tensor:
        """Tokens [B, L, D] of a control latent [B, 16, V*T, H, W]; they do not depend on the noise level."""
        missing = self.config.hint_channels - hint.shape[1]
        if missing < 0:
            raise UserError(f"control latent has {hint.shape[1]} channels, needed are {self.config.hint_channels}")
        padded = F.pad(hint, (0, 0, 0, 0, 0, 0, 0, missing))
        embedded = self.patch_embed(torch.cat([padded, channels.expand(len(hint), -1, -1, -1, -1)], dim=1))
        return self.hint_block(embedded.flatten(1, 3))

    def first_tokens(self, tokens: Tensor, hint_tokens: Tensor) -> Tensor:
        """What the first block reads. tokens: of the base net's patch embedder."""
        return self.before_proj(hint_tokens) + tokens

    def finish(
        self,
        start: Tensor,
        prompts: tuple[PromptKeys, ...],
        step: StepInputs,
        positions: Positions,
        shared: SharedAttention | None = None,
    ) -> list[Tensor]:
        """Unweighted residuals [n*B, L, D] for n prompts, from what `start` returned [B, L, D]. shared: see `block`."""
        hidden, residuals = repeated(start, len(prompts)), []
        for i, after in enumerate(self.after_proj):
            hidden = self.block(i, hidden, prompts, step, positions, shared)
            residuals.append(after(hidden))
        return residuals


class ControlledNet(BlockStack):
    """The base net and its control branches, by the names of `config.controls`.

    The time embedding, the modulation and the head are kept in float32, see `cast`.
    """

    def __init__(self, config: NetConfig):
        super().__init__()
        self.config = config
        width = config.model_channels
        channels = config.latent_channels + config.condition_channels
        self.patch_embed = CosmosPatchEmbed(channels, width, config.patch_size, bias=False)
        self.view_embed = nn.Embedding(config.view_table_size, config.view_channels) if config.view_channels else None
        self.time_embed = CosmosEmbedding(width, width)
        self.text_embed = nn.Linear(config.text_width, config.text_channels)
        self.image_embed = nn.Linear(config.image_width, width) if config.image_width else None
        self.transformer_blocks = _blocks(config, config.num_blocks)
        self.norm_out = CosmosAdaLayerNorm(width, config.adaln_lora_dim)
        pt, ph, pw = config.patch_size
        self.proj_out = nn.Linear(width, pt * ph * pw * config.latent_channels, bias=False)
        self.controls = nn.ModuleDict({name: ControlBranch(config) for name in config.controls})

    # Precision, speed, memory

    def cast(self, dtype: torch.dtype) -> ControlledNet:
        """The weights in dtype, but those of time embedding, modulation and head in float32, as in the reference
        implementation."""
        self.to(dtype)
        norms = [norm for stack in self.stacks() for b in stack.blocks for norm in (b.norm1, b.norm2, b.norm3)]
        for module in (self.time_embed, self.norm_out, self.proj_out, *norms):
            module.float()
        return self

    def stacks(self) -> list[BlockStack]:
        """In the order in which they run."""
        return [*(self.control(name) for name in self.controls), self]

    def apply_speed(self, speed: Speed, device: torch.device | str) -> None:
        for stack in self.stacks():
            BlockStack.apply_speed(stack, speed, device)

    def offload_to(self, offload: Offload) -> None:
        for stack in self.stacks():
            BlockStack.offload_to(stack, offload)

    @property
    def dtype(self) -> torch.dtype:
        return self.patch_embed.proj.weight.dtype

    def control(self, name: str) -> ControlBranch:
        branch = self.controls[name]
        assert isinstance(branch, ControlBranch)
        return branch

    # What is constant over the steps of a clip

    def grid(self, x: Tensor) -> tuple[int, int, int]:
        """Token grid of a latent [B,C,V*T,H,W]: frames of all views, rows, columns."""
        size, patch = x.shape[2:], self.config.patch_size
        if any(s % p for s, p in zip(size, patch)):
            raise UserError(f"latent size {tuple(size)} (frames, rows, columns) is not a multiple of the patch {patch}")
        frames, rows, columns = (s // p for s, p in zip(size, patch))
        return frames, rows, columns

    def positions(self, x: Tensor, views: int = 1) -> Positions:
        """Rotary tables of the tokens of x [B,C,V*T,H,W]; time restarts in each view."""
        frames, rows, columns = self.grid(x)
        if frames % views:
            raise UserError(f"{frames} latent frames do not divide into {views} views")
        grid = (frames // views, rows, columns)
        limit = tuple(m // p for m, p in zip(self.config.max_size, self.config.patch_size))
        if any(n > most for n, most in zip(grid, limit)):
            raise UserError(f"token grid {grid} (frames, rows, columns) exceeds the largest this network has, {limit}")
        scale, device = self.config.rope_scale, x.device
        table = rope_table(self.config.head_dim, grid, scale=scale, fps=None, num_views=views, device=device)
        return Positions(table)

    def condition_channels(
        self,
        x: Tensor,
        views: int,
        *,
        condition_mask: Tensor | None = None,
        padding_mask: Tensor | None = None,
        view_ids: Tensor | None = None,
    ) -> Tensor:
        """[B, n, V*T, H, W], in the order in which the embedders read them. Arguments as for `prepare`."""
        batch, _, frames, height, width = x.shape
        plane = (batch, 1, frames, height, width)
        mask = x.new_zeros(()) if condition_mask is None else condition_mask.to(x)
        padding = x.new_zeros(()) if padding_mask is None else resize_padding(padding_mask, x)
        channels = [mask.expand(plane), padding.expand(plane)]
        if self.view_embed is not None:
            if view_ids is None:
                view_ids = torch.arange(views, device=x.device).repeat_interleave(frames // views)[None]
            rows = self.view_embed(view_ids.to(x.device).clamp(0, self.config.view_table_size - 1))
            channels.append(rows.transpose(1, 2)[..., None, None].to(x).expand(batch, -1, -1, height, width))
        return torch.cat(channels, dim=1)

    def prepare(
        self,
        x: Tensor,
        hints: Mapping[str, Tensor],
        *,
        views: int = 1,
        condition_mask: Tensor | None = None,
        padding_mask: Tensor | None = None,
        view_ids: Tensor | None = None,
    ) -> ClipInputs:
        """For clips shaped like x [B,16,V*T,H,W], in the dtype of x.

        hints: control latents [B,16,V*T,H,W] by control name. condition_mask: [B,1,V*T,H,W] or broadcastable, 1 on
        given frames; None: none is given. padding_mask: [B,1,rows,columns], nearest-resized; None: zeros, as in
        generation. view_ids: integers [B,V*T], the view of each latent frame; None: 0, 1, 2, ...
        """
        for name in hints:
            if name not in self.controls:
                raise UserError(unknown_name("control", name, self.controls))
        masks = {"condition_mask": condition_mask, "padding_mask": padding_mask, "view_ids": view_ids}
        channels = self.condition_channels(x, views, **masks)
        tokens = {name: self.control(name).hint_tokens(hint.to(x), channels) for name, hint in hints.items()}
        return ClipInputs(self.positions(x, views), channels, tokens, views)

    def prepare_text(
        self,
        text: Tensor | None,
        clip: ClipInputs,
        regions: Sequence[Region] = (),
        *,
        image: Tensor | None = None,
    ) -> PromptInputs:
        """Cross-attention keys and values of a prompt [B, V*S, text_width], in the base net and all branches.

        Rows after the prompt take part like all others. image: [B, I, image_width], where the network reads one; None:
        zeros of one row, which equal any number of rows. No regional prompts.
        """
        assert text is not None and not regions
        if text.shape[1] % clip.views:
            raise UserError(f"{text.shape[1]} rows of text do not divide into {clip.views} views")
        rows = F.gelu(self.text_embed(text.to(self.dtype)))
        rows = rows.reshape(len(text) * clip.views, -1, rows.shape[-1])
        seen = None
        if self.image_embed is not None:
            if image is None:
                image = rows.new_zeros((len(text), 1, self.config.image_width))
            seen = F.gelu(self.image_embed(image.to(self.dtype)))
        prompts: dict[str, PromptKeys] = {}
        for name in ("base", *clip.hint_tokens):
            stack = self if name == "base" else self.control(name)
            keys = [block.text_keys(rows, 0) for block in stack.blocks]
            if seen is not None:
                images = [block.image_attn.keys(seen) for block in stack.blocks if block.image_attn is not None]
                keys = [own._replace(image=image) for own, image in zip(keys, images, strict=True)]
            prompts[name] = tuple(keys)
        return prompts

    # One evaluation

    def tokens(self, x: Tensor, channels: Tensor) -> Tensor:
        """Patch tokens [B, L, D] of a latent and its condition channels."""
        return self.patch_embed(torch.cat([x, channels.expand(len(x), -1, -1, -1, -1)], dim=1)).flatten(1, 3)

    def time(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings [B, 3D] and [B, D] of integer timesteps [B], float32."""
        embedded = self.time_embed(self.time_embed.norm.weight, timestep.flatten() * TIMESTEP_SCALE)
        return embedded[0], embedded[1]

    def step_inputs(self, time: tuple[Tensor, Tensor], stack: BlockStack) -> StepInputs:
        """Modulation of the base net or of a control branch."""
        blocks, head = tuple(block.modulations(time) for block in stack.blocks), None
        if stack is self:
            shift, scale = modulation_values(self.norm_out, time).chunk(2, dim=-1)
            head = shift, 1 + scale
        return StepInputs(blocks, head)

    def forward(
        self,
        x: Tensor,
        timestep: Tensor,
        text: Tensor,
        clip: ClipInputs,
        weights: Mapping[str, Weight],
        *,
        image: Tensor | None = None,
    ) -> Tensor:
        """The velocity noise - x0 [B,16,V*T,H,W] at x; the definition, which `branches` computes faster.

        timestep: [B], integers 0..999. text, image: as for `prepare_text`. weights: of each control in `clip`.
        """
        time, tokens = self.time(timestep), self.tokens(x, clip.channels)
        prompts = self.prepare_text(text, clip, image=image)

        def residuals(name: str) -> list[Tensor]:
            branch = self.control(name)
            step = self.step_inputs(time, branch)
            first = branch.start(branch.first_tokens(tokens, clip.hint_tokens[name]), step, clip.positions)
            return branch.finish(first, (prompts[name],), step, clip.positions)

        used = [name for name in clip.hint_tokens if not is_zero(weights[name])]
        added = dict(zip(self.config.injected, weighted_sum(((name, residuals(name)) for name in used), weights)))
        step, hidden, keys = self.step_inputs(time, self), tokens, prompts["base"]
        assert keys is not None
        for i in range(len(self.transformer_blocks)):
            hidden = self.loaded_block(i)(hidden, (keys[i],), step.blocks[i], clip.positions)
            if i in added:
                hidden = hidden + added[i]
        return self.head(hidden, step, self.grid(x))

    def branches(
        self,
        x: Tensor,
        timestep: Tensor,
        prompts: Sequence[PromptInputs],
        clip: ClipInputs,
        weights: Mapping[str, Weight],
        *,
        batched: bool = True,
        cache: StepCache | None = None,
    ) -> list[Tensor]:
        """What `forward` returns for each of the prompts; what does not depend on the prompt is computed once.

        x, results: the frames that this rank holds. timestep: [1]. batched: run the prompts as one batch, see
        `evaluated`.
        """
        time, positions, grid = self.time(timestep), clip.positions, self.grid(x)
        step, tokens = self.step_inputs(time, self), self.tokens(x, clip.channels)
        start = self.start(tokens, step, positions)
        if cache and (remainders := cache.reuse(first_residual(start, tokens, positions), prompts)):
            return [self.head(start + remainder, step, grid) for remainder in remainders]
        starts: dict[str, tuple[StepInputs, Tensor]] = {}
        for name, hint in clip.hint_tokens.items():
            if not is_zero(weights[name]):
                branch = self.control(name)
                own = self.step_inputs(time, branch)
                starts[name] = own, branch.start(branch.first_tokens(tokens, hint), own, positions)
        del tokens  # as large as a hidden state
        shared = {} if batched else self._shared(prompts, clip)

        def finish(group: Sequence[PromptInputs]) -> Tensor:
            def residuals(name: str) -> list[Tensor]:
                own, first = starts[name]
                return self.control(name).finish(first, tuple(p[name] for p in group), own, positions, shared.get(name))

            left = list(weighted_sum(((name, residuals(name)) for name in starts), weights))
            hidden, keys = repeated(start, len(group)), tuple(prompt["base"] for prompt in group)
            for i in range(len(self.transformer_blocks)):
                hidden = self.block(i, hidden, keys, step, positions, shared.get("base"))
                if left and i in self.config.injected:
                    hidden = hidden + left.pop(0)
            if cache:
                for prompt, part in zip(group, hidden.chunk(len(group))):
                    cache.keep(prompt, part - start)
            return self.head(hidden, step, grid)

        return evaluated(self, finish, prompts, sequence=positions.sequence is not None, batched=batched)

    def _shared(self, prompts: Sequence[PromptInputs], clip: ClipInputs) -> dict[str, SharedAttention]:
        """By "base" and the names of the branches, where two passes have texts that agree in some of the views."""
        if len(prompts) != PASSES or clip.positions.sequence is not None or self.blocks[0].attention not in KERNELS:
            return {}
        keys = [prompt["base"] for prompt in prompts]
        differing = differing_views([(own[0].key, own[0].value) for own in keys if own is not None], clip.views)
        if len(differing) in (0, clip.views):
            return {}
        return {name: SharedAttention(clip.views, differing) for name in ("base", *clip.hint_tokens)}

    def head(self, hidden: Tensor, step: StepInputs, grid: tuple[int, int, int]) -> Tensor:
        """The velocity [n*B,16,V*T,H,W] of the last block's tokens, float32."""
        assert step.head is not None
        normed = norm_and_modulate(hidden.to(self.proj_out.weight.dtype), *step.head)
        return unpatchify(self.proj_out(normed), grid, self.config.patch_size)


def _blocks(config: NetConfig, count: int) -> nn.ModuleList:
    return nn.ModuleList(
        Block(
            heads=config.num_heads,
            head_dim=config.head_dim,
            text_channels=config.text_channels,
            mlp_ratio=config.mlp_ratio,
            adaln_lora_dim=config.adaln_lora_dim,
            head_eps=HEAD_EPS,
            image_channels=config.model_channels if config.image_width else 0,
        )
        for _ in range(count)
    )
