"""The nano model's sizes: the classes of the 7B models at a size for two CPU cores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.views import VIEWS
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.transfer1.config import DiTConfig
from cosmos_exp.sampling.frame_rule import FrameRule

HEIGHT, WIDTH, FPS, FRAMES = 224, 384, 24.0, 25
TEXT_TOKENS = 256
TEXT_CHANNELS = 128
CONTROLS = ("hdmap", "edge", "depth", "seg", "vis")
# Stands in for the caption in the unconditional branch, in training and by default in sampling.
NEGATIVE_PROMPT = "An old computer game: flat, blurry, cartoonish, badly lit."
HEAD_CHANNELS = 64
SIGMA_MIN = 0.4
"""Noise level at the end: small networks leave noise where they go on to a lower one."""
DEFAULT_STEPS = 4
"""More have the same quality."""
MULTI_VIEW_GUIDANCE = 0.0
"""Guidance of the other views adds nothing, and doubles their passes."""


@dataclass
class TransformerSize:
    """channels: a multiple of 64, those of a head. patch: side in latent pixels of what becomes a token."""

    channels: int = 192
    blocks: int = 8
    patch: int = 2


@dataclass
class NanoNetworks:
    """Sizes of the networks; the defaults are those of the model that ships.

    encoder_channels, decoder_channels: of the tokenizer, by level, the decoder's from its latents on; layers: residual
    blocks of a level.
    """

    encoder_channels: list[int] = field(default_factory=lambda: [48, 96, 112])
    decoder_channels: list[int] = field(default_factory=lambda: [96, 112, 128, 128])
    layers: int = 1
    single_view: TransformerSize = field(default_factory=TransformerSize)
    multi_view: TransformerSize = field(default_factory=lambda: TransformerSize(blocks=6))


def _transformer(size: TransformerSize, **values: Any) -> DiTConfig:
    if size.channels < HEAD_CHANNELS or size.channels % HEAD_CHANNELS:
        raise UserError(f"channels={size.channels}: a transformer of nano has a multiple of {HEAD_CHANNELS}")
    if size.blocks < 1 or size.patch < 1:
        raise UserError(f"blocks={size.blocks}, patch={size.patch}: must be 1 or more")
    return DiTConfig(
        model_channels=size.channels,
        num_blocks=size.blocks,
        num_heads=size.channels // HEAD_CHANNELS,
        text_channels=TEXT_CHANNELS,
        adaln_lora_dim=32,
        patch_size=(1, size.patch, size.patch),
        max_size=(16, 32, 64),
        **values,
    )


def nano_config(
    networks: NanoNetworks | None = None, *, height: int = HEIGHT, width: int = WIDTH, frames: int = FRAMES
) -> dict[str, Any]:
    """Plain values for `WorldModel.build`, by default what `model.json` of the shipped nano model holds.

    height, width: pixels of a view. frames: of the longest video. Raises UserError on sizes that go with no network.
    """
    networks = networks or NanoNetworks()
    contract = Contract(
        height=height,
        width=width,
        fps=FPS,
        frames=FrameRule(least=9, most=frames),
        views=VIEWS,
        controls=CONTROLS,
        multi_view_controls=("hdmap",),
        text_tokens=TEXT_TOKENS,
        negative_prompt=NEGATIVE_PROMPT,
        default_steps=DEFAULT_STEPS,
        sigma_min=SIGMA_MIN,
        multi_view_guidance=MULTI_VIEW_GUIDANCE,
    )
    single = _transformer(networks.single_view)
    multi = _transformer(
        networks.multi_view, condition_mask=True, extra_pos="sincos", num_views=len(VIEWS), view_channels=6
    )
    return {
        "name": "nano",
        "contract": contract.to_dict(),
        "tokenizer": {
            "stat_frames": 1,
            "vae": {
                "encoder_block_out_channels": tuple(networks.encoder_channels),
                "decode_block_out_channels": tuple(networks.decoder_channels),
                "attention_resolutions": (),
                "num_layers": networks.layers,
                "patch_size": 4,
            },
        },
        "text_encoder": {
            "d_model": TEXT_CHANNELS,
            "d_kv": 32,
            "d_ff": 256,
            "num_layers": 4,
            "num_heads": 4,
            "dropout_rate": 0.0,
            "feed_forward_proj": "gated-gelu",
        },
        "single_view": {
            "base": single.to_dict(),
            "controls": {name: single.control(hint_channels=16, num_blocks=1).to_dict() for name in CONTROLS},
        },
        "multi_view": {
            "base": multi.to_dict(),
            "controls": {"hdmap": multi.control(hint_channels=16, num_blocks=1).to_dict()},
        },
    }
