"""Seconds of a guided step of Cosmos-Transfer2.5, next to two plain evaluations by diffusers' Cosmos blocks of the same
weights in the same run.

python -m benchmarks.transfer25                                     # a small network on the CPU
python -m benchmarks.transfer25 --size 2b --views 7 --device cuda --dtype bfloat16 --attention cudnn
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import torch
import torch.nn.functional as F
from diffusers.models.transformers.transformer_cosmos import CosmosAttnProcessor2_0, CosmosTransformerBlock
from torch import Tensor, nn

from cosmos_exp.common.threads import torch_threads
from cosmos_exp.models.dit.stack import BlockStack
from cosmos_exp.models.kernels.speed import ATTENTION, LINEARS, Speed
from cosmos_exp.models.transfer25.config import AUTO_MULTIVIEW_2B, NetConfig
from cosmos_exp.models.transfer25.network import HEAD_EPS, ClipInputs, ControlledNet

SMALL = replace(
    AUTO_MULTIVIEW_2B,
    model_channels=192,
    num_blocks=8,
    num_heads=3,
    adaln_lora_dim=32,
    text_width=256,
    text_channels=128,
    text_tokens=64,
    control_every=2,
)
SIZES: dict[str, tuple[NetConfig, tuple[int, int, int]]] = {
    "small": (SMALL, (4, 18, 32)),
    "2b": (AUTO_MULTIVIEW_2B, (8, 90, 160)),
}
"""Network, and latent frames of a view, rows, columns."""
GUIDANCE = 3.0
REPEATS = 3


class PerView(CosmosAttnProcessor2_0):
    """Cross-attention of each view to its own text."""

    def __init__(self, views: int):
        super().__init__()
        self.views = views

    def __call__(self, attn, hidden_states, encoder_hidden_states, attention_mask=None, image_rotary_emb=None):
        shape = hidden_states.shape
        own = hidden_states.reshape(self.views, -1, shape[2])
        text = encoder_hidden_states.reshape(self.views, -1, encoder_hidden_states.shape[2])
        return super().__call__(attn, own, text).reshape(shape)


class Plain:
    """The network's own embedders and head around diffusers' blocks; each pass by itself, everything anew."""

    def __init__(self, net: ControlledNet, views: int):
        self.net = net
        self.blocks = {name: diffusers_blocks(stack, net.config, views) for name, stack in self.stacks().items()}

    def stacks(self) -> dict[str, BlockStack]:
        return {"base": self.net, **{name: self.net.control(name) for name in self.net.controls}}

    def __call__(self, x: Tensor, timestep: Tensor, text: Tensor, hint: Tensor, clip: ClipInputs) -> Tensor:
        """hint: control latent of the one control."""
        net, (name,) = self.net, self.net.controls
        branch = net.control(name)
        (temb, emb), tokens = net.time(timestep), net.tokens(x, clip.channels)
        temb, emb = temb.to(tokens), emb.to(tokens)
        rows = F.gelu(net.text_embed(text))

        def block(layer: nn.Module, hidden: Tensor) -> Tensor:
            return layer(hidden, rows, emb, temb, image_rotary_emb=clip.positions.rope)

        hidden = branch.first_tokens(tokens, branch.hint_tokens(hint, clip.channels))
        residuals = []
        for layer, after in zip(self.blocks[name], branch.after_proj, strict=True):
            hidden = block(layer, hidden)
            residuals.append(after(hidden))
        added, hidden = dict(zip(net.config.injected, residuals)), tokens
        for i, layer in enumerate(self.blocks["base"]):
            hidden = block(layer, hidden)
            if i in added:
                hidden = hidden + added[i]
        return net.head(hidden, net.step_inputs(net.time(timestep), net), net.grid(x))


def diffusers_blocks(stack: BlockStack, config: NetConfig, views: int) -> list[CosmosTransformerBlock]:
    made = []
    for block in stack.blocks:
        weight = block.attn1.to_q.weight
        with torch.device("meta"):
            twin = CosmosTransformerBlock(
                num_attention_heads=config.num_heads,
                attention_head_dim=config.head_dim,
                cross_attention_dim=config.text_channels,
                mlp_ratio=config.mlp_ratio,
                adaln_lora_dim=config.adaln_lora_dim,
                qk_norm="rms_norm",
            )
        twin.load_state_dict({k: v.to(weight) for k, v in block.state_dict().items()}, assign=True)
        for attention in (twin.attn1, twin.attn2):
            attention.norm_q.eps = attention.norm_k.eps = HEAD_EPS
        twin.attn2.set_processor(PerView(views))
        made.append(twin.eval())
    return made


def seconds(call: Callable[[], object], device: str) -> float:
    """Least time of a call after a warm-up: of the processor on a CPU, of the clock on a GPU."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    call()
    times = []
    for _ in range(REPEATS):
        wait(device)
        start = clock()
        call()
        wait(device)
        times.append(clock() - start)
    return min(times)


def wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


@torch.inference_mode()
def run(size: str, views: int, device: str, dtype: torch.dtype, speed: Speed) -> dict[str, float]:
    """tokens, seconds, plain_seconds, error: relative difference of the guided velocities."""
    torch.manual_seed(0)
    config, (frames, rows, columns) = SIZES[size]
    with torch.device(device):
        net = ControlledNet(config).eval()
        for parameter in net.parameters():
            nn.init.normal_(parameter, std=0.5 * parameter.shape[-1] ** -0.5)
        net.cast(dtype)
        x, hint = torch.randn(2, 1, config.latent_channels, views * frames, rows, columns, dtype=dtype)
        texts = torch.randn(2, 1, views * config.text_tokens, config.text_width, dtype=dtype)
        timestep = torch.tensor([800])
    plain = Plain(net, views)
    net.apply_speed(speed, device)
    clip = net.prepare(x, {"wsm": hint}, views=views)
    prompts = [net.prepare_text(text, clip) for text in texts]

    def ours() -> Tensor:
        cond, uncond = net.branches(x, timestep, prompts, clip, {"wsm": 1.0}, batched=False)
        return cond + GUIDANCE * (cond - uncond)

    def theirs() -> Tensor:
        cond, uncond = (plain(x, timestep, text, hint, clip) for text in texts)
        return cond + GUIDANCE * (cond - uncond)

    reference = theirs().float()
    error = ((ours().float() - reference).norm() / reference.norm()).item()
    return {
        "tokens": clip.num_tokens,
        "seconds": seconds(ours, device),
        "plain_seconds": seconds(theirs, device),
        "error": error,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--views", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--attention", choices=ATTENTION, default="auto")
    parser.add_argument("--linears", choices=LINEARS, default="plain")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    speed = Speed(attention=options.attention, linears=options.linears, compile=options.compile)
    threads = torch_threads(1) if options.device == "cpu" else nullcontext()  # as a run on a CPU computes
    with threads:
        found = run(options.size, options.views, options.device, getattr(torch, options.dtype), speed)
    print(f"guided step, {options.size}, {options.views} views, {found['tokens']} tokens, {options.dtype}, {speed}")
    ratio = found["seconds"] / found["plain_seconds"]
    print(f"  ours {found['seconds']:.3f} s, diffusers' blocks {found['plain_seconds']:.3f} s, {ratio:.2f} x")
    print(f"  relative difference {found['error']:.1e}")


if __name__ == "__main__":
    main()
