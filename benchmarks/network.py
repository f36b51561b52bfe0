"""Seconds per network evaluation by token count, next to diffusers' Cosmos transformer of the same size and weights.

python -m benchmarks.network
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from diffusers import CosmosTransformer3DModel

from cosmos_exp.world.edm import Denoiser
from cosmos_exp.world.model import WorldModel
from cosmos_exp.world.nano import nano_config
from cosmos_exp.world.transformer import DiT

FRAMES = (9, 17, 25)  # pixel frames of the single-view clips


def seconds(call: Callable[[], object], repeats: int = 5) -> float:
    """Least wall time of a call, after one warm-up."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
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


if __name__ == "__main__":
    main()
