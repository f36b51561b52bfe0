"""What each option of `speed` that changes the result costs in quality, on the model nano_fast and held-out scenes.

python -m benchmarks.quality [--scenes 4] [--steps 35] [--guidance 1]

Front views in two styles, against the exact video of the same noise and against what the renderer draws.
Transformer Engine is among the options where there are a GPU and the extra te.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass, field
from importlib.util import find_spec

import numpy as np
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from cosmos_exp.common.progress import steps
from cosmos_exp.config import schema
from cosmos_exp.metrics.psnr import video_psnr
from cosmos_exp.metrics.style import predict, shipped_classifier, style_features
from cosmos_exp.models.kernels.speed import Speed
from cosmos_exp.models.transfer1.edm import Denoiser
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.models.transfer1.single_view import sample_single_view
from cosmos_exp.models.transfer1.weights_folder import SHIPPED_WEIGHTS, read_contract
from cosmos_exp.sampling.sampler_params import SamplerParams
from cosmos_exp.sensors.rigs import build_rig
from cosmos_exp.train.clips import Clip, ClipSize, ClipSpec
from cosmos_exp.train.rendering import HELD_OUT_SEED, render_clip

WEIGHTS = {"hdmap": 0.5, "seg": 0.5}
INTERVAL = (0.3, 10.0)
NAME = "nano_fast"


@dataclass
class Option:
    """A way of sampling, and what it was seen to do."""

    name: str
    speed: Speed = field(default_factory=Speed)
    sampling: dict[str, object] = field(default_factory=dict)
    passes: Counter[str] = field(default_factory=Counter)  # network passes of all clips, full and reused
    videos: list[np.ndarray] = field(default_factory=list)


def options() -> list[Option]:
    interval = {"guidance_interval": INTERVAL}
    both = Speed("fp8", "fp8")
    engine = torch.cuda.is_available() and find_spec("transformer_engine") is not None
    return [
        Option("exact"),
        Option(f"guidance in {INTERVAL}", sampling=interval),
        *(Option(f"cache {threshold}", sampling={"cache_threshold": threshold}) for threshold in (0.1, 0.2, 0.3)),
        Option("fp8 linears", Speed(linears="fp8")),
        Option("fp8 attention", Speed(attention="fp8")),
        Option("fp8 both", both),
        *([Option("te linears", Speed(linears="te"))] if engine else []),
        *(Option(f"all, cache {c}", both, interval | {"cache_threshold": c}) for c in (0.1, 0.2, 0.3)),
    ]


def clips(count: int) -> list[Clip]:
    schema.register()
    with initialize_config_module("cosmos_exp.conf", version_base="1.3"):
        sensors = OmegaConf.to_container(compose("config").sensors, resolve=True)
    made = read_contract(SHIPPED_WEIGHTS / NAME)
    rig = build_rig(sensors["name"], sensors["cameras"], size=(made.width, made.height))
    size = ClipSize(made.frames.most, made.fps, made.height, made.width)
    seeds = range(HELD_OUT_SEED, HELD_OUT_SEED + count)
    return [render_clip(ClipSpec(seed, ("front_wide_120fov",), 2, tuple(WEIGHTS), size), rig) for seed in seeds]


def count_passes(denoiser: Denoiser, seen: Counter[str]) -> None:
    """Count what `branches` computes in full and what it takes from the cache."""
    branches = denoiser.branches

    def counted(x, sigma, prompts, *args, cache=None, **rest):
        before = cache.reused if cache else 0
        result = branches(x, sigma, prompts, *args, cache=cache, **rest)
        seen["reused" if cache and cache.reused > before else "full"] += len(prompts)
        return result

    denoiser.branches = counted


def shipped(speed: Speed) -> WorldModel:
    """In bfloat16 on a GPU, where there is one."""
    place = {"device": "cuda", "dtype": torch.bfloat16} if torch.cuda.is_available() else {}
    return WorldModel.from_folder(SHIPPED_WEIGHTS / NAME, speed=speed, **place)


def generate(option: Option, model: WorldModel, clip: Clip, style: str, base: SamplerParams) -> np.ndarray:
    latents = sample_single_view(
        model,
        {name: model.encode_video(clip.video("front_wide_120fov", name)) for name in WEIGHTS},
        WEIGHTS,
        model.encode_text(clip.prompts[style]),
        model.encode_text(model.contract.negative_prompt),
        SamplerParams(base.num_steps, base.guidance, **option.sampling),
        seed=clip.seed,
    )
    return model.decode(latents)


def run(scenes: int, base: SamplerParams) -> list[dict[str, object]]:
    jobs = [(clip, style) for clip in clips(scenes) for style in styles_of(clip)]
    tried = options()
    with steps("quality") as tick:
        for i, option in enumerate(tried):
            model = shipped(option.speed)
            count_passes(model.single_view(WEIGHTS), option.passes)
            for j, (clip, style) in enumerate(jobs):
                option.videos.append(generate(option, model, clip, style, base))
                tick(i * len(jobs) + j + 1, len(tried) * len(jobs))
    return [row(option, tried[0], jobs) for option in tried]


def styles_of(clip: Clip) -> list[str]:
    return [key.name for key in clip.keys if key.name not in WEIGHTS]


def row(option: Option, exact: Option, jobs: list[tuple[Clip, str]]) -> dict[str, object]:
    scores = [predict(shipped_classifier(), style_features(video)) for video in option.videos]
    kept = [max(score, key=score.get) == style for score, (_, style) in zip(scores, jobs)]
    truth = [clip.video("front_wide_120fov", style) for clip, style in jobs]
    return {
        "option": option.name,
        "full_passes": option.passes["full"] / len(jobs),
        "reused_passes": option.passes["reused"] / len(jobs),
        "psnr_to_exact": mean_psnr(exact.videos, option.videos) if option is not exact else float("inf"),
        "psnr_to_render": mean_psnr(truth, option.videos),
        "style_kept": float(np.mean(kept)),
    }


def mean_psnr(targets: list[np.ndarray], videos: list[np.ndarray]) -> float:
    return float(np.mean([video_psnr(target, video) for target, video in zip(targets, videos)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=4)
    parser.add_argument("--steps", type=int, default=35)
    parser.add_argument("--guidance", type=float, default=1.0)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    base = SamplerParams(arguments.steps, arguments.guidance)
    rows = run(arguments.scenes, base)
    print(f"{NAME}, {2 * arguments.scenes} clips, {base.num_steps} steps, guidance {base.guidance:g}; passes of a clip")
    print(f"{'option':<26} {'full':>6} {'reused':>7} {'PSNR to exact':>14} {'PSNR to render':>15} {'style kept':>11}")
    for r in rows:
        print(
            f"{r['option']:<26} {r['full_passes']:>6.1f} {r['reused_passes']:>7.1f} {r['psnr_to_exact']:>14.1f} "
            f"{r['psnr_to_render']:>15.2f} {r['style_kept']:>11.2f}"
        )


if __name__ == "__main__":
    main()
