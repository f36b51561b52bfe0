"""The training set of the diffusion networks: every video of every clip, encoded once by the trained tokenizer."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from cosmos_exp.train.clips import Clip, read_clip

Encode = Callable[[torch.Tensor], torch.Tensor]  # uint8 [B,F,H,W,3] -> float [B,16,T,h,w]


@dataclass
class LatentSet:
    """N clips, K styles each, V views.

    targets: [N,K,V,16,T,h,w] float16. hints: control -> [N,Vc,16,T,h,w] float16, where Vc is V for the HD map and 1
    (the first view) for the rest. prompts[n][k] is the caption of targets[n,k], styles[n][k] its style.
    """

    targets: torch.Tensor
    hints: dict[str, torch.Tensor]
    prompts: list[list[str]]
    styles: list[list[str]]

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device | str) -> LatentSet:
        hints = {k: v.to(device) for k, v in self.hints.items()}
        return LatentSet(self.targets.to(device), hints, self.prompts, self.styles)

    def save(self, path: Path) -> None:
        tensors = {"targets": self.targets, **{f"hint.{k}": v for k, v in self.hints.items()}}
        metadata = {"prompts": json.dumps(self.prompts), "styles": json.dumps(self.styles)}
        partial = path.with_suffix(".partial")
        save_file({k: v.contiguous().cpu() for k, v in tensors.items()}, partial, metadata)
        os.replace(partial, path)

    @classmethod
    def load(cls, path: Path, device: torch.device | str = "cpu") -> LatentSet:
        with safe_open(path, framework="pt", device=str(device)) as file:
            metadata = file.metadata()
            hints = {k.removeprefix("hint."): file.get_tensor(k) for k in file.keys() if k.startswith("hint.")}  # noqa: SIM118 (not a dict)
            targets = file.get_tensor("targets")
        return cls(targets, hints, json.loads(metadata["prompts"]), json.loads(metadata["styles"]))


def encode_clips(
    paths: Iterable[Path],
    encode: Encode,
    views: tuple[str, ...],
    controls: tuple[str, ...],
    *,
    discard: bool = False,
    progress: Callable[[int], None] | None = None,
) -> LatentSet:
    """Encode clips as they arrive. discard: delete each clip's files once it is encoded."""
    targets, prompts, styles = [], [], []
    hints: dict[str, list[torch.Tensor]] = {c: [] for c in controls}
    for number, path in enumerate(paths, 1):
        clip = read_clip(path)
        latents = encode(torch.from_numpy(np.array(clip.videos))).half()
        index = {(key.view, key.name): z for key, z in zip(clip.keys, latents)}
        targets.append(torch.stack([torch.stack([index[v, s] for v in views]) for s in clip.prompts]))
        for control in controls:
            hints[control].append(torch.stack([index[v, control] for v in _views_of(control, views)]))
        prompts.append(list(clip.prompts.values()))
        styles.append(list(clip.prompts))
        if discard:
            _delete(clip, path)
        if progress:
            progress(number)
    return LatentSet(torch.stack(targets), {c: torch.stack(h) for c, h in hints.items()}, prompts, styles)


def _views_of(control: str, views: tuple[str, ...]) -> tuple[str, ...]:
    return views if control == "hdmap" else views[:1]


def _delete(clip: Clip, path: Path) -> None:
    del clip
    path.unlink()
    path.with_suffix(".npy").unlink()
