"""Seconds per network evaluation by token count, next to diffusers' Cosmos transformer of the same size and weights.

python -m benchmarks.network
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from diffusers import CosmosTransformer3DModel

from cosmos_exp.models.transfer1.config import DiTConfig
from cosmos_exp.models.transfer1.denoise import guided
from cosmos_exp.models.transfer1.edm import Denoiser
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.models.transfer1.nano import nano_config
from cosmos_exp.models.transfer1.transformer import DiT
from cosmos_exp.sampling.sampler_params import SamplerParams

FRAMES = (9, 17, 25)  # pixel frames of the single-view clips
PROMPT_TOKENS = (80, 20)  # of a prompt and of the negative prompt


def seconds(call: Callable[[], object], repeats: int = 5, clock: Callable[[], float] = time.perf_counter) -> float:
    """Least time of a call by `clock`, after one warm-up."""
    call()
    times = []
    for _ in range(repeats):
        start = clock()
        call()
        times.append(clock() - start)
    return min(times)


def diffusers_twin(net: DiT) -> CosmosTransformer3DModel:
    """The diffusers model with the same sizes and weights as a single-view base net."""
    config = net.config
    twin = CosmosTransformer3DModel(
        in_channels=config.in_channels,
        num_attention_heads=config.num_heads,
        attention_head_dim=config.head_dim,
        num_layers=config.num_blocks,
        mlp_ratio=config.mlp_ratio,
        text_embed_dim=config.text_channels,
        adaln_lora_dim=config.adaln_lora_dim,
        max_size=config.max_size,
        patch_size=config.patch_size,
        rope_scale=config.rope_scale,
        concat_padding_mask=False,
    )
    twin.load_state_dict(net.state_dict())
    return twin.eval()


def evaluation(denoiser: Denoiser, frames: int, height: int, width: int, controls: tuple[str, ...], text: bool = True):
    """Tokens of one clip and a call that evaluates its x0 once, as a sampler does."""
    config = denoiser.net.config
    x = torch.randn(1, 16, config.num_views * (1 + (frames - 1) // 8), height // 8, width // 8)
    hints = {name: torch.randn_like(x) for name in controls}
    clip = denoiser.prepare(x, hints)
    prompt = torch.randn(1, 256 * config.num_views, config.text_channels) if text else None
    weights = dict.fromkeys(controls, 0.5)
    tokens = clip.positions["base"].extra.shape[1]
    return tokens, lambda: denoiser(x, torch.tensor([2.0]), prompt, {}, weights, clip=clip)


def twin_evaluation(twin: CosmosTransformer3DModel, frames: int, height: int, width: int) -> Callable[[], object]:
    x = torch.randn(1, twin.config.in_channels, 1 + (frames - 1) // 8, height // 8, width // 8)
    text, timestep = torch.randn(1, 256, twin.config.text_embed_dim), torch.tensor([0.17])
    return lambda: twin(x, timestep, text, fps=24, return_dict=False)


def prompt(config: DiTConfig, words: int, rows: int) -> torch.Tensor:
    """Text of one prompt per view, zero beyond its tokens."""
    text = torch.zeros(1, config.num_views, rows, config.text_channels)
    text[:, :, :words] = torch.randn(1, config.num_views, words, config.text_channels)
    return text.flatten(1, 2)


def guided_step(denoiser: Denoiser, frames: int, height: int, width: int, controls: tuple[str, ...], rows: int):
    """Tokens of a clip and two calls of one guided step: as a sampler does it, and by two plain evaluations."""
    config = denoiser.net.config
    x = torch.randn(1, 16, config.num_views * (1 + (frames - 1) // 8), height // 8, width // 8)
    clip = denoiser.prepare(x, {name: torch.randn_like(x) for name in controls})
    weights = dict.fromkeys(controls, 0.5)
    text, sigma = prompt(config, PROMPT_TOKENS[0], rows), 2.0
    negative = None if config.num_views > 1 else prompt(config, PROMPT_TOKENS[1], rows)
    sampling = guided(
        denoiser,
        clip,
        text=text,
        negative_text=negative,
        sampler=SamplerParams(num_steps=35, guidance=5.0),
        weights=weights,
    )

    def plain() -> torch.Tensor:
        cond, uncond = (denoiser(x, torch.tensor([sigma]), t, {}, weights, clip=clip) for t in (text, negative))
        return cond + 5.0 * (cond - uncond)

    return clip.num_tokens, lambda: sampling(x, sigma), plain


@torch.inference_mode()
def run_guided() -> list[dict[str, object]]:
    """Guided steps of the sampling path beside two plain evaluations, in processor seconds of the same run."""
    torch.manual_seed(0)
    model = WorldModel.build(nano_config())
    contract = model.contract
    cases = [("single view", model.single_view(), contract.controls[:count]) for count in (1, 2, 5)]
    cases.append(("multi view", model.multi_view(), ("hdmap",)))
    rows = []
    for what, denoiser, controls in cases:
        for parameter in denoiser.parameters():
            torch.nn.init.normal_(parameter, std=0.05)
        size = (contract.frames.most, contract.height, contract.width)
        tokens, sampling, plain = guided_step(denoiser, *size, controls, contract.text_tokens)
        reference = plain()
        rows.append(
            {
                "what": f"{what}, controls: {len(controls)}",
                "tokens": tokens,
                "seconds": seconds(sampling, repeats=3, clock=time.process_time),
                "plain_seconds": seconds(plain, repeats=3, clock=time.process_time),
                "error": ((sampling() - reference).norm() / reference.norm()).item(),
            }
        )
    return rows


@torch.inference_mode()
def run() -> list[dict[str, object]]:
    """One row per measurement: what, tokens, seconds, and seconds of the alternative where there is one."""
    torch.manual_seed(0)
    model = WorldModel.build(nano_config())
    contract = model.contract
    size = (contract.height, contract.width)
    single, multi = model.single_view(), model.multi_view()
    twin = diffusers_twin(single.net.base)
    rows = []
    for frames in FRAMES:
        tokens, ours = evaluation(single, frames, *size, controls=())
        theirs = seconds(twin_evaluation(twin, frames, *size))
        rows.append(row("single view, base net", tokens, seconds(ours), theirs))
    for controls in (contract.controls[:1], contract.controls[:2], contract.controls):
        tokens, ours = evaluation(single, contract.frames.most, *size, controls=controls)
        rows.append(row(f"single view, controls: {len(controls)}", tokens, seconds(ours)))
    for label, text in (("one prompt per view", True), ("all-zero text", False)):
        tokens, ours = evaluation(multi, contract.frames.most, *size, controls=("hdmap",), text=text)
        rows.append(row(f"multi view, hdmap, {label}", tokens, seconds(ours, repeats=3)))
    return rows


def row(what: str, tokens: int, ours: float, diffusers: float | None = None) -> dict[str, object]:
    return {"what": what, "tokens": tokens, "seconds": ours, "diffusers_seconds": diffusers}


def main() -> None:
    print(f"seconds per evaluation, nano sizes, float32, {torch.get_num_threads()} threads; least of several")
    print(f"{'what':<40} {'tokens':>6} {'seconds':>8} {'diffusers CosmosTransformer3DModel':>34}")
    for entry in run():
        other = entry["diffusers_seconds"]
        theirs = "" if other is None else f"{other:.3f}  (ours {entry['seconds'] / other:.2f} x)"
        print(f"{entry['what']:<40} {entry['tokens']:>6} {entry['seconds']:>8.3f} {theirs:>34}")
    print("\nguided step (two evaluations), processor seconds: the sampling path, and two plain evaluations")
    print(f"{'what':<40} {'tokens':>6} {'seconds':>8} {'plain':>8} {'ratio':>6} {'relative difference':>20}")
    for entry in run_guided():
        ours, plain = entry["seconds"], entry["plain_seconds"]
        line = f"{entry['what']:<40} {entry['tokens']:>6} {ours:>8.3f} {plain:>8.3f} {ours / plain:>6.2f}"
        print(f"{line} {entry['error']:>20.1e}")


if __name__ == "__main__":
    main()
