"""Published Cosmos-Transfer2.5 weights under this package's names, and strict loading of either."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.checkpoints.checkpoint import State, is_released, load_strict, read_state
from cosmos_exp.models.transfer25.network import ControlledNet

log = logging.getLogger(__name__)

PREFIX = "net."
IMAGE_LAYERS = re.compile(r"(^|\.)image_(embed|attn)\.")
IGNORED = re.compile(r"^accum_|^pos_embedder|_extra_state$")

# Published name -> ours, without the branch that a name of a control belongs to.
RENAMES = (
    (r"^x_embedder\.proj\.1\.", "patch_embed.proj."),
    (r"^t_embedder\.1\.", "time_embed.t_embedder."),
    (r"^t_embedding_norm\.", "time_embed.norm."),
    (r"^crossattn_proj\.0\.", "text_embed."),
    (r"^img_context_proj\.0\.", "image_embed."),
    (r"^view_embeddings\.", "view_embed."),
    (r"^final_layer\.linear\.", "proj_out."),
    (r"^final_layer\.adaln_modulation\.", "norm_out.linear_"),
    (r"^blocks\.", "transformer_blocks."),
    (r"^input_hint_block\.", "controls.0.hint_block."),
    (r"^control_embedder\.proj\.1\.", "controls.0.patch_embed.proj."),
    (r"^control_embedder\.(\d+)\.proj\.1\.", r"controls.\1.patch_embed.proj."),
    (r"^control_blocks\.", "control_blocks_0."),
    (r"^control_blocks_(\d+)\.0\.before_proj\.", r"controls.\1.before_proj."),
    (r"^control_blocks_(\d+)\.(\d+)\.after_proj\.", r"controls.\1.after_proj.\2."),
    (r"^control_blocks_(\d+)\.", r"controls.\1.transformer_blocks."),
    (r"\.self_attn\.", ".attn1."),
    (r"\.cross_attn\.", ".attn2."),
    (r"\.attn2\.([qkv])_img\.", r".image_attn.to_\1."),
    (r"\.attn2\.([qk])_img_norm\.", r".image_attn.norm_\1."),
    (r"(\.attn[12]\.)([qkv])_proj\.", r"\1to_\2."),
    (r"(\.attn[12]\.)([qk])_norm\.", r"\1norm_\2."),
    (r"(\.attn[12]\.)output_proj\.", r"\1to_out.0."),
    (r"\.mlp\.layer1\.", ".ff.net.0.proj."),
    (r"\.mlp\.layer2\.", ".ff.net.2."),
    (r"\.adaln_modulation_self_attn\.", ".norm1.linear_"),
    (r"\.adaln_modulation_cross_attn\.", ".norm2.linear_"),
    (r"\.adaln_modulation_mlp\.", ".norm3.linear_"),
)


def rename_released(key: str, controls: tuple[str, ...]) -> str:
    """The parameter name in this package for a published key without prefix. controls: names of the branches in the
    order in which the file numbers them."""
    for pattern, replacement in RENAMES:
        key = re.sub(pattern, replacement, key)
    if (match := re.match(r"controls\.(\d+)\.", key)) and int(match[1]) < len(controls):
        key = f"controls.{controls[int(match[1])]}.{key[match.end() :]}"
    return key


def from_released(state: Mapping[str, Tensor], controls: tuple[str, ...]) -> State:
    """A published state dict under this package's names: prefix stripped, counters and position tables dropped."""
    renamed: State = {}
    for key, value in state.items():
        bare = key.removeprefix(PREFIX)
        if IGNORED.search(bare):
            continue
        name = rename_released(bare, controls)
        if name in renamed:
            raise UserError(f"published weights hold {bare} twice, with and without the prefix {PREFIX}")
        renamed[name] = value
    return renamed


def language_model_state(state: Mapping[str, Tensor]) -> State:
    """Of a published Qwen2.5-VL, the tensors of its language model by the names of transformers' text model."""
    own = {key.removeprefix("model.").removeprefix("language_model."): value for key, value in state.items()}
    return {key: value for key, value in own.items() if key.startswith(("embed_tokens.", "layers.", "norm."))}


def network_state(net: ControlledNet, path: Path) -> State:
    """The file's tensors under this package's names, memory-mapped."""
    state = read_state(path)
    return from_released(state, net.config.controls) if is_released(state) else state


def branches_state(net: ControlledNet, paths: Sequence[Path]) -> State:
    """The tensors of a net with a branch for each of the files, all with one branch: as in the original, the base net
    is that of the last file, and the layers for an image are left out.

    UserError where a file has other tensors.
    """
    states = [_one_branch(path, name) for path, name in zip(paths, net.config.controls, strict=True)]
    merged: State = {}
    for path, state in zip(paths, states):
        others = {key: value for key, value in merged.items() if key in state and not torch.equal(value, state[key])}
        if others:
            log.warning("%s: its base net differs from that of the files before in %d tensors", path, len(others))
        merged |= state
    return merged


def _one_branch(path: Path, control: str) -> State:
    state = from_released(read_state(path), (control,))
    return {key: value for key, value in state.items() if not IMAGE_LAYERS.search(key)}


def load_network(net: ControlledNet, path: Path) -> None:
    """Load from a file in this package's names or in the published ones; UserError where it is not exactly the net's.

    A file of PyTorch may hold the tensors under `model` or `state_dict`.
    """
    load_strict(net, network_state(net, path), path)
