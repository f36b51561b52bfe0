"""The training set of the diffusion networks: every video of every clip, encoded once by the trained tokenizer.

It lies in a folder of parts, one of some clips each, which grows as clips are rendered.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import write_json
from cosmos_exp.common.guards import read_json
from cosmos_exp.train import ranks
from cosmos_exp.train.clips import delete_clip, read_clip
from cosmos_exp.train.rendering import ClipFeed

Encode = Callable[[torch.Tensor], torch.Tensor]  # uint8 [B,F,H,W,3] -> float [B,16,T,h,w]


@dataclass
class LatentSet:
    """N clips, K styles each, V views.

    targets: [N,K,V,16,T,h,w] float16. hints: control -> [N,Vc,16,T,h,w] float16, where Vc is V for the HD map and 1
    (the first view) for the rest. objects: [N,V,T,h,w] float16, the share of objects in each position, see `Clip`.
    prompts[n][k] is the caption of targets[n,k], styles[n][k] its style, seeds[n] the clip's seed. fronts: the first
    view as a single-view net generates it, [N,K,16,T,h,w] float16, where it has.
    """

    targets: torch.Tensor
    hints: dict[str, torch.Tensor]
    objects: torch.Tensor
    prompts: list[list[str]]
    styles: list[list[str]]
    seeds: list[int]
    fronts: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device | str) -> LatentSet:
        hints = {k: v.to(device) for k, v in self.hints.items()}
        fronts = None if self.fronts is None else self.fronts.to(device)
        return replace(
            self, targets=self.targets.to(device), hints=hints, objects=self.objects.to(device), fronts=fronts
        )

    def joined(self, other: LatentSet) -> LatentSet:
        """The clips of both, on the device of this one. Raises UserError where fronts are there of one alone."""
        device = self.targets.device
        if (self.fronts is None) != (other.fronts is None):
            raise UserError("some clips have generated front views and others have none: run stages=[fronts] again")
        fronts = None
        if self.fronts is not None and other.fronts is not None:
            fronts = torch.cat([self.fronts, other.fronts.to(device)])
        return LatentSet(
            torch.cat([self.targets, other.targets.to(device)]),
            {k: torch.cat([v, other.hints[k].to(device)]) for k, v in self.hints.items()},
            torch.cat([self.objects, other.objects.to(device)]),
            self.prompts + other.prompts,
            self.styles + other.styles,
            self.seeds + other.seeds,
            fronts,
        )

    def save(self, path: Path) -> None:
        tensors = {"targets": self.targets, "objects": self.objects, **{f"hint.{k}": v for k, v in self.hints.items()}}
        if self.fronts is not None:
            tensors["fronts"] = self.fronts
        lists = {"prompts": self.prompts, "styles": self.styles, "seeds": self.seeds}
        metadata = {name: json.dumps(values) for name, values in lists.items()}
        partial = path.with_suffix(".partial")
        save_file({k: v.contiguous().cpu() for k, v in tensors.items()}, partial, metadata)
        os.replace(partial, path)

    @classmethod
    def load(cls, path: Path, device: torch.device | str = "cpu") -> LatentSet:
        with safe_open(path, framework="pt", device=str(device)) as file:
            metadata = file.metadata()
            hints = {k.removeprefix("hint."): file.get_tensor(k) for k in file.keys() if k.startswith("hint.")}  # noqa: SIM118 (not a dict)
            targets, objects = file.get_tensor("targets"), file.get_tensor("objects")
            fronts = file.get_tensor("fronts") if "fronts" in file.keys() else None  # noqa: SIM118 (not a dict)
        lists = {name: json.loads(metadata[name]) for name in ("prompts", "styles", "seeds")}
        return cls(targets, hints, objects, **lists, fronts=fronts)


def encode_clips(paths: Iterable[Path], encode: Encode, views: tuple[str, ...], controls: tuple[str, ...]) -> LatentSet:
    """On the CPU, wherever they are encoded."""
    targets, objects, prompts, styles, seeds = [], [], [], [], []
    hints: dict[str, list[torch.Tensor]] = {c: [] for c in controls}
    for path in paths:
        clip = read_clip(path)
        latents = encode(torch.from_numpy(np.array(clip.videos))).half().cpu()
        index = {(key.view, key.name): z for key, z in zip(clip.keys, latents)}
        targets.append(torch.stack([torch.stack([index[v, s] for v in views]) for s in clip.prompts]))
        for control in controls:
            hints[control].append(torch.stack([index[v, control] for v in _views_of(control, views)]))
        objects.append(torch.from_numpy(np.array(clip.objects)))
        prompts.append(list(clip.prompts.values()))
        styles.append(list(clip.prompts))
        seeds.append(clip.seed)
    stacked = {c: torch.stack(h) for c, h in hints.items()}
    return LatentSet(torch.stack(targets), stacked, torch.stack(objects), prompts, styles, seeds)


PART = 32
"""Clips that are encoded together at least, but for the last ones."""


class LatentParts:
    """The latents of a set of clips: those in the folder, then those that a feed goes on to render, on rank 0.

    encode, views, controls: as of `encode_clips`. keep_clips: leave the clips' pixels on disk after encoding. fronts:
    generates the front views of the clips that come, where those that are there have generated ones.
    """

    def __init__(
        self,
        folder: Path,
        feed: Callable[[set[int]], ClipFeed],
        encode: Encode,
        views: tuple[str, ...],
        controls: tuple[str, ...],
        *,
        made_of: Mapping[str, Any],
        keep_clips: bool = False,
        fronts: Callable[[LatentSet], torch.Tensor] | None = None,
        progress: Callable[[int], None] | None = None,
    ):
        """feed: renders the clips whose seeds are not among these. made_of: what all latents of the folder share.

        Raises UserError where those that are there are made of something else.
        """
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        _check_made_of(folder / "made_of.json", dict(made_of))
        self.encode, self.views, self.controls = encode, views, controls
        self.keep_clips, self.progress = keep_clips, progress
        self._ready: list[LatentSet] = []
        self._seen: set[Path] = set()
        self.count = 0
        self._load()
        self._fronts = fronts if any(part.fronts is not None for part in self._ready) else None
        self._rendered: list[Path] = []
        self._feed = feed({seed for part in self._ready for seed in part.seeds})

    def paths(self) -> list[Path]:
        return sorted(self.folder.glob("*.safetensors"))

    def __enter__(self) -> LatentParts:
        return self

    def __exit__(self, *_: object) -> None:
        self._feed.close()

    def new(self) -> list[LatentSet]:
        """What has come since the last call."""
        self._take(wait=False)
        self._load()
        ready, self._ready = self._ready, []
        return ready

    def first(self, number: int | None) -> LatentSet:
        """Waits for so many clips, or for all, on rank 0, and for rank 0 elsewhere. Raises UserError where there are
        none."""
        while not self._feed.finished and (number is None or self.count < number):
            self._take(wait=True)
        ranks.wait()
        parts = self.new()
        if not parts:
            raise UserError(f"no clips to train on in {self.folder}: num_clips is 0")
        return reduce(LatentSet.joined, parts)

    def _take(self, wait: bool) -> None:
        self._rendered += self._feed.take(wait)
        if len(self._rendered) < (1 if self._feed.finished else PART):
            return
        part = encode_clips(self._rendered, self.encode, self.views, self.controls)
        if self._fronts:
            part = replace(part, fronts=self._fronts(part))
        path = self.folder / f"{part.seeds[0]:08d}_{part.seeds[-1]:08d}.safetensors"
        part.save(path)
        for clip in self._rendered if not self.keep_clips else ():
            delete_clip(clip)
        self._rendered = []
        self._add(path, part)
        if self.progress:
            self.progress(self.count)

    def _load(self) -> None:
        """What is in the folder and was not made here: of an earlier run, or by rank 0."""
        for path in self.paths():
            if path not in self._seen:
                self._add(path, LatentSet.load(path))

    def _add(self, path: Path, part: LatentSet) -> None:
        self._seen.add(path)
        self._ready.append(part)
        self.count += len(part)


def _views_of(control: str, views: tuple[str, ...]) -> tuple[str, ...]:
    return views if control == "hdmap" else views[:1]


def _check_made_of(path: Path, values: dict[str, Any]) -> None:
    if not path.exists():
        write_json(path, values)
        return
    there = read_json("description of latents", path)
    changed = [name for name, value in json.loads(json.dumps(values)).items() if there.get(name) != value]
    if changed:
        raise UserError(
            f"the latents in {path.parent} are of another {', '.join(changed)}: set it back, delete that folder to "
            "encode anew, or train into another one"
        )
