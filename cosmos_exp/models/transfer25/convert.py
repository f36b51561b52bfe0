"""Published Cosmos-Transfer2.5 checkpoints as the parts of a model folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from cosmos_exp.models.checkpoints.checkpoint import State, check_fit, read_state
from cosmos_exp.models.dit.parts import on_meta
from cosmos_exp.models.transfer25.checkpoint import branches_state, language_model_state, network_state
from cosmos_exp.models.transfer25.config import NetConfig
from cosmos_exp.models.transfer25.network import ControlledNet
from cosmos_exp.models.transfer25.released import released_config
from cosmos_exp.models.transfer25.text import TextEncoder
from cosmos_exp.models.transfer25.tokenizer import VideoTokenizer


def published_config(name: str) -> dict[str, Any]:
    """What `model.json` of a released model says. Its negative prompt is the one that diffusers has for the model."""
    from diffusers.pipelines.cosmos.pipeline_cosmos2_5_transfer import DEFAULT_NEGATIVE_PROMPT

    return released_config(name, DEFAULT_NEGATIVE_PROMPT)


def read_part(part: str, paths: list[Path], config: Mapping[str, Any]) -> tuple[State, bool]:
    """Tensors of a part, checked against its module; whether they keep their dtype. See `convert_checkpoint`."""
    module: nn.Module
    if part == "network":
        net = on_meta(lambda: ControlledNet(NetConfig.from_dict(config["network"])), paths[0])
        assert isinstance(net, ControlledNet)
        module, state = net, network_state(net, paths[0]) if len(paths) == 1 else branches_state(net, paths)
    elif part == "tokenizer":
        module = on_meta(lambda: VideoTokenizer(config["tokenizer"]), paths[0])
        state = wan_tokenizer_state(paths[0])
    else:
        tokens = config["contract"]["text_tokens"]
        module = on_meta(lambda: TextEncoder(config["text_encoder"], tokens), paths[0])
        shards = (path for path in paths if path.suffix == ".safetensors")
        published = {key: value for path in shards for key, value in read_state(path).items()}
        state = {f"lm.{key}": value for key, value in language_model_state(published).items()}
    check_fit(module, state, paths[0])
    return state, part != "network"


def wan_tokenizer_state(path: Path) -> State:
    """Tensors of a VideoTokenizer from the published Wan 2.1 VAE."""
    from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers

    return {f"vae.{key}": value for key, value in convert_wan_vae_to_diffusers(read_state(path)).items()}
