"""Multi-view generation: the front view's latents, a layout control and a prompt per view to all views' latents."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.dit.parallel import ParallelContext
from cosmos_exp.models.dit.residuals import Weight, is_zero
from cosmos_exp.models.dit.view_layout import given_frames, split_views, stack_views
from cosmos_exp.models.transfer1.denoise import guided
from cosmos_exp.models.transfer1.edm import FrameCondition
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.sampling.res_sampler import Progress, initial_noise, res_sample
from cosmos_exp.sampling.sampler_params import SamplerParams


def sample_multi_view(
    model: WorldModel,
    front: Tensor,
    hints: Mapping[str, Tensor],
    weights: Mapping[str, Weight],
    texts: Tensor,
    sampler: SamplerParams,
    seed: int,
    progress: Progress | None = None,
    *,
    fps: float | None = None,
    first_frames: Tensor | None = None,
    parallel: ParallelContext | None = None,
) -> Tensor:
    """Latents [V,16,T,h,w] of every view, in the order of the model's contract; view 0 is `front` itself.

    front: [16,T,h,w], the view that is given. hints: control latents [V,16,T,h,w] by name. weights: by name, a scalar
    or a map [1,1,V*T,h,w] on the patch grid, view by view. texts: [V,S,channels], one prompt per view.
    first_frames: [V,16,n,h,w], latent frames that condition the start of every view.
    fps: frames per second of the clip; None for the rate that the model was trained at.
    parallel: the ranks that sample it together, each with the same arguments; all return the same.
    The unconditional pass reads all-zero text.
    """
    views = len(model.contract.views)
    if len(texts) != views:
        raise UserError(f"{len(texts)} prompts for {views} views ({', '.join(model.contract.views)})")
    for name, hint in hints.items():
        if hint.shape != (views, *front.shape):
            raise UserError(f"control {name!r} has latents {tuple(hint.shape)}, needed are {(views, *front.shape)}")
    active = {name: stack_views(hint)[None] for name, hint in hints.items() if not is_zero(weights[name])}
    denoiser = model.multi_view(active)
    condition = front_condition(front, views, first_frames, model.device)
    noise = initial_noise(condition.latent.shape, seed).to(model.device)
    x = noise * sampler.sigma_max

    with torch.inference_mode():
        clip = denoiser.prepare(
            x,
            {name: hint.to(model.device) for name, hint in active.items()},
            condition=condition,
            fps=fps or model.contract.fps,
            share_view_embed=sampler.reference_compat,
        )
    denoise = guided(
        denoiser,
        clip,
        text=texts.flatten(0, 1)[None].to(model.device),
        negative_text=None,
        sampler=sampler,
        weights={name: weights[name] for name in active},
        condition=condition,
        parallel=parallel,
    )
    return split_views(res_sample(denoise, x, sampler.levels, progress)[0].float().cpu(), views)


def front_condition(
    front: Tensor, views: int, first_frames: Tensor | None, device: torch.device | str = "cpu"
) -> FrameCondition:
    """Conditions on all of view 0, and on the first latent frames [V,16,n,h,w] of each view where given."""
    latents = front.new_zeros((views, *front.shape))
    count = 0
    if first_frames is not None:
        count = first_frames.shape[2]
        latents[:, :, :count] = first_frames
    latents[0] = front
    location = "first_cam_and_first_n" if count else "first_cam"
    given = given_frames(views, front.shape[1], location=location, first_frames=count)
    return FrameCondition(stack_views(latents)[None].to(device), given.to(device))
