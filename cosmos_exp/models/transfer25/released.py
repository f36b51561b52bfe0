"""The released Cosmos-Transfer2.5 models: sizes, contracts, and which published file holds which part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from cosmos_exp.common.views import VIEWS
from cosmos_exp.models.checkpoints.released import FPS, NEGATIVE_PROMPT, SIZES
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.hub.models import GENERAL_FILES, TRANSFER25
from cosmos_exp.models.transfer25.config import AUTO_MULTIVIEW_2B, GENERAL_2B, GENERAL_2B_IMAGE, NetConfig
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


SHARED_FILES = {
    "tokenizer": ("nvidia/Cosmos-Predict2.5-2B", ("tokenizer.pth",)),
    "text_encoder": ("nvidia/Cosmos-Reason1-7B", ("model*.safetensors", "tokenizer.json")),
}
GENERAL_CHUNK = FrameRule(base=1, step=4, least=93, most=93)


def _general(controls: tuple[str, ...], network: NetConfig) -> Released:
    contract = Contract(
        height=SIZES[0][0],
        width=SIZES[0][1],
        fps=FPS,
        frames=GENERAL_CHUNK,
        views=VIEWS[:1],
        controls=controls,
        multi_view_controls=(),
        text_tokens=512,
        negative_prompt=NEGATIVE_PROMPT,
        guidance=GUIDANCE,
        sizes=SIZES,
        overlaps=(1, 2),
    )
    files = tuple(GENERAL_FILES[name] for name in controls)
    return Released(contract, replace(network, controls=controls), {"network": (TRANSFER25, files), **SHARED_FILES})


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
            "network": (TRANSFER25, ("auto/multiview/4ecc66e9-df19-4aed-9802-0d11e057287a_ema_bf16.pt",)),
            **SHARED_FILES,
        },
    ),
    **{f"transfer25_{name}": _general((name,), GENERAL_2B_IMAGE) for name in GENERAL_FILES},
    "transfer25_general": _general(tuple(GENERAL_FILES), GENERAL_2B),
}
"""The negative prompt of the multi-view contract is filled in by the conversion."""


def released_config(name: str, negative_prompt: str) -> dict[str, Any]:
    """What `model.json` of a released model says. negative_prompt: where the contract has none."""
    released = MODELS[name]
    contract = released.contract.to_dict()
    contract["negative_prompt"] = contract["negative_prompt"] or negative_prompt
    return {
        "name": name,
        "family": FAMILY_NAME,
        "contract": contract,
        "tokenizer": {},
        "text_encoder": QWEN_SIZE,
        "network": released.network.to_dict(),
    }
