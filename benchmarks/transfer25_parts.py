"""What the benchmarks of Cosmos-Transfer2.5 are made of: sizes, work in FLOPs, random networks, diffusers' blocks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.transformers.transformer_cosmos import CosmosAttnProcessor2_0, CosmosTransformerBlock
from torch import Tensor, nn
from torch.nn.attention import sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from cosmos_exp.models.dit.parallel import ParallelContext
from cosmos_exp.models.dit.stack import BlockStack
from cosmos_exp.models.kernels.attention import KERNELS
from cosmos_exp.models.kernels.speed import Speed
from cosmos_exp.models.transfer25.config import NetConfig
from cosmos_exp.models.transfer25.convert import published_config
from cosmos_exp.models.transfer25.denoise import guided_velocity
from cosmos_exp.models.transfer25.network import HEAD_EPS, ClipInputs, ControlledNet
from cosmos_exp.models.transfer25.tokenizer import SPATIAL, VideoTokenizer, latent_frame_count
from cosmos_exp.sampling.flow import FlowParams

NAME, CONTROL, VIEWS = "transfer25_auto_multiview", "wsm", 7
STEPS, GUIDANCE = 35, 3.0
SIGMA = FlowParams(STEPS, GUIDANCE).levels[STEPS // 2]  # neither the first nor the last, so that the step cache acts
RATES = {"attention": 600e12, "linears": 740e12, "fp8 attention": 900e12, "fp8 linears": 1400e12, "tokenizer": 100e12}
"""FLOP/s of an H200 that the estimates assume: the first four as measured with the networks of Cosmos-Transfer1."""
CPU_RATE = 2e10
TINY = {
    "contract": {"height": 32, "width": 64, "text_tokens": 24},
    "tokenizer": {"base_dim": 4},
    "text_encoder": {
        "vocab_size": 384,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 64,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 1, 1]},
    },
    "network": {
        "model_channels": 64,
        "num_blocks": 4,
        "num_heads": 2,
        "adaln_lora_dim": 8,
        "text_width": 32,
        "text_channels": 32,
        "text_tokens": 24,
        "control_every": 2,
    },
}
TINY_FRAMES = 13


def model_config(tiny: bool) -> dict[str, Any]:
    """What `model.json` says: of the released model, or of the same with narrow layers and small pictures.

    Prompts are read byte by byte, as there is no vocabulary.
    """
    config = json.loads(json.dumps(published_config(NAME)))
    del config["text_encoder"]["vocabulary"]
    if tiny:
        for part, values in TINY.items():
            config[part] |= values
        config["contract"]["frames"] |= {"least": TINY_FRAMES, "most": TINY_FRAMES}
    return config


@dataclass(frozen=True)
class ClipSize:
    """Of one chunk. frames, height, width: pixels of a view."""

    network: NetConfig
    frames: int
    height: int
    width: int
    views: int = VIEWS

    @classmethod
    def of(cls, config: dict[str, Any]) -> ClipSize:
        contract = config["contract"]
        frames = contract["frames"]["most"]
        return cls(NetConfig.from_dict(config["network"]), frames, contract["height"], contract["width"])

    @property
    def latent(self) -> tuple[int, int, int]:
        """Frames of a view, rows, columns."""
        return latent_frame_count(self.frames), self.height // SPATIAL, self.width // SPATIAL

    @property
    def tokens(self) -> int:
        """Of all views."""
        frames, rows, columns = (size // patch for size, patch in zip(self.latent, self.network.patch_size))
        return self.views * frames * rows * columns

    def derivation(self) -> str:
        """How the number of tokens comes about."""
        (frames, rows, columns), (_, patch_rows, patch_columns) = self.latent, self.network.patch_size
        return (
            f"{self.views} views x {frames} latent frames of {self.frames} x "
            f"{self.height}/{SPATIAL}/{patch_rows} = {rows // patch_rows} rows x "
            f"{self.width}/{SPATIAL}/{patch_columns} = {columns // patch_columns} columns = {self.tokens} tokens"
        )

    def work(self, passes: int) -> dict[str, float]:
        """FLOPs of the matrix products of `passes` passes with the control, nothing shared between them."""
        net, tokens = self.network, self.tokens
        width, blocks = net.model_channels, net.num_blocks + len(net.injected) * len(net.controls)
        linears = 2 * tokens * width * (6 * width + 2 * int(width * net.mlp_ratio))
        attention = 4 * tokens * width * (tokens + net.text_tokens)
        return {"attention": passes * blocks * attention, "linears": passes * blocks * linears}

    def seconds(self, passes: int, device: str, speed: Speed | None = None) -> float:
        """Estimate from `work` and RATES."""
        speed, work = speed or Speed(), self.work(passes)
        if device == "cpu":
            return sum(work.values()) / CPU_RATE
        eight = {"attention": speed.attention == "fp8", "linears": speed.linears != "plain"}
        return sum(flops / RATES[f"fp8 {name}" if eight[name] else name] for name, flops in work.items())


def tokenizer_seconds(config: dict[str, Any], device: str) -> tuple[float, float]:
    """Estimates for encoding and decoding one view of a chunk."""
    size = ClipSize.of(config)
    with torch.device("meta"):
        tokenizer = VideoTokenizer(config["tokenizer"]).eval()
        pixels = torch.zeros(1, 3, size.frames, size.height, size.width)
        latents = torch.zeros(1, tokenizer.vae.config.z_dim, *size.latent)
    found = []
    for call in (lambda: tokenizer.vae.encode(pixels), lambda: tokenizer.vae.decode(latents)):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            call()
        found.append(counter.get_total_flops() / (CPU_RATE if device == "cpu" else RATES["tokenizer"]))
    return found[0], found[1]


@torch.no_grad()
def random_part(make: Callable[[], nn.Module], device: str, dtype: torch.dtype) -> nn.Module:
    """A part with random weights, drawn on the device. Norms of heads and of the time embedding have the weight 1."""
    with torch.device("meta"):
        part = make()
    if isinstance(part, ControlledNet):
        part.cast(dtype)
    else:
        part.to(dtype)
    part.to_empty(device=device)
    for name, parameter in part.named_parameters():
        if parameter.ndim == 1 and "norm" in name:
            nn.init.ones_(parameter)
        else:
            fan_in = parameter[0].numel() if parameter.ndim > 1 else len(parameter)
            nn.init.normal_(parameter, std=fan_in**-0.5)
    return part.eval()


def random_network(config: NetConfig, device: str, dtype: torch.dtype) -> ControlledNet:
    net = random_part(lambda: ControlledNet(config), device, dtype)
    assert isinstance(net, ControlledNet)
    return net


class Chunk:
    """Random inputs of one chunk, and evaluations of a network on them. The texts of both passes differ in the first
    view only, as where the prompt goes to the primary view."""

    def __init__(self, size: ClipSize, device: str, dtype: torch.dtype):
        frames, rows, columns = size.latent
        net = size.network
        shape = (1, net.latent_channels, size.views * frames, rows, columns)
        random = torch.Generator(device).manual_seed(0)
        options = {"device": device, "generator": random}
        self.size, self.device = size, device
        self.x = torch.randn(shape, **options)
        self.hint = torch.randn(shape, **options).to(dtype)
        text = (1, net.text_tokens, net.text_width)
        prompt, negative, space = (torch.randn(text, dtype=dtype, **options) for _ in range(3))
        self.texts = [torch.cat([own, *[space] * (size.views - 1)], dim=1) for own in (prompt, negative)]

    @torch.inference_mode()
    def prepared(self, net: ControlledNet) -> ClipInputs:
        return net.prepare(self.x.to(net.dtype), {CONTROL: self.hint}, views=self.size.views)

    def evaluation(
        self,
        net: ControlledNet,
        *,
        guidance: float = GUIDANCE,
        cache_threshold: float = 0.0,
        parallel: ParallelContext | None = None,
    ) -> Callable[[], Tensor]:
        """A call that evaluates the velocity as sampling does, at one level."""
        velocity = guided_velocity(
            net,
            self.prepared(net),
            text=self.texts[0],
            negative_text=self.texts[1],
            sampler=FlowParams(num_steps=STEPS, guidance=guidance, cache_threshold=cache_threshold),
            weights={CONTROL: 1.0},
            parallel=parallel,
        )
        return lambda: velocity(self.x, SIGMA)


class Plain:
    """The network's own embedders and head around diffusers' blocks; each pass by itself, everything anew."""

    def __init__(self, net: ControlledNet, views: int):
        self.net = net
        self.blocks = {name: diffusers_blocks(stack, net.config, views) for name, stack in self.stacks().items()}

    def stacks(self) -> dict[str, BlockStack]:
        return {"base": self.net, **{name: self.net.control(name) for name in self.net.controls}}

    @torch.inference_mode()
    def __call__(self, chunk: Chunk, text: Tensor) -> Tensor:
        """The velocity [1,16,V*T,H,W] with one text [1, V*S, text_width]."""
        clip = chunk.prepared(self.net)
        timestep = torch.tensor([int(1000 * SIGMA)], device=chunk.device)
        with sdpa_kernel(KERNELS["auto"], set_priority=True):  # left alone, torch may take flash where there is cuDNN's
            return self.velocity(chunk.x.to(self.net.dtype), timestep, text, clip).float()

    def velocity(self, x: Tensor, timestep: Tensor, text: Tensor, clip: ClipInputs) -> Tensor:
        net, branch = self.net, self.net.control(CONTROL)
        (temb, emb), tokens = net.time(timestep), net.tokens(x, clip.channels)
        temb, emb = temb.to(tokens), emb.to(tokens)
        rows = F.gelu(net.text_embed(text))

        def block(layer: nn.Module, hidden: Tensor) -> Tensor:
            return layer(hidden, rows, emb, temb, image_rotary_emb=clip.positions.rope)

        hidden = branch.first_tokens(tokens, clip.hint_tokens[CONTROL])
        residuals = []
        for layer, after in zip(self.blocks[CONTROL], branch.after_proj, strict=True):
            hidden = block(layer, hidden)
            residuals.append(after(hidden))
        added, hidden = dict(zip(net.config.injected, residuals)), tokens
        for i, layer in enumerate(self.blocks["base"]):
            hidden = block(layer, hidden)
            if i in added:
                hidden = hidden + added[i]
        return net.head(hidden, net.step_inputs(net.time(timestep), net), net.grid(x))


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


def diffusers_blocks(stack: BlockStack, config: NetConfig, views: int) -> list[CosmosTransformerBlock]:
    """Of the same weights, in the network's dtype. Large ones are shared."""
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


class Results:
    """Rows of one part, in a file that is complete after each of them. folder: None writes nothing."""

    def __init__(self, folder: Path | None, part: str, device: str, **about: Any):
        self.path = folder and folder / f"{part}.json"
        self.rows: list[dict[str, Any]] = []
        name = "CPU" if device == "cpu" else torch.cuda.get_device_name()
        self.about = {"part": part, "device": name, "torch": torch.__version__, **about}
        self._write()

    def add(self, what: str, **values: Any) -> None:
        self.rows.append({"what": what, **values})
        told = [f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in values.items()]
        print(f"  {what:<44} {'  '.join(told)}", flush=True)
        self._write()

    def _write(self) -> None:
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            written = self.path.with_suffix(".part")
            written.write_text(json.dumps({**self.about, "rows": self.rows}, indent=1) + "\n")
            written.replace(self.path)
