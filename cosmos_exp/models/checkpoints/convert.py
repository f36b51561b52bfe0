"""Published checkpoints to a model folder: safetensors in this package's names, and model.json.

A part is one weights file of a model folder: `base`, `control_<name>`, the same with `multiview_`, `tokenizer`,
`text_encoder`. Source files stay mapped, and tensors are written one by one: memory holds one tensor at a time.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

import torch
from torch import Tensor, nn

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.input_files import did_you_mean
from cosmos_exp.models.checkpoints.checkpoint import (
    State,
    check_fit,
    network_state,
    read_metadata,
    read_state,
    write_tensors,
)
from cosmos_exp.models.checkpoints.pickled import read_pickled
from cosmos_exp.models.dit.description import CONFIG_FILE
from cosmos_exp.models.transfer1.config import DiTConfig
from cosmos_exp.models.transfer1.control import ControlEncoder
from cosmos_exp.models.transfer1.description import VIEW_PREFIX
from cosmos_exp.models.transfer1.text import TextEncoder
from cosmos_exp.models.transfer1.tokenizer import VideoTokenizer
from cosmos_exp.models.transfer1.transformer import DiT

Files = Mapping[str, tuple[str, tuple[str, ...]]]  # part -> (repository, file names)
Report = Callable[[str], None]
ReadPart = Callable[[str, list[Path], Mapping[str, Any]], tuple[State, bool]]
"""From a part, its files and the description to its tensors, checked against its module, and whether they keep their
dtype."""

# Published name of the video tokenizer -> diffusers' name.
TOKENIZER_RENAMES = (
    (r"\bdown\.(\d+)\.block\.(\d+)\.", r"down_blocks.\1.resnets.\2."),
    (r"\bdown\.(\d+)\.downsample\.", r"down_blocks.\1.downsamplers.0."),
    (r"\bup\.(\d+)\.block\.(\d+)\.", r"up_blocks.\1.resnets.\2."),
    (r"\bup\.(\d+)\.upsample\.", r"up_blocks.\1.upsamplers.0."),
    (r"\bmid\.block_1\.", "mid_block.resnets.0."),
    (r"\bmid\.block_2\.", "mid_block.resnets.1."),
    (r"\bmid\.attn_1\.0\.", "mid_block.attentions.0."),
    (r"\bmid\.attn_1\.1\.", "mid_block.temp_attentions.0."),
    (r"\.([qkv])\.conv3d\.", r".to_\1."),
    (r"\.proj_out\.conv3d\.", ".to_out.0."),
    (r"\bnin_shortcut\.conv3d\.", "conv_shortcut."),
    (r"\.0\.conv3d\.", ".conv_s."),
    (r"\.1\.conv3d\.", ".conv_t."),
    (r"\.conv3d\.", "."),
)
TOKENIZER_CONSTANTS = re.compile(r"wavelets$|_arange$|patch_size_buffer$")


def convert_checkpoint(
    source: Path,
    folder: Path,
    config: Mapping[str, Any],
    files: Files,
    *,
    parts: Iterable[str] | None = None,
    dtype: torch.dtype = torch.bfloat16,
    overwrite: bool = False,
    report: Report = print,
    read: ReadPart | None = None,
) -> list[str]:
    """Write the parts of a model that `folder` lacks and return their names; every source file is found first.

    source: a folder with the published files, as `owner/repository/file`, `repository/file` or `file`, or one such
    file. config, files: from `released_config` and `released_files`. parts: to convert, by default all. dtype: of the
    networks; tokenizer and text encoder keep theirs. A part that the folder already has from the same published file
    is kept; one from another file is an error, unless `overwrite`. read: of another family than Transfer1.
    """
    source, folder = Path(source), Path(folder)
    wanted = _chosen(source, files, parts)
    todo = [part for part in wanted if overwrite or not _is_there(folder, part, files[part])]
    paths = _find_all(source, {part: files[part] for part in todo})
    folder.mkdir(parents=True, exist_ok=True)
    for part in todo:
        if read is None:
            state, kept = _read_part(part, paths[part], config, _base_path(part, source, files))
        else:
            state, kept = read(part, paths[part], config)
        own = None if kept else dtype
        write_tensors(state, folder / f"{part}.safetensors", own, metadata={"source": _origin(files[part])})
        size = (folder / f"{part}.safetensors").stat().st_size
        report(f"{part}: {len(state)} tensors, {size / 1e9:.3g} GB")
        if part == "text_encoder" and "vocabulary" in config["text_encoder"]:
            shutil.copyfile(paths[part][-1], folder / config["text_encoder"]["vocabulary"])
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n")
    return todo


def _chosen(source: Path, files: Files, parts: Iterable[str] | None) -> list[str]:
    if parts is not None:
        for part in parts:
            if part not in files:
                raise UserError(unknown_name("part of the model", part, files))
        return list(parts)
    if not source.is_file():
        return list(files)
    found = [part for part, (_, names) in files.items() if source.name in {PurePath(name).name for name in names}]
    if not found:
        names = dict.fromkeys(name for _, several in files.values() for name in several)
        raise UserError(unknown_name("file of the model", source.name, names))
    return found


def _is_there(folder: Path, part: str, origin: tuple[str, tuple[str, ...]]) -> bool:
    path = folder / f"{part}.safetensors"
    if not path.is_file():
        return False
    have = read_metadata(path).get("source", "an unknown source")
    if have != _origin(origin):
        raise UserError(
            f"{path} is from {have}, needed is {_origin(origin)}: choose another folder, or give --overwrite"
        )
    return True


def _origin(origin: tuple[str, tuple[str, ...]]) -> str:
    repository, names = origin
    return f"{repository}/{names[0]}"


def _find_all(source: Path, files: Files) -> dict[str, list[Path]]:
    if not source.exists():
        raise UserError(f"no file or folder {str(source)!r}{did_you_mean(source)}")
    root = source.parent if source.is_file() else source
    found: dict[str, list[Path]] = {}
    missing = []
    for part, (repository, names) in files.items():
        by_name = {name: _find(root, repository, name) for name in names}
        found[part] = [path for paths in by_name.values() for path in paths]
        missing += [f"  {part}: {repository}/{name}" for name, paths in by_name.items() if not paths]
    if missing:
        raise UserError(
            f"{root} lacks published files, looked for as owner/repository/file, repository/file and file:\n"
            + "\n".join(missing)
        )
    return found


def _find(root: Path, repository: str, name: str) -> list[Path]:
    """The file of that name in the first place that has it; of a pattern, all that match there."""
    for place in (root / repository, root / repository.rpartition("/")[2], root):
        if paths := sorted(path for path in place.glob(name) if path.is_file()):
            return paths
    return []


def _base_path(part: str, source: Path, files: Files) -> Path | None:
    """The published base net of a control encoder, which fills keys that the encoder's file lacks."""
    prefix, control, _ = part.partition("control_")
    if not control or f"{prefix}base" not in files:
        return None
    repository, names = files[f"{prefix}base"]
    return next(iter(_find(source.parent if source.is_file() else source, repository, names[0])), None)


def _read_part(part: str, paths: list[Path], config: Mapping[str, Any], base: Path | None) -> tuple[State, bool]:
    """Tensors of a part, checked against its module; whether they keep their dtype."""
    if part == "tokenizer":
        settings = config["tokenizer"]
        module = _on_meta(lambda: VideoTokenizer(settings["vae"], settings["stat_frames"]))
        state = tokenizer_state(paths, settings["stat_frames"])
    elif part == "text_encoder":
        module = _on_meta(lambda: TextEncoder(config["text_encoder"], config["contract"]["text_tokens"]))
        state = text_encoder_state(paths[0])
    else:
        stage = next(stage for stage, prefix in reversed(VIEW_PREFIX.items()) if part.startswith(prefix))
        name = part.removeprefix(VIEW_PREFIX[stage])
        module = _on_meta(lambda: _network(config[stage], name))
        state = network_state(module, paths[0], base=base)
    check_fit(module, state, paths[0])
    return state, part in ("tokenizer", "text_encoder")


def _network(stage: Mapping[str, Any], name: str) -> DiT | ControlEncoder:
    if name == "base":
        return DiT(DiTConfig.from_dict(stage["base"]))
    return ControlEncoder(DiTConfig.from_dict(stage["controls"][name.removeprefix("control_")]))


def _on_meta(make: Callable[[], nn.Module]) -> Any:
    with torch.device("meta"):
        return make()


def tokenizer_state(paths: Iterable[Path], stat_frames: int) -> State:
    """Tensors of a VideoTokenizer from the published TorchScript files and mean_std.pt."""
    tensors: State = {}
    statistics: dict[str, Tensor] = {}
    for path in paths:
        if path.suffix == ".jit":
            tensors |= {key: value for key, value in read_state(path).items() if not TOKENIZER_CONSTANTS.search(key)}
        else:
            statistics = _statistics(path, stat_frames)
    levels = 1 + max((int(match[1]) for key in tensors if (match := re.match(r"decoder\.up\.(\d+)\.", key))), default=0)
    return {f"vae.{_tokenizer_name(key, levels)}": value for key, value in tensors.items()} | statistics


def _tokenizer_name(key: str, levels: int) -> str:
    """levels: upsampling blocks; published ones count from the finest, diffusers' from the coarsest."""
    key = re.sub(r"^decoder\.up\.(\d+)\.", lambda match: f"decoder.up.{levels - 1 - int(match[1])}.", key)
    for pattern, replacement in TOKENIZER_RENAMES:
        key = re.sub(pattern, replacement, key)
    return key


def _statistics(path: Path, stat_frames: int) -> State:
    loaded = read_pickled(path)
    if not isinstance(loaded, (tuple, list)) or len(loaded) != 2 or not all(isinstance(t, Tensor) for t in loaded):
        raise UserError(f"{path} does not hold the mean and the standard deviation of latents")
    if any(tensor.numel() % stat_frames for tensor in loaded):
        raise UserError(f"{path}: {loaded[0].numel()} values do not divide into {stat_frames} latent frames")
    return {name: tensor.float().reshape(-1, stat_frames) for name, tensor in zip(("mean", "std"), loaded)}


def text_encoder_state(path: Path) -> State:
    """Tensors of a TextEncoder from a published T5: its encoder alone."""
    state = read_state(path)
    return {
        f"t5.{key}": value
        for key, value in state.items()
        if key == "shared.weight" or (key.startswith("encoder.") and key != "encoder.embed_tokens.weight")
    }
