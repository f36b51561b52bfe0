"""Reading and writing network weights. Loading is strict: no key may be missing, none may be unexpected."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.input_files import did_you_mean
from cosmos_exp.models.checkpoints.pickled import read_pickled
from cosmos_exp.models.checkpoints.safetensors_file import read_safetensors
from cosmos_exp.models.transfer1.control import ControlEncoder
from cosmos_exp.models.transfer1.transformer import Trunk

State = dict[str, Tensor]

BASE_PREFIX, CONTROL_PREFIX = "net.base_model.net.", "net.net_ctrl."
PREFIXES = (BASE_PREFIX, "base_model.net.", CONTROL_PREFIX, "net.")
SAFETENSORS_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
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
    """Tensors of a .safetensors file or of one that PyTorch wrote, memory-mapped.

    The latter may nest them under "ema" (dashes for dots), "model" or "state_dict".
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"weights file not found: {path}{did_you_mean(path)}")
    if path.suffix == ".safetensors":
        return read_safetensors(path, f"weights file {path}")
    loaded = read_pickled(path)
    if isinstance(loaded, dict) and "ema" in loaded:
        loaded = loaded["ema"]
        if isinstance(loaded, dict):
            loaded = {key.replace("-", "."): value for key, value in loaded.items()}
    elif isinstance(loaded, dict):
        loaded = next((loaded[name] for name in ("model", "state_dict") if name in loaded), loaded)
    if not isinstance(loaded, dict):
        raise UserError(f"weights file {path} holds a {type(loaded).__name__}, no dict of tensors")
    return {key: value for key, value in loaded.items() if isinstance(value, Tensor)}


def rename_released(key: str) -> str:
    """The parameter name in this package for a released key without prefix."""
    for pattern, replacement in RENAMES:
        key = re.sub(pattern, replacement, key)
    return key


def from_released(state: Mapping[str, Tensor], *, control: bool) -> State:
    """A released state dict under this package's names: prefix stripped, buffers and training-only heads dropped.

    Where a file holds a base net and a control encoder under different prefixes, `control` selects one.
    """
    both = {_prefix(key) for key in state} >= {BASE_PREFIX, CONTROL_PREFIX}
    other = BASE_PREFIX if control else CONTROL_PREFIX
    renamed: State = {}
    for key, value in state.items():
        prefix = _prefix(key)
        bare = key[len(prefix) :]
        if (both and prefix == other) or IGNORED.search(bare) or (control and UNUSED_IN_CONTROL.match(bare)):
            continue
        name = rename_released(bare)
        if name in renamed:
            raise UserError(f"released weights hold {bare} twice, under different prefixes")
        renamed[name] = value
    return renamed


def _prefix(key: str) -> str:
    return next((prefix for prefix in PREFIXES if key.startswith(prefix)), "")


def check_fit(module: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Missing keys, extra keys and wrong shapes raise one UserError listing them."""
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


def load_strict(module: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Fill a module; raises as `check_fit` does.

    A module on the meta device is assigned the given tensors, in their dtype: nothing is copied, and pages of a mapped
    file are read on first use. Into any other module values are copied, cast to its dtype.
    """
    check_fit(module, state, source)
    if any(tensor.is_meta for tensor in own_tensors(module).values()):
        _assign(module, state)
    else:
        module.load_state_dict(state, strict=False)  # missing are only second names of shared tensors


def _assign(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Replace the module's tensors by the state's, one for all names of a shared one."""
    parameters: dict[Tensor | None, nn.Parameter] = {
        old: nn.Parameter(state[name], requires_grad=old.requires_grad) for name, old in module.named_parameters()
    }
    buffers: dict[Tensor | None, Tensor] = {old: state[name] for name, old in module.named_buffers() if name in state}
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter in parameters:
                part._parameters[name] = parameters[parameter]
        for name, buffer in part._buffers.items():
            if buffer in buffers:
                part._buffers[name] = buffers[buffer]


def own_tensors(module: nn.Module) -> State:
    """The state dict with each shared tensor under its first name only."""
    first_names = {name for name, _ in [*module.named_parameters(), *module.named_buffers()]}
    return {key: value for key, value in module.state_dict().items() if key in first_names}


def load_network(net: Trunk, path: Path, *, base: Path | None = None) -> None:
    """Load a base net or a control encoder from a file in this package's names or in the released ones.

    base: for a released control file, the base file whose values fill the keys it lacks (same name and shape).
    """
    load_strict(net, network_state(net, path, base=base), path)


def network_state(net: Trunk, path: Path, *, base: Path | None = None) -> State:
    """The state that `load_network` loads: the file's tensors under this package's names, memory-mapped."""
    control = isinstance(net, ControlEncoder)
    state = read_state(path)
    if not is_released(state):
        return state
    state = from_released(state, control=control)
    if base is None:
        return state
    own = net.state_dict()
    filler = from_released(read_state(base), control=control)
    return {k: v for k, v in filler.items() if k in own and v.shape == own[k].shape} | state


def is_released(state: Iterable[str]) -> bool:
    """Whether the keys are those of a released checkpoint."""
    return any("x_embedder" in key for key in state)


def save_state(module: nn.Module, path: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write a module's tensors as safetensors, floating ones in `dtype`."""
    write_tensors(own_tensors(module), path, dtype)


def write_tensors(
    state: Mapping[str, Tensor],
    path: Path,
    dtype: torch.dtype | None = None,
    *,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a safetensors file, one tensor in memory at a time. dtype: of floating tensors; None: their own.

    metadata: strings for the file's header, see `read_metadata`. The file is renamed to `path` when complete: a model
    that has the old one mapped keeps it.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    kinds = {
        name: dtype if dtype is not None and value.is_floating_point() else value.dtype for name, value in state.items()
    }
    names = sorted(state, key=lambda name: (-kinds[name].itemsize, name))  # widest first keeps every one aligned
    for name in names:
        end = offset + state[name].numel() * kinds[name].itemsize
        header[name] = {
            "dtype": SAFETENSORS_DTYPES[kinds[name]],
            "shape": list(state[name].shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path = Path(path)
    partial = path.with_name(f"{path.name}.part{os.getpid()}")
    try:
        with partial.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for name in names:
                value = state[name].detach().to(device="cpu", dtype=kinds[name]).contiguous()
                file.write(value.flatten().view(torch.uint8).numpy().data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_metadata(path: Path) -> dict[str, str]:
    """The strings in a file's header; empty where there are none."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise UserError(f"weights file {path} cannot be read, it may be truncated: {error}") from error


def _listed(problems: list[str], most: int = 20) -> list[str]:
    lines = [f"  {problem}" for problem in problems[:most]]
    return lines if len(problems) <= most else [*lines, f"  ... and {len(problems) - most} more like these"]
