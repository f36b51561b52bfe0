"""The control branch of Cosmos-Transfer1: encoders of control latents that condition a base net."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from diffusers.models.transformers.transformer_cosmos import CosmosPatchEmbed
from torch import Tensor, nn

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.models.dit.parallel import SequenceGroup
from cosmos_exp.models.dit.passes import evaluated
from cosmos_exp.models.dit.patches import resize_padding
from cosmos_exp.models.dit.positions import Positions
from cosmos_exp.models.dit.regional import Region, region_texts
from cosmos_exp.models.dit.residuals import Weight, is_zero, repeated, weighted_sum
from cosmos_exp.models.dit.stack import PromptKeys, StepInputs, first_residual
from cosmos_exp.models.dit.step_cache import StepCache
from cosmos_exp.models.transfer1.config import DiTConfig
from cosmos_exp.models.transfer1.transformer import BASE_FPS, DiT, Trunk, init_weights

HINT_WIDTHS = (16, 16, 32, 32, 96, 96, 256)

PromptInputs = Mapping[str, PromptKeys]  # by network name, as in ClipInputs


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
        zero_blocks = [nn.Linear(width, width) for _ in range(config.num_blocks)]
        self.zero_blocks = nn.ModuleList(zero_blocks)
        init_weights(self)
        for layer in zero_blocks:
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
        step = self.step_inputs(timestep)
        start = self.start(self.tokens(x, condition_channels), step, positions)
        return self.finish(start, (self.prompt_keys(text),), step, positions, hint_tokens)

    def finish(
        self,
        start: Tensor,
        prompts: tuple[PromptKeys, ...],
        step: StepInputs,
        positions: Positions,
        hint_tokens: Tensor,
    ) -> list[Tensor]:
        """Unweighted residuals [n*B, L, D] for n prompts, from what `start` returned [B, L, D]."""
        hidden = repeated(start, len(prompts))
        residuals = []
        for i, zero_block in enumerate(self.zero_blocks):
            hidden = self.block(i, hidden, prompts, step, positions)
            if i == 0:
                hidden = hidden + repeated(hint_tokens, len(prompts))
            residuals.append(zero_block(hidden))
        return residuals


@dataclass(frozen=True)
class ClipInputs:
    """Inputs of a network that are constant over the steps of a clip.

    positions, channels, hint_tokens: by network name; "base" or the control's name.
    """

    positions: dict[str, Positions]
    channels: dict[str, Tensor]
    hint_tokens: dict[str, Tensor]

    @property
    def num_tokens(self) -> int:
        return self.positions["base"].num_tokens

    @property
    def device(self) -> torch.device:
        return self.positions["base"].device

    @property
    def num_frames(self) -> int:
        """Latent frames of all views."""
        return self.channels["base"].shape[2]

    def local(self, sequence: SequenceGroup | None) -> ClipInputs:
        """The part that this rank holds."""
        if sequence is None:
            return self
        return ClipInputs(
            {name: positions.local(sequence) for name, positions in self.positions.items()},
            {name: sequence.local(channels, dim=2).clone() for name, channels in self.channels.items()},
            {name: sequence.local(tokens, dim=1).clone() for name, tokens in self.hint_tokens.items()},
        )

    def local_frames(self, x: Tensor) -> Tensor:
        """Of x [B,C,V*T,H,W], the frames that this rank holds."""
        sequence = self.positions["base"].sequence
        return x if sequence is None else sequence.local(x, dim=2)

    def gather_frames(self, x: Tensor) -> Tensor:
        """The inverse of `local_frames`, on every rank."""
        sequence = self.positions["base"].sequence
        return x if sequence is None else sequence.gather(x, dim=2)


class ControlledDiT(nn.Module):
    """A base net with its control encoders."""

    def __init__(self, base: DiT, controls: Mapping[str, ControlEncoder]):
        super().__init__()
        self.base = base
        self.controls = nn.ModuleDict(controls)

    def control(self, name: str) -> ControlEncoder:
        """An encoder by the name of its control."""
        encoder = self.controls[name]
        assert isinstance(encoder, ControlEncoder)
        return encoder

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
        share_view_embed: bool = False,
    ) -> ClipInputs:
        """Everything that is constant over the steps of a clip shaped like x [B,16,V*T,H,W].

        hints: control latents [B,16,V*T,H,W] by control name. share_view_embed: where there are several encoders, all
        use the base's view embedding, as in the reference implementation. Others as in `Trunk.condition_channels`.
        """
        for name in hints:
            if name not in self.controls:
                raise UserError(unknown_name("control", name, self.controls))
        shared = self.base.view_embed if share_view_embed and len(hints) > 1 else None
        positions, channels, tokens = {}, {}, {}
        for name in ("base", *hints):
            net = self.network(name)
            positions[name] = net.positions(x, fps)
            channels[name] = net.condition_channels(
                x,
                condition_mask=condition_mask,
                padding_mask=padding_mask,
                view_ids=view_ids,
                frame_repeat=frame_repeat,
                view_embed=shared,
            )
        for name, hint in hints.items():
            tokens[name] = self.control(name).hint_tokens(hint.to(x), padding_mask)
        return ClipInputs(positions, channels, tokens)

    def prepare_text(self, text: Tensor | None, clip: ClipInputs, regions: Sequence[Region] = ()) -> PromptInputs:
        """Cross-attention keys and values of a prompt [B, V*S, channels] or None, in every network that `clip` names.

        Zero rows at the end are merged, all-zero text is skipped. regions: single view only; see `regional.blend`.
        """
        inside = None
        if regions:
            check_regions(self.config, [text, *(region.text for region in regions)])
            inside = region_texts([region._replace(text=region.text.to(self.dtype)) for region in regions])
        if text is not None:
            text = text.to(self.dtype)
        return {name: self.network(name).prompt_keys(text, merge=True, regions=inside) for name in clip.positions}

    def network(self, name: str) -> Trunk:
        """By its name in `ClipInputs`."""
        return self.base if name == "base" else self.control(name)

    def residuals(
        self, x: Tensor, timestep: Tensor, text: Tensor | None, clip: ClipInputs, weights: Mapping[str, Weight]
    ) -> tuple[Tensor, ...]:
        """Weighted sum over the controls, one [B, L, D] per injected block. A control of weight 0.0 is not run."""

        def parts(name: str) -> list[Tensor]:
            encoder = self.control(name)
            return encoder(x, timestep, text, clip.channels[name], clip.positions[name], clip.hint_tokens[name])

        return weighted_sum(((name, parts(name)) for name in clip.hint_tokens if not is_zero(weights[name])), weights)

    def forward(
        self, x: Tensor, timestep: Tensor, text: Tensor | None, clip: ClipInputs, weights: Mapping[str, Weight]
    ) -> Tensor:
        """Raw network output F [B,16,V*T,H,W]; x scaled by c_in, timestep [B] = c_noise, text [B, V*S, channels]."""
        residuals = self.residuals(x, timestep, text, clip, weights)
        return self.base(x, timestep, text, clip.channels["base"], clip.positions["base"], residuals)

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

        x, results: the frames that this rank holds. timestep: [1], the same for all samples, or [B]. batched: run the
        prompts as one batch, see `evaluated`.
        """
        step, positions, grid = self.base.step_inputs(timestep), clip.positions["base"], self.base.grid(x)
        tokens = self.base.tokens(x, clip.channels["base"])
        start = self.base.start(tokens, step, positions)
        if cache and (remainders := cache.reuse(first_residual(start, tokens, positions), prompts)):
            return [self.base.head(start + remainder, step, grid) for remainder in remainders]
        del tokens  # as large as a hidden state
        controls = self.control_starts(x, timestep, clip, weights)

        def finish(group: Sequence[PromptInputs]) -> Tensor:
            keys = tuple(prompt["base"] for prompt in group)
            hidden = self.base.finish(
                start, keys, step, positions, self.finish_controls(group, controls, clip, weights)
            )
            if cache:
                for prompt, part in zip(group, hidden.chunk(len(group))):
                    cache.keep(prompt, part - start)
            return self.base.head(hidden, step, grid)

        return evaluated(self.base, finish, prompts, sequence=positions.sequence is not None, batched=batched)

    def finish_controls(
        self,
        group: Sequence[PromptInputs],
        starts: Mapping[str, tuple[StepInputs, Tensor]],
        clip: ClipInputs,
        weights: Mapping[str, Weight],
    ) -> tuple[Tensor, ...]:
        """The weighted residuals of all encoders, from what `control_starts` returned."""

        def parts(name: str) -> list[Tensor]:
            step, start = starts[name]
            keys = tuple(prompt[name] for prompt in group)
            return self.control(name).finish(start, keys, step, clip.positions[name], clip.hint_tokens[name])

        return weighted_sum(((name, parts(name)) for name in starts), weights)

    def control_starts(
        self, x: Tensor, timestep: Tensor, clip: ClipInputs, weights: Mapping[str, Weight]
    ) -> dict[str, tuple[StepInputs, Tensor]]:
        """The part of the encoders that does not depend on the prompt: modulation, tokens after the first attention."""
        starts = {}
        for name in clip.hint_tokens:
            if not is_zero(weights[name]):
                net = self.control(name)
                step = net.step_inputs(timestep)
                starts[name] = step, net.start(net.tokens(x, clip.channels[name]), step, clip.positions[name])
        return starts


def check_regions(config: DiTConfig, texts: Sequence[Tensor | None]) -> None:
    """texts: the global prompt and that of each region."""
    if config.num_views > 1:
        raise UserError("regional prompts are for the single view: the multi-view net reads a prompt per view")
    if any(text is None or not text.any() for text in texts):
        raise UserError("regional prompts, and the global prompt, must not be all-zero text")
