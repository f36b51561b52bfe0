"""What a Cosmos-Transfer2.5 model takes of memory, from the sizes of its networks: nothing is loaded, and torch is not
imported.

Weights are counted exactly. Activations are the most that are alive at the same time, counted on small networks of the
same classes, times their size; workspaces of kernels and the reserve of the allocator come on top.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from cosmos_exp.common.gpu_memory import GIB
from cosmos_exp.models.clip_shapes import Shape
from cosmos_exp.models.config import HardwareConfig
from cosmos_exp.models.dit.memory import Memory
from cosmos_exp.models.transfer25.config import NetConfig
from cosmos_exp.models.transfer25.sizes import SPATIAL, latent_frame_count

BYTES = {"float32": 4, "bfloat16": 2}
HIDDEN_STATES = 13.5
"""Alive in an evaluation with one control: in the last block, the residuals of the control, both passes' beginnings."""
SECOND_CONTROL, FURTHER_CONTROL = 5.5, 1.5
"""Hidden states more: residuals beside the sum so far; a beginning of each."""
TOKENIZER_VALUES = 52
"""Alive while a view is decoded, in units of pixels times the width of the last layers; encoding takes fewer."""
TOKENIZER_WIDTH, TOKENIZER_PARAMETERS = 96, 126_892_531
"""Of the released tokenizer; the number of parameters goes with the square of the width."""


class Weights(NamedTuple):
    """Parameters by the precision that they are kept in. large: of the linear layers that may be offloaded or have 8
    bits; block: of these, in the largest block. small: in the network's dtype. exact: always in float32."""

    large: int
    block: int
    small: int
    exact: int

    @property
    def total(self) -> int:
        return self.large + self.small + self.exact


def network_weights(config: NetConfig) -> Weights:
    """Of a network with its controls."""
    width, rank, text = config.model_channels, config.adaln_lora_dim, config.text_channels
    mlp, head, patch = round(width * config.mlp_ratio), config.head_dim, 4
    large = 4 * width**2 + 2 * width**2 + 2 * width * mlp  # self-attention; queries and output of the text's; MLP
    image = 3 * width**2 + 2 * head if config.image_width else 0
    small = 2 * text * width + 4 * head + image
    modulation = 3 * (width * rank + rank * 3 * width)
    branches, injected = len(config.controls), len(config.injected)
    blocks = config.num_blocks + branches * injected
    hint = config.hint_layers * (width**2 + width)
    embedder = (config.hint_channels + config.condition_channels) * patch * width
    branch = embedder + hint + (1 + injected) * (width**2 + width)
    base = (config.latent_channels + config.condition_channels) * patch * width
    base += config.view_table_size * config.view_channels if config.view_channels else 0
    base += config.text_width * text + text
    base += config.image_width * width + width if config.image_width else 0
    exact = blocks * modulation + width**2 + 3 * width**2 + width  # and the time embedding
    exact += width * rank + rank * 2 * width + width * patch * config.latent_channels  # and the head
    return Weights(blocks * large, large, base + branches * branch + blocks * small, exact)


def language_model_parameters(settings: Mapping[str, Any]) -> int:
    """Of Qwen2.5-VL's language model without its output layer."""
    width, inner, layers = settings["hidden_size"], settings["intermediate_size"], settings["num_hidden_layers"]
    heads, groups = settings["num_attention_heads"], settings["num_key_value_heads"]
    keys = width // heads * groups
    layer = 2 * width**2 + 2 * width * keys + width + 2 * keys + 3 * width * inner + 2 * width
    return settings["vocab_size"] * width + layers * layer + width


@dataclass(frozen=True)
class MemoryEstimate:
    """GiB on the device while each part works, and of pinned CPU memory for offloaded weights. weights: of the network,
    on the device."""

    text_encoder: float
    tokenizer: float
    network: float
    weights: float
    offloaded: float

    @property
    def peak(self) -> float:
        return max(self.text_encoder, self.tokenizer, self.network)

    def told(self) -> str:
        stages = (("text encoder", self.text_encoder), ("tokenizer", self.tokenizer), ("network", self.network))
        each = ", ".join(f"{value:.1f} while the {name} works" for name, value in stages)
        beside = f", and {self.offloaded:.1f} of CPU memory" if self.offloaded else ""
        return (
            f"about {self.peak:.1f} GiB of memory at most: {each} ({self.weights:.1f} of weights){beside}; from the "
            "numbers of parameters and of activations, without the workspaces of kernels"
        )


def memory_estimate(
    description: Mapping[str, Any],
    hardware: HardwareConfig,
    memory: Memory,
    *,
    views: int,
    chunk: Shape,
    passes: int,
    controls: int,
    eight_bits: bool = False,
    cached: bool = False,
) -> MemoryEstimate:
    """description: of `model.json`. chunk: of one view. passes: of the network at a noise level, 1 or 2. controls: with
    a weight. eight_bits: the large weights. cached: whether a step may reuse those before."""
    net, item = NetConfig.from_dict(description["network"]), BYTES[hardware.dtype]
    count = network_weights(net)
    large = 1 if eight_bits else item
    offloads = memory.offload == "blocks"
    on_device = 2 * count.block if offloads else count.large
    weights = (on_device * large + count.small * item + count.exact * 4) / GIB
    width = description["tokenizer"].get("base_dim", TOKENIZER_WIDTH)
    tokenizer = TOKENIZER_PARAMETERS * (width / TOKENIZER_WIDTH) ** 2 * item / GIB
    encoder = language_model_parameters(description["text_encoder"]) * BYTES[memory.text_encoder_dtype] / GIB
    beside = encoder if memory.text_encoder == "stay" else 0.0
    decoding = TOKENIZER_VALUES * chunk.height * chunk.width * width * item / GIB
    activations = _activations(net, views, chunk, passes, controls, hardware.processes or 1, cached=cached) * item / GIB
    alone = memory.resident == "one" and memory.text_encoder != "cpu"
    return MemoryEstimate(
        text_encoder=0.0 if memory.text_encoder == "cpu" else encoder + tokenizer + (0.0 if alone else weights),
        tokenizer=tokenizer + decoding + weights + beside,
        network=weights + activations + tokenizer + beside,
        weights=weights,
        offloaded=count.large * large / GIB if offloads else 0.0,
    )


def _activations(
    net: NetConfig, views: int, chunk: Shape, passes: int, controls: int, processes: int, *, cached: bool
) -> float:
    """Numbers alive in an evaluation."""
    side = SPATIAL * net.patch_size[1]
    tokens = views * latent_frame_count(chunk.frames) * (chunk.height // side) * (chunk.width // side)
    ranks = processes // passes if processes % passes == 0 else processes
    hidden = tokens * net.model_channels / max(1, ranks)
    states = HIDDEN_STATES + sum(_of_controls(controls)) + (2 * passes if cached else 0)
    rope = tokens * net.head_dim * 4 / max(1, ranks)  # both tables, in float32
    blocks = net.num_blocks + controls * len(net.injected)
    texts = passes * views * net.text_tokens * 2 * net.model_channels * blocks
    return states * hidden + rope + texts


def _of_controls(controls: int) -> Iterator[float]:
    yield controls  # tokens of each hint
    if controls > 1:
        yield SECOND_CONTROL + FURTHER_CONTROL * (controls - 2)
