"""A small Cosmos-Transfer2.5 in the layout of the published files. Names are mapped back here independently of the code
under test."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers
from safetensors.torch import save_file
from torch import Tensor

from cosmos_exp.models.hub.models import GENERAL_FILES
from cosmos_exp.models.transfer25.config import NetConfig
from cosmos_exp.models.transfer25.convert import published_config
from cosmos_exp.models.transfer25.network import ControlledNet
from cosmos_exp.models.transfer25.text import TextEncoder
from cosmos_exp.models.transfer25.tokenizer import VideoTokenizer

NAME = "transfer25_auto_multiview"
WORDS = ["snow", "rain", "night", "street", "the", "system", "user"]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<unk>"]

NETWORK = (
    ("controls.wsm.patch_embed.proj", "control_embedder.proj.1"),
    ("controls.wsm.hint_block", "input_hint_block"),
    ("controls.wsm.before_proj", "control_blocks.0.before_proj"),
    ("controls.wsm.transformer_blocks", "control_blocks"),
    ("transformer_blocks", "blocks"),
    ("patch_embed.proj", "x_embedder.proj.1"),
    ("view_embed", "view_embeddings"),
    ("time_embed.t_embedder", "t_embedder.1"),
    ("time_embed.norm", "t_embedding_norm"),
    ("text_embed", "crossattn_proj.0"),
    ("norm_out.linear_", "final_layer.adaln_modulation."),
    ("proj_out", "final_layer.linear"),
    ("image_embed.", "img_context_proj.0."),
    ("image_attn.to_", "cross_attn.img_"),
    ("image_attn.norm_", "cross_attn.img_norm_"),
    ("attn1.to_out.0", "self_attn.output_proj"),
    ("attn2.to_out.0", "cross_attn.output_proj"),
    ("attn1", "self_attn"),
    ("attn2", "cross_attn"),
    ("ff.net.0.proj", "mlp.layer1"),
    ("ff.net.2", "mlp.layer2"),
    ("norm1.linear_", "adaln_modulation_self_attn."),
    ("norm2.linear_", "adaln_modulation_cross_attn."),
    ("norm3.linear_", "adaln_modulation_mlp."),
)


def small_config(name: str = NAME) -> dict[str, Any]:
    """The released model's description with narrow layers: 13 frames of 32x48 pixels."""
    config = json.loads(json.dumps(published_config(name)))
    config["contract"] |= {"height": 32, "width": 48, "text_tokens": 24, "sizes": []}
    config["contract"]["frames"] |= {"least": 13, "most": 13}
    config["tokenizer"] = {"base_dim": 4}
    config["text_encoder"] |= {
        "vocab_size": len(SPECIAL) + len(WORDS),
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 64,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 1, 1]},
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    config["network"] |= {
        "model_channels": 40,
        "num_blocks": 4,
        "num_heads": 2,
        "adaln_lora_dim": 4,
        "text_width": 32,
        "text_channels": 16,
        "text_tokens": 24,
        "control_every": 2,
    }
    if config["network"]["image_width"]:
        config["network"]["image_width"] = 12
    return config


def released_name(key: str, control: str = "wsm") -> str:
    key = key.replace(f"controls.{control}.", "controls.wsm.")
    for ours, theirs in NETWORK:
        key = key.replace(ours, theirs)
    key = re.sub(r"controls\.wsm\.after_proj\.(\d+)", r"control_blocks.\1.after_proj", key)
    key = re.sub(r"img_(norm_)?([qkv])\.", lambda m: f"{m[2]}_img{'_norm' if m[1] else ''}.", key)
    return re.sub(r"(to|norm)_([qkv])\.", lambda m: f"{m[2]}_{'proj' if m[1] == 'to' else 'norm'}.", key)


def wan_name_of() -> dict[str, str]:
    """{diffusers' name: published name} of the Wan VAE, found by asking diffusers for each name that may be."""
    tails = [f"residual.{i}.{kind}" for i in (0, 2, 3, 6) for kind in ("gamma", "weight", "bias")]
    tails += [f"{part}.{kind}" for part in ("shortcut", "resample.1", "time_conv") for kind in ("weight", "bias")]
    names = [
        f"{side}.{i}.{tail}"
        for side in ("encoder.downsamples", "decoder.upsamples")
        for i in range(16)
        for tail in tails
    ]
    for half in ("encoder", "decoder"):
        names += [f"{half}.middle.{i}.{tail}" for i in (0, 2) for tail in tails]
        names += [
            f"{half}.middle.1.{part}"
            for part in ("norm.gamma", "to_qkv.weight", "to_qkv.bias", "proj.weight", "proj.bias")
        ]
        names += [
            f"{half}.{part}" for part in ("conv1.weight", "conv1.bias", "head.0.gamma", "head.2.weight", "head.2.bias")
        ]
    names += [f"conv{i}.{kind}" for i in (1, 2) for kind in ("weight", "bias")]
    return {ours: name for name in names for ours in convert_wan_vae_to_diffusers({name: 0})}


def write_published(folder: Path, config: dict[str, Any]) -> tuple[ControlledNet, VideoTokenizer, TextEncoder]:
    """Random weights as <owner>/<repository>/<file>; returns what they are of."""
    torch.manual_seed(0)
    net = random_net(config)
    path = folder / "nvidia/Cosmos-Transfer2.5-2B/auto/multiview/4ecc66e9-df19-4aed-9802-0d11e057287a_ema_bf16.pt"
    write_network(path, net)
    return (net, *write_shared(folder, config))


def write_general(folder: Path, config: dict[str, Any]) -> dict[str, ControlledNet]:
    """A file of each single-view network, all with the same base, and what they share; {control: network}.
    config: of one of them."""
    torch.manual_seed(0)
    nets: dict[str, ControlledNet] = {}
    for control, file in GENERAL_FILES.items():
        own = {**config, "network": {**config["network"], "controls": [control]}}
        nets[control] = random_net(own)
        base = {key: t for key, t in next(iter(nets.values())).state_dict().items() if "controls." not in key}
        nets[control].load_state_dict(base, strict=False)
        write_network(folder / "nvidia/Cosmos-Transfer2.5-2B" / file, nets[control], control)
    write_shared(folder, config)
    return nets


def random_net(config: dict[str, Any]) -> ControlledNet:
    net = ControlledNet(NetConfig.from_dict(config["network"])).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return net


def write_network(path: Path, net: ControlledNet, control: str = "wsm") -> None:
    path.parent.mkdir(parents=True)
    state = {f"net.{released_name(key, control)}": t.bfloat16() for key, t in net.state_dict().items()}
    state |= {"net.accum_iteration": torch.zeros(()), "net.pos_embedder_options.n_cameras_7.seq": torch.arange(8.0)}
    torch.save({"model": state}, path)


def write_shared(folder: Path, config: dict[str, Any]) -> tuple[VideoTokenizer, TextEncoder]:
    """Tokenizer, text encoder and its vocabulary."""
    tokenizer, names = VideoTokenizer(config["tokenizer"]).eval(), wan_name_of()
    path = folder / "nvidia/Cosmos-Predict2.5-2B/tokenizer.pth"
    path.parent.mkdir(parents=True)
    torch.save({names[key]: value for key, value in tokenizer.vae.state_dict().items()}, path)

    encoder = TextEncoder(config["text_encoder"], config["contract"]["text_tokens"]).eval()
    place = folder / "nvidia/Cosmos-Reason1-7B"
    place.mkdir(parents=True)
    state: dict[str, Tensor] = {f"model.{key}": value for key, value in encoder.lm.state_dict().items()}
    first = {key: value for key, value in state.items() if "layers.0" in key}
    rest = {key: value for key, value in state.items() if key not in first}
    save_file(first | {"visual.blocks.0.norm1.weight": torch.ones(4)}, place / "model-00001-of-00002.safetensors")
    save_file(rest | {"lm_head.weight": torch.ones(4, 4)}, place / "model-00002-of-00002.safetensors")
    write_vocabulary(place / "tokenizer.json")
    return tokenizer, encoder


def write_vocabulary(path: Path) -> None:
    """Whole words, and the tokens of the chat."""
    added = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    description = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": c, **added} for i, c in enumerate(SPECIAL)],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: index for index, word in enumerate([*SPECIAL, *WORDS])},
            "unk_token": "<unk>",
        },
    }
    path.write_text(json.dumps(description))
