"""Reading and writing network weights. Loading is strict: every key must be there, none may be left over."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cosmos_exp.errors import UserError
from cosmos_exp.world.control import ControlEncoder
from cosmos_exp.world.transformer import Trunk

State = dict[str, Tensor]

PREFIXES = ("net.base_model.net.", "base_model.net.", "net.net_ctrl.", "net.")
IGNORED = re.compile(r"^(logvar\.|conditioner\.|pos_embedder\.seq$)|_extra_state$")
UNUSED_IN_CONTROL = re.compile(r"^final_layer\.")

# Released key -> our module path. `blocks.` entries are relative to one transformer block.
RENAMES = (
    (r"^x_embedder\.proj\.1\.", "patch_embed.proj."),
    (r"^x_embedder2\.proj\.1\.", "hint_embed.proj."),
    (r"^input_hint_block\.", "hint_block."),
    (r"^zero_blocks\.block(\d+)\.", r"zero_blocks.\1."),
    (r"^t_embedder\.1\.", "time_embed.t_embedder."),
    (r"^affline_norm\.", "time_embed.norm."),
    (r"^extra_pos_embedder\.", "learnable_pos_embed."),
    (r"^view_embeddings\.", "view_embed.table."),
    (r"^repeat_frame_embedding\.", "view_embed.frame_repeat."),
    (r"^final_layer\.adaLN_modulation\.", "norm_out.linear_"),
    (r"^final_layer\.linear\.", "proj_out."),
    (r"^blocks\.block(\d+)\.", r"transformer_blocks.\1."),
    (r"\.blocks\.0\.block\.attn\.", ".attn1."),
    (r"\.blocks\.1\.block\.attn\.", ".attn2."),
    (r"(\.attn[12])\.to_([qk])\.1\.", r"\1.norm_\2."),
    (r"(\.attn[12])\.to_([qkv])\.0\.", r"\1.to_\2."),
    (r"\.blocks\.2\.block\.layer1\.", ".ff.net.0.proj."),
    (r"\.blocks\.2\.block\.layer2\.", ".ff.net.2."),
    (r"\.blocks\.0\.adaLN_modulation\.", ".norm1.linear_"),
    (r"\.blocks\.1\.adaLN_modulation\.", ".norm2.linear_"),
    (r"\.blocks\.2\.adaLN_modulation\.", ".norm3.linear_"),
)


def read_state(path: Path) -> State:
    """Tensors of a .safetensors or .pt file; a .pt may nest them under "ema" (dashes for dots) or "model"."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"weights file not found: {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, OSError, EOFError) as error:
        raise UserError(f"weights file {path} cannot be read, it may be truncated: {error}") from error
    if "ema" in loaded:
        loaded = {key.replace("-", "."): value for key, value in loaded["ema"].items()}
    elif "model" in loaded:
        loaded = loaded["model"]
    return {key: value for key, value in loaded.items() if isinstance(value, Tensor)}


def rename_released(key: str) -> str:
    """The parameter name in this package for a released key without prefix."""
    for pattern, replacement in RENAMES:
        key = re.sub(pattern, replacement, key)
    return key


def from_released(state: Mapping[str, Tensor], *, control: bool) -> State:
    """A released state dict under this package's names: prefix stripped, buffers and training-only heads dropped."""
    renamed = {}
    for key, value in state.items():
        prefix = next((p for p in PREFIXES if key.startswith(p)), "")
        key = key[len(prefix) :]
        if IGNORED.search(key) or (control and UNUSED_IN_CONTROL.match(key)):
            continue
        renamed[rename_released(key)] = value
    return renamed


def load_strict(module: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Fill a module. Missing keys, extra keys and wrong shapes raise one UserError listing them.

    Values are cast to the dtype of the module's parameters (stored bf16 or fp16 are upcast for a float32 module).
    """
    own, aliases = own_tensors(module), module.state_dict()
    problems = [
        *_listed([f"missing: {key} {tuple(own[key].shape)}" for key in own if key not in state]),
        *_listed([f"not expected: {key} {tuple(state[key].shape)}" for key in state if key not in aliases]),
        *_listed(
            [
                f"wrong shape: {key} is {tuple(state[key].shape)}, must be {tuple(own[key].shape)}"
                for key in own
                if key in state and state[key].shape != own[key].shape
            ]
        ),
    ]
    if problems:
        raise UserError(f"weights {source} do not fit this network:\n" + "\n".join(problems))
    module.load_state_dict(state, strict=False)  # all but second names of shared tensors were found above


def own_tensors(module: nn.Module) -> State:
    """The state dict with each shared tensor under its first name only."""
    first_names = {name for name, _ in [*module.named_parameters(), *module.named_buffers()]}
    return {key: value for key, value in module.state_dict().items() if key in first_names}


def load_network(net: Trunk, path: Path, *, base: Path | None = None) -> None:
    """Load a base net or a control encoder from a file in this package's names or in the released ones.

    base: for a released control file, the base file whose values fill the keys it lacks (same name and shape).
    """
    control = isinstance(net, ControlEncoder)
    state = read_state(path)
    if is_released(state):
        state = from_released(state, control=control)
        if base is not None:
            own = net.state_dict()
            filler = from_released(read_state(base), control=control)
            state = {k: v for k, v in filler.items() if k in own and v.shape == own[k].shape} | state
    load_strict(net, state, path)


def is_released(state: Iterable[str]) -> bool:
    """Whether the keys are those of a released checkpoint."""
    return any("x_embedder" in key for key in state)


def save_state(module: nn.Module, path: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write a module's tensors as safetensors, floating ones in `dtype`."""
    state = {
        key: (value.to(dtype) if value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in own_tensors(module).items()
    }
    save_file(state, path)


def _listed(problems: list[str], most: int = 20) -> list[str]:
    lines = [f"  {problem}" for problem in problems[:most]]
    return lines if len(problems) <= most else [*lines, f"  ... and {len(problems) - most} more like these"]
