"""Single-view generation: control latents and a prompt to the latents of one clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.dit.parallel import ParallelContext
from cosmos_exp.models.dit.regional import Region
from cosmos_exp.models.dit.residuals import Weight, is_zero
from cosmos_exp.models.transfer1.control import ClipInputs
from cosmos_exp.models.transfer1.denoise import KeepFirst, guided
from cosmos_exp.models.transfer1.edm import FrameCondition
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.models.transfer1.tiles import Tile, blend_tiles, tiles_of
from cosmos_exp.sampling.res_sampler import Progress, initial_noise, res_sample
from cosmos_exp.sampling.sampler_params import SamplerParams

AUGMENT_SIGMA = 0.001  # noise on given frames


def sample_single_view(
    model: WorldModel,
    hints: Mapping[str, Tensor],
    weights: Mapping[str, Weight],
    text: Tensor,
    negative_text: Tensor | None,
    sampler: SamplerParams,
    seed: int,
    progress: Progress | None = None,
    *,
    fps: float | None = None,
    given: Tensor | None = None,
    init_latents: Tensor | None = None,
    regions: Sequence[Region] = (),
    parallel: ParallelContext | None = None,
    keep_first: KeepFirst | None = None,
) -> Tensor:
    """Latents [16,T,h,w] of a clip.

    hints: control latents [16,T,h,w] by control name. weights: what `control_weights` returned. text, negative_text:
    [S, channels]; None for all-zero text. The same seed gives the same noise whatever the other arguments.
    fps: frames per second of the clip; None for the rate that the model was trained at.
    given: latent frames [16,n,h,w] that condition the start of the clip (models with a condition mask only).
    init_latents: latents [16,T,h,w] of an init video, noised to sampler.sigma_max.
    regions: regional prompts.
    parallel: the ranks that sample it together, each with the same arguments; all return the same.
    keep_first: see `guided`; not used with tiles.
    A clip larger than the contract's tile is sampled in tiles, see `tiles`.
    """
    if not hints:
        raise UserError("single-view generation needs at least one control")
    active = {name: hint[None].to(model.device) for name, hint in hints.items() if not is_zero(weights[name])}
    denoiser = model.single_view(active)
    shape = (1, *next(iter(hints.values())).shape)
    noise = initial_noise(shape, seed).to(model.device)
    x = noise * sampler.sigma_max
    if init_latents is not None:
        init = init_latents[None].to(model.device)
        x = noised_latent(init, sampler.sigma_max, seed) if sampler.reference_compat else init + x
    condition, continues = None, denoiser.net.config.condition_mask
    if continues:
        condition = first_frames_condition(given, noise)
    elif given is not None:
        raise UserError("this single-view net cannot continue from given frames: it has no condition mask")

    rows, columns = shape[-2:]
    tiles, parts = tiles_of(rows, columns, model.contract.tile), []
    first: ClipInputs | None = None
    for tile in tiles:
        own = None if condition is None else cropped(condition, tile)
        with torch.inference_mode():
            clip = denoiser.prepare(
                tile.of(x),
                {name: tile.of(hint) for name, hint in active.items()},
                condition=own,
                fps=fps or model.contract.fps,
            )
        first = first or clip
        part = guided(
            denoiser,
            replace(clip, positions=first.positions, channels=first.channels),  # identical in all tiles: stored once
            text=text[None].to(model.device),
            negative_text=None if negative_text is None else negative_text[None].to(model.device),
            sampler=sampler,
            weights={name: on_tile(weights[name], tile) for name in active},
            condition=own,
            merge_gain=sampler.reference_compat and continues and len(tiles) == 1,
            regions=[Region(r.text.to(model.device), tile.tokens(r.mask).to(model.device)) for r in regions],
            parallel=parallel,
            keep_first=keep_first if len(tiles) == 1 else None,
        )
        parts.append(part)
    denoise = blend_tiles(tiles, parts, rows, columns)
    return res_sample(denoise, x, sampler.levels, progress)[0].float().cpu()


def on_tile(weight: Weight, tile: Tile) -> Weight:
    return tile.tokens(weight) if isinstance(weight, Tensor) and weight.ndim > 1 else weight


def cropped(condition: FrameCondition, tile: Tile) -> FrameCondition:
    noise = None if condition.noise is None else tile.of(condition.noise)
    return replace(condition, latent=tile.of(condition.latent), noise=noise)


def noised_latent(latent: Tensor, sigma: float, seed: int) -> Tensor:
    """latent + sigma * noise, the noise drawn by torch on the latent's device (other devices draw other noise)."""
    generator = torch.Generator(latent.device).manual_seed(seed)
    return latent + sigma * torch.randn(latent.shape, generator=generator, device=latent.device, dtype=latent.dtype)


def first_frames_condition(given: Tensor | None, noise: Tensor) -> FrameCondition:
    """The condition of a clip [1,16,T,h,w] that starts with the latent frames `given` [16,n,h,w]."""
    latent = torch.zeros_like(noise)
    indicator = noise.new_zeros((1, 1, noise.shape[2], 1, 1))
    if given is not None:
        frames = given.shape[1]
        latent[0, :, :frames] = given.to(noise)
        indicator[:, :, :frames] = 1
    return FrameCondition(latent, indicator, noise, AUGMENT_SIGMA)
