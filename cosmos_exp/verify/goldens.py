"""Folders of golden tensors recorded from the reference implementation.

A folder holds cases `<name>.json` (kind, network settings in the reference's parameter names, weights files) with
`<name>.safetensors` (`in.*`, `mid.*`, `out.*`), and the weights files they name.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.guards import read_json
from cosmos_exp.models.checkpoints.checkpoint import load_network, read_state
from cosmos_exp.models.dit.residuals import Weight
from cosmos_exp.models.transfer1.config import DiTConfig
from cosmos_exp.models.transfer1.control import ControlEncoder, ControlledDiT
from cosmos_exp.models.transfer1.transformer import DiT

MANIFEST = "manifest.json"
NETWORK_TOLERANCE = 2e-5
TRAJECTORY_TOLERANCE = 1e-4
SAMPLER_TOLERANCE = 1e-12


@dataclass(frozen=True)
class GoldenResult:
    """One comparison. error: relative L2, or for pictures the largest difference in levels; NaN never passes."""

    case: str
    compared: str
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance


@dataclass(frozen=True)
class GoldenCase:
    """One case as read from disk."""

    name: str
    kind: str
    config: dict
    weights: dict
    tensors: dict[str, Tensor]
    folder: Path

    def has(self, key: str) -> bool:
        return key in self.tensors

    def tensor(self, key: str) -> Tensor:
        if key not in self.tensors:
            raise UserError(f"golden case {self.name}: tensor {key!r} is missing")
        return self.tensors[key]

    def setting(self, key: str):
        if key not in self.config:
            raise UserError(f"golden case {self.name}: setting {key!r} is missing from its JSON")
        return self.config[key]

    @property
    def fps(self) -> float:
        """Frames per second of the clip; the reference reads the first sample's."""
        return self.tensor("in.fps").flatten()[0].item()

    def result(self, key: str, value: Tensor, tolerance: float, golden: Tensor | None = None) -> GoldenResult:
        """Relative L2 error against the tensor of that name, or against `golden` made from it."""
        golden = self.tensor(key) if golden is None else golden
        return GoldenResult(self.name, key, relative_error(value, golden), tolerance)


def relative_error(value: Tensor, golden: Tensor) -> float:
    """||value - golden|| / ||golden||; infinite when the shapes differ."""
    if value.shape != golden.shape:
        return math.inf
    value, golden = value.double(), golden.double()
    return ((value - golden).norm() / golden.norm().clamp(min=1e-30)).item()


def read_cases(folder: Path) -> Iterator[GoldenCase]:
    """Cases in the manifest's order, further ones after them; files are checked before the first case runs."""
    if not folder.is_dir():
        raise UserError(f"folder of goldens not found: {folder}")
    manifest = _read_json(folder / MANIFEST) if (folder / MANIFEST).is_file() else {}
    found = sorted(p.stem for p in folder.glob("*.json") if p.name != MANIFEST)
    listed = list(manifest.get("cases", []))
    names = listed + [name for name in found if name not in listed]
    if not names:
        raise UserError(f"no golden cases in {folder}: expected <name>.json with <name>.safetensors")
    for file, digest in manifest.get("sha256", {}).items():
        path = folder / file
        if not path.is_file():
            raise UserError(f"{folder / MANIFEST} names {file}, which is not in the folder")
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise UserError(f"{path} is corrupt: its sha256 is not the one in {MANIFEST}")
    descriptions = {name: _read_description(folder / f"{name}.json") for name in names}
    for name, description in descriptions.items():
        yield GoldenCase(
            name=name,
            kind=description["kind"],
            config=description.get("config", {}),
            weights=description.get("weights", {}),
            tensors=read_state(folder / f"{name}.safetensors"),
            folder=folder,
        )


def _read_description(path: Path) -> dict:
    description = _read_json(path)
    if not isinstance(description, dict) or not isinstance(description.get("kind"), str):
        raise UserError(f"{path} does not describe a golden case: it has no kind")
    return description


def _read_json(path: Path) -> dict:
    if not path.is_file():
        raise UserError(f"golden case file not found: {path}")
    return read_json("golden case", path)


def network_config(settings: dict) -> DiTConfig:
    """Our settings from the reference's names. `max_img_*` and `max_frames` count latent pixels and frames."""
    views = settings.get("n_views", 1)
    patch = settings["patch_spatial"]
    return DiTConfig(
        model_channels=settings["model_channels"],
        num_blocks=settings["num_blocks"],
        num_heads=settings["num_heads"],
        mlp_ratio=settings["mlp_ratio"],
        text_channels=settings["crossattn_emb_channels"],
        adaln_lora_dim=settings["adaln_lora_dim"],
        latent_channels=settings["out_channels"],
        condition_mask=settings["in_channels"] > settings["out_channels"],
        patch_size=(settings["patch_temporal"], patch, patch),
        max_size=(settings["max_frames"], settings["max_img_h"], settings["max_img_w"]),
        rope_scale=tuple(settings[f"rope_{axis}_extrapolation_ratio"] for axis in "thw"),
        extra_pos=settings["extra_per_block_abs_pos_emb_type"],
        num_views=views,
        view_table_size=settings.get("n_views_emb", 7),
        view_channels=settings["camera_condition_dim"] if views > 1 else 0,
    )


def control_config(settings: dict, base: DiTConfig) -> DiTConfig:
    """A control encoder: the blocks before the first masked layer; its noisy input has the base's channels."""
    own = network_config(settings)
    mask = settings["layer_mask"]
    blocks = mask.index(True) if True in mask else len(mask)
    return replace(own, num_blocks=blocks, hint_channels=settings["hint_channels"], condition_mask=base.condition_mask)


def load_net(case: GoldenCase) -> ControlledDiT:
    """The case's base net and control encoders, named by their order, float32 on the CPU."""
    try:
        config = network_config(case.setting("base"))
        files = case.weights.get("control", [])
        encoders = [ControlEncoder(control_config(case.setting("control"), config)) for _ in files]
        base_file = case.folder / case.weights["base"]
    except KeyError as error:
        raise UserError(f"golden case {case.name}: {error} is missing from its JSON") from error
    base = DiT(config)
    load_network(base, base_file)
    controls = {}
    for index, (file, encoder) in enumerate(zip(files, encoders)):
        load_network(encoder, case.folder / file, base=base_file)
        controls[f"control{index}"] = encoder
    return ControlledDiT(base, controls).eval()


def hints_and_weights(case: GoldenCase, names: Iterable[str]) -> tuple[dict[str, Tensor], dict[str, Weight]]:
    """`in.hint` [B,16,T,H,W] or [B,K,16,T,H,W]; `in.control_weight` [K] or maps [K,B,1,T,h,w]."""
    names = list(names)
    if not names:
        return {}, {}
    hint, weight = case.tensor("in.hint"), case.tensor("in.control_weight")
    hints = hint[:, None] if hint.ndim == 5 else hint
    if hints.shape[1] != len(names) or len(weight) != len(names):
        raise UserError(f"golden case {case.name}: {len(names)} controls, but hints and weights for another number")
    return (
        {name: hints[:, i] for i, name in enumerate(names)},
        {name: (weight[i].item() if weight.ndim == 1 else weight[i]) for i, name in enumerate(names)},
    )
