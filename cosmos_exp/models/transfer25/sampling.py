"""All views of a chunk at once: control latents and texts to the latents of every view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cosmos_exp.models.dit.parallel import ParallelContext
from cosmos_exp.models.dit.residuals import Weight, is_zero
from cosmos_exp.models.dit.view_layout import split_views, stack_views
from cosmos_exp.models.transfer25.chunks import frame_indicator
from cosmos_exp.models.transfer25.denoise import GivenFrames, guided_velocity
from cosmos_exp.models.transfer25.model import ViewsModel
from cosmos_exp.sampling.flow import FlowParams
from cosmos_exp.sampling.res_sampler import Progress, initial_noise
from cosmos_exp.sampling.unipc import unipc_sample


def sample_views(
    model: ViewsModel,
    hints: Mapping[str, Tensor],
    weights: Mapping[str, Weight],
    texts: Tensor,
    negative_texts: Tensor,
    sampler: FlowParams,
    seed: int,
    progress: Progress | None = None,
    *,
    view_ids: Sequence[int],
    first_frames: Tensor | None = None,
    given: Sequence[int] = (),
    parallel: ParallelContext | None = None,
) -> Tensor:
    """Latents float32 [V,16,T,h,w] of V views, on the CPU.

    hints: control latents [V,16,T,h,w] by name. weights: by name. texts, negative_texts: [V,S,text_width] of the
    conditional and of the unconditional pass. view_ids: rows of the network's table, ascending. first_frames:
    [V,16,n,h,w], latent frames that condition the start; given: how many of them in each view, at most n.
    The noise is one draw for all views, so that of a view depends on their number.
    parallel: the ranks that sample it together, each with the same arguments; all return the same.
    """
    shape = next(iter(hints.values())).shape
    views, frames = shape[0], shape[2]
    net, device = model.network, model.device
    stacked = {name: stack_views(hint)[None].to(device) for name, hint in hints.items() if not is_zero(weights[name])}
    noise = initial_noise((1, shape[1], views * frames, *shape[3:]), seed).to(device)
    condition, indicator = None, None
    if first_frames is not None and any(given):
        latent = torch.zeros(shape)
        latent[:, :, : first_frames.shape[2]] = first_frames
        indicator = frame_indicator(given, frames).to(device)
        condition = GivenFrames(stack_views(latent)[None].to(device), indicator, noise)
    ids = torch.tensor(view_ids, device=device).repeat_interleave(frames)[None]
    with torch.inference_mode():
        clip = net.prepare(noise.to(net.dtype), stacked, views=views, condition_mask=indicator, view_ids=ids)
    velocity = guided_velocity(
        net,
        clip,
        text=texts.flatten(0, 1)[None].to(device),
        negative_text=negative_texts.flatten(0, 1)[None].to(device),
        sampler=sampler,
        weights={name: weights[name] for name in stacked},
        condition=condition,
        parallel=parallel,
    )
    latents = unipc_sample(velocity, noise, sampler.num_steps, shift=sampler.shift, progress=progress)
    return split_views(latents[0].float().cpu(), views)
