"""The released Cosmos-Transfer2.5 models: sizes, contracts, and which published file holds which part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cosmos_exp.models.contract import Contract
from cosmos_exp.models.transfer25.config import AUTO_MULTIVIEW_2B, NetConfig
from cosmos_exp.models.transfer25.description import FAMILY_NAME
from cosmos_exp.models.transfer25.views import ORDER
from cosmos_exp.sampling.frame_rule import FrameRule

GUIDANCE = (
    "velocity = cond + guidance * (cond - uncond); 0 is conditional only; the common convention's scale is guidance + 1"
)
QWEN_SIZE = {
    "vocabulary": "tokenizer.json",
    "vocab_size": 152_064,
    "hidden_size": 3584,
    "intermediate_size": 18_944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 128_000,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0, "mrope_section": [16, 24, 24]},
}


@dataclass(frozen=True)
class Released:
    """files: {part: (repository, file names or patterns)}; the last of the text encoder's is its vocabulary."""

    contract: Contract
    network: NetConfig
    files: dict[str, tuple[str, tuple[str, ...]]]


MODELS: dict[str, Released] = {
    "transfer25_auto_multiview": Released(
        Contract(
            height=720,
            width=1280,
            fps=10.0,
            frames=FrameRule(base=1, step=4, least=29, most=29),
            views=ORDER,
            controls=("wsm",),
            multi_view_controls=("wsm",),
            text_tokens=512,
            guidance=GUIDANCE,
            overlaps=(1, 5),
            multi_view_overlaps=(1, 5),
            subsets=True,
        ),
        AUTO_MULTIVIEW_2B,
        {
            "network": (
                "nvidia/Cosmos-Transfer2.5-2B",
                ("auto/multiview/4ecc66e9-df19-4aed-9802-0d11e057287a_ema_bf16.pt",),
            ),
            "tokenizer": ("nvidia/Cosmos-Predict2.5-2B", ("tokenizer.pth",)),
            "text_encoder": ("nvidia/Cosmos-Reason1-7B", ("model*.safetensors", "tokenizer.json")),
        },
    )
}
"""The negative prompt of the contract is filled in by the conversion."""


def released_config(name: str, negative_prompt: str) -> dict[str, Any]:
    """What `model.json` of a released model says."""
    released = MODELS[name]
    return {
        "name": name,
        "family": FAMILY_NAME,
        "contract": released.contract.to_dict() | {"negative_prompt": negative_prompt},
        "tokenizer": {},
        "text_encoder": QWEN_SIZE,
        "network": released.network.to_dict(),
    }
