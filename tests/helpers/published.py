"""Small checkpoints in the layout of the published ones. Names are mapped back here independently of the code under
test."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from torch import Tensor, nn

from cosmos_exp.models.transfer1.config import DiTConfig
from cosmos_exp.models.transfer1.control import ControlEncoder
from cosmos_exp.models.transfer1.text import TextEncoder
from cosmos_exp.models.transfer1.tokenizer import VideoTokenizer
from cosmos_exp.models.transfer1.transformer import DiT

SMALL = DiTConfig(model_channels=24, num_blocks=2, num_heads=2, text_channels=8, adaln_lora_dim=4, max_size=(4, 8, 8))

RELEASED = {
    "patch_embed.proj.weight": "x_embedder.proj.1.weight",
    "hint_embed.proj.weight": "x_embedder2.proj.1.weight",
    "time_embed.norm.weight": "affline_norm.weight",
    "proj_out.weight": "final_layer.linear.weight",
    "view_embed.table.weight": "view_embeddings.weight",
}

TOKENIZER_PARTS = (
    ("down_blocks", "down"),
    ("resnets", "block"),
    ("downsamplers.0", "downsample"),
    ("upsamplers.0", "upsample"),
    ("mid_block.block.0", "mid.block_1"),
    ("mid_block.block.1", "mid.block_2"),
    ("mid_block.attentions.0", "mid.attn_1.0"),
    ("mid_block.temp_attentions.0", "mid.attn_1.1"),
    ("to_q", "q.conv3d"),
    ("to_k", "k.conv3d"),
    ("to_v", "v.conv3d"),
    ("to_out.0", "proj_out.conv3d"),
    ("conv_shortcut", "nin_shortcut.conv3d"),
    ("conv_s", "0.conv3d"),
    ("conv_t", "1.conv3d"),
    ("quant_conv", "quant_conv.conv3d"),
)


def released_name(key: str) -> str:
    if key in RELEASED:
        return RELEASED[key]
    head, _, rest = key.partition(".")
    if head == "transformer_blocks":
        index, part, *tail = rest.split(".")
        sub = {"1": 0, "2": 1, "3": 2, "f": 2}[part[-1]]
        block = f"blocks.block{index}.blocks.{sub}"
        if part.startswith("norm"):
            return f"{block}.adaLN_modulation.{tail[0][-1]}.weight"
        if part == "ff":
            return f"{block}.block.layer{1 if tail[1] == '0' else 2}.weight"
        name = {"norm_q": "to_q.1", "norm_k": "to_k.1", "to_out": "to_out.0"}.get(tail[0], f"{tail[0]}.0")
        return f"{block}.block.attn.{name}.weight"
    if head == "time_embed":
        return rest.replace("t_embedder", "t_embedder.1")
    if head == "learnable_pos_embed":
        return f"extra_pos_embedder.{rest}"
    if head == "view_embed":
        return rest.replace("frame_repeat", "repeat_frame_embedding")
    if head == "norm_out":
        return f"final_layer.adaLN_modulation.{rest[7]}.weight"
    if head == "zero_blocks":
        return f"zero_blocks.block{rest}"
    return key.replace("hint_block", "input_hint_block")


def released(net: nn.Module) -> dict[str, Tensor]:
    return {released_name(key): value for key, value in net.state_dict().items()}


def published_network(net: DiT | ControlEncoder, prefix: str = "net.", **extra: Tensor) -> dict[str, Tensor]:
    """State dict of a published file, with the buffers and heads that inference does without."""
    state = {prefix + key: value for key, value in released(net).items()} | extra
    state[f"{prefix}pos_embedder.seq"] = torch.arange(8.0)
    state[f"{prefix}logvar.0.freqs"] = torch.zeros(3)
    if isinstance(net, ControlEncoder):
        state[f"{prefix}final_layer.linear.weight"] = torch.zeros(64, 24)
    return state


def tokenizer_name(key: str, levels: int) -> str:
    for ours, theirs in TOKENIZER_PARTS:
        key = key.replace(ours, theirs)
    key = re.sub(r"(conv[123])\.(weight|bias)", r"\1.conv3d.\2", key)
    return re.sub(r"up_blocks\.(\d+)", lambda match: f"up.{levels - 1 - int(match[1])}", key)


def write_torchscript(path: Path, tensors: dict[str, Tensor]) -> None:
    """A TorchScript file whose modules hold these tensors."""
    root = nn.Module()
    for key, value in tensors.items():
        *parents, name = key.split(".")
        module = root
        for parent in parents:
            if parent not in module._modules:
                module.add_module(parent, nn.Module())
            module = module._modules[parent]
        module.register_buffer(name, value) if "wavelets" in name else module.register_parameter(
            name, nn.Parameter(value)
        )
    torch.jit.script(root).save(str(path))


def write_tokenizer(folder: Path, tokenizer: VideoTokenizer) -> None:
    """encoder.jit, decoder.jit and mean_std.pt."""
    folder.mkdir(parents=True, exist_ok=True)
    state = tokenizer.vae.state_dict()
    levels = len(tokenizer.vae.decoder.up_blocks)
    names = {key: tokenizer_name(key, levels) for key in state}
    for file, heads in (("encoder", ("encoder.", "quant_conv.")), ("decoder", ("decoder.", "post_quant_conv."))):
        tensors = {names[key]: value.bfloat16() for key, value in state.items() if key.startswith(heads)}
        tensors[f"{file}.patcher3d.wavelets"] = torch.ones(2)
        write_torchscript(folder / f"{file}.jit", tensors)
    torch.save((tokenizer.mean.flatten(), tokenizer.std.flatten()), folder / "mean_std.pt")


def write_text_encoder(folder: Path, encoder: TextEncoder, words: list[str]) -> None:
    """pytorch_model.bin in PyTorch's older container, as T5 is published, and tokenizer.json."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {key.removeprefix("t5."): value for key, value in encoder.state_dict().items()}
    state |= {"decoder.block.0.layer.0.layer_norm.weight": torch.ones(4), "lm_head.weight": torch.ones(4, 4)}
    torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    vocabulary = {word: index for index, word in enumerate(["<pad>", "</s>", "<unk>", *words])}
    ending = {
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}},
    }
    added = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    description = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": c, **added} for i, c in enumerate(["<pad>", "</s>", "<unk>"])],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": ending,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(description))
