"""Front views of training clips as the single-view net generates them, for the training of the multi-view net.

In the pipeline that net is given a generated front view, whose errors it has to go on from.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cosmos_exp.models.transfer1.denoise import guided
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.sampling.res_sampler import initial_noise, res_sample
from cosmos_exp.sampling.sampler_params import SamplerParams
from cosmos_exp.train.config import FrontsConfig
from cosmos_exp.train.latents import LatentSet

CONTROL = "hdmap"


@torch.no_grad()
def generated_fronts(model: WorldModel, latents: LatentSet, settings: FrontsConfig) -> Tensor:
    """[N,K,16,T,h,w] float16: every clip in each of its styles, from its HD map; the noise is that of its seed."""
    denoiser, device = model.single_view([CONTROL]).eval(), model.device
    sampler = SamplerParams(settings.num_steps, settings.guidance, sigma_min=model.contract.sigma_min)
    num_clips, num_styles = latents.targets.shape[:2]
    pairs = [(clip, style) for clip in range(num_clips) for style in range(num_styles)]
    negative = None
    if model.contract.negative_prompt is not None:
        negative = model.encode_text(model.contract.negative_prompt)
    found = []
    for start in range(0, len(pairs), settings.batch_size):
        some = pairs[start : start + settings.batch_size]
        hint = torch.stack([latents.hints[CONTROL][clip, 0] for clip, _ in some]).float().to(device)
        text = model.text_encoder.encode([latents.prompts[clip][style] for clip, style in some]).float()
        noise = torch.cat([initial_noise((1, *hint.shape[1:]), latents.seeds[clip]) for clip, _ in some]).to(device)
        with torch.inference_mode():
            denoise = guided(
                denoiser,
                denoiser.prepare(noise, {CONTROL: hint}),
                text=text.to(device),
                negative_text=None if negative is None else negative[None].expand(len(some), -1, -1).to(device),
                sampler=sampler,
                weights={CONTROL: 1.0},
            )
            x0 = res_sample(denoise, noise * sampler.sigma_max, sampler.levels)
        found.append(x0.half().cpu())
    return torch.cat(found).unflatten(0, (num_clips, num_styles))
