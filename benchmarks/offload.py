"""Blocks offloaded to CPU memory: ours and the group offloading of diffusers, each against the same network without.

python -m benchmarks.offload               # on one GPU, at the released size of the single view
python -m benchmarks.offload --size nano   # the same program on a small network

A row is one evaluation: seconds (the shortest of three), its ratio to the same network that stays on the GPU, and the
peak in tensors. Ours runs the network of Cosmos-Transfer1 with one control, guided: two passes; diffusers' runs its own
CosmosTransformer3DModel of the same width and depth, two passes of the base network. Random weights, bfloat16.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from diffusers import CosmosTransformer3DModel

from benchmarks.random_model import CONTROL, RandomModel, evaluate
from cosmos_exp.common.gpu_memory import GIB
from cosmos_exp.models.checkpoints.released import released_config
from cosmos_exp.models.dit.memory import Memory
from cosmos_exp.models.transfer1.nano import nano_config
from cosmos_exp.models.transfer1.tokenizer import latent_frame_count

REPEATS = 3
TEXT_ROWS = 512


def measured(call: Callable[[], object]) -> tuple[float, float]:
    """(seconds of the shortest evaluation after one to warm up, peak GiB in tensors)."""
    call()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds), torch.cuda.max_memory_allocated() / GIB


def ours(config: dict[str, Any], offload: str) -> tuple[float, float]:
    model = RandomModel(config, device="cuda", dtype=torch.bfloat16, memory=Memory(offload=offload))
    contract = model.contract
    frames = contract.frames.choices()[-1]
    shape = (16, latent_frame_count(frames), contract.height // 8, contract.width // 8)
    text = torch.randn(TEXT_ROWS, config["single_view"]["base"]["text_channels"])
    return measured(lambda: evaluate(model, "single_view", shape, text))


def diffusers_network(config: dict[str, Any], offload: bool) -> tuple[float, float]:
    base, contract = config["single_view"]["base"], config["contract"]
    heads = base["num_heads"]
    with torch.device("cuda"):
        net = CosmosTransformer3DModel(
            in_channels=16,
            out_channels=16,
            num_attention_heads=heads,
            attention_head_dim=base["model_channels"] // heads,
            num_layers=base["num_blocks"],
            text_embed_dim=base["text_channels"],
            adaln_lora_dim=base["adaln_lora_dim"],
            max_size=(128, 240, 240),
            concat_padding_mask=False,
        )
    net = net.to(torch.bfloat16).eval().requires_grad_(False)
    if offload:
        net.enable_group_offload(
            torch.device("cuda"), torch.device("cpu"), "block_level", num_blocks_per_group=1, use_stream=True
        )
    frames = latent_frame_count(contract["frames"]["most"])
    x = torch.randn(1, 16, frames, contract["height"] // 8, contract["width"] // 8, device="cuda", dtype=torch.bfloat16)
    text = torch.randn(1, TEXT_ROWS, base["text_channels"], device="cuda", dtype=torch.bfloat16)
    time_step = torch.tensor([0.5], device="cuda", dtype=torch.bfloat16)

    @torch.inference_mode()
    def two_passes() -> None:
        for _ in range(2):
            net(x, time_step, text, fps=24)

    return measured(two_passes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("7b", "nano"), default="7b")
    asked = parser.parse_args()
    config = released_config("transfer1_7b_av", [CONTROL]) if asked.size == "7b" else nano_config()
    runs: dict[str, tuple[Callable[[], tuple[float, float]], Callable[[], tuple[float, float]]]] = {
        "ours (two buffers, one block ahead)": (lambda: ours(config, "none"), lambda: ours(config, "blocks")),
        "diffusers (block level, stream)": (
            lambda: diffusers_network(config, False),
            lambda: diffusers_network(config, True),
        ),
    }
    print(f"{'':<38} {'seconds':>8} {'offloaded':>10} {'ratio':>6} {'GiB':>7} {'offloaded':>10}")
    for name, (resident, offloaded) in runs.items():
        before, most = resident()
        torch.cuda.empty_cache()
        after, least = offloaded()
        torch.cuda.empty_cache()
        print(
            f"{name:<38} {before:>8.2f} {after:>10.2f} {after / before:>6.3f} {most:>7.1f} {least:>10.1f}", flush=True
        )


if __name__ == "__main__":
    main()
