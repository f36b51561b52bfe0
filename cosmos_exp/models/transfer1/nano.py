"""The nano model's sizes: the classes of the 7B models at a size for two CPU cores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cosmos_exp.common.views import VIEWS
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.transfer1.config import DiTConfig
from cosmos_exp.sampling.frame_rule import FrameRule

HEIGHT, WIDTH, FPS, FRAMES = 144, 256, 24.0, 25
TEXT_TOKENS = 256
TEXT_CHANNELS = 128
CONTROLS = ("hdmap", "edge", "depth", "seg", "vis")
# Stands in for the caption in the unconditional branch, in training and by default in sampling.
NEGATIVE_PROMPT = "An old computer game: flat, blurry, cartoonish, badly lit."


def nano_config() -> dict[str, Any]:
    """Plain values for `WorldModel.build`; what `model.json` of the shipped nano model holds."""
    contract = Contract(
        height=HEIGHT,
        width=WIDTH,
        fps=FPS,
        frames=FrameRule(least=9, most=FRAMES),
        views=VIEWS,
        controls=CONTROLS,
        multi_view_controls=("hdmap",),
        text_tokens=TEXT_TOKENS,
        negative_prompt=NEGATIVE_PROMPT,
    )
    single = DiTConfig(
        model_channels=192,
        num_blocks=8,
        num_heads=3,
        text_channels=TEXT_CHANNELS,
        adaln_lora_dim=32,
        max_size=(16, 32, 64),
    )
    multi = replace(
        single, num_blocks=6, condition_mask=True, extra_pos="sincos", num_views=len(VIEWS), view_channels=6
    )
    return {
        "name": "nano",
        "contract": contract.to_dict(),
        "tokenizer": {
            "stat_frames": 1,
            "vae": {
                "encoder_block_out_channels": (48, 96, 112),
                "decode_block_out_channels": (96, 112, 128, 128),
                "attention_resolutions": (),
                "num_layers": 1,
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
