"""Golden comparisons of the parts around the networks: tables, weights, regional attention, control preprocessing.

These cases record values without the sizes they were made for; sizes are read off the recorded tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import torch
from diffusers.models.embeddings import Timesteps
from torch import Tensor

from cosmos_exp.common.errors import UserError
from cosmos_exp.controls.edge import CANNY_THRESHOLDS, canny
from cosmos_exp.controls.vis import vis
from cosmos_exp.models.dit.positions import rope_table
from cosmos_exp.models.dit.regional import Region, RegionKeys, Regions, blend, region_texts
from cosmos_exp.models.kernels.attention import attend
from cosmos_exp.models.transfer1.control_weights import (
    ControlWeight,
    normalize_scalar_weights,
    normalize_weight_maps,
    to_patch_grid,
)
from cosmos_exp.models.transfer1.denoise import tile_gain
from cosmos_exp.models.transfer1.embeddings import sincos_positions
from cosmos_exp.models.transfer1.transformer import BASE_FPS
from cosmos_exp.sampling.res_sampler import initial_noise
from cosmos_exp.verify.goldens import NETWORK_TOLERANCE, GoldenCase, GoldenResult

EXACT, ONE_LEVEL = 0.0, 1.0
BFLOAT16_TOLERANCE = 5e-4  # recorded in bfloat16: allows a few roundings to the other side


def helper_results(case: GoldenCase) -> Iterator[GoldenResult]:
    """Every recorded output of a helpers case."""
    for key in sorted(case.tensors):
        group = key.split(".")[0]
        if group == "rope":
            yield rope_result(case, key)
        elif group == "sincos":
            yield sincos_result(case, key)
        elif group == "noise":
            yield noise_result(case, key)
        elif key.startswith("timestep_embed.out"):
            yield timestep_result(case, key)
        elif key.startswith("merge."):
            golden = case.tensor(key)
            yield case.result(key, tile_gain(*golden.shape[-2:]).expand(golden.shape), NETWORK_TOLERANCE)
        elif key == "regional.out":
            yield regional_result(case)
        elif group == "weights" and key.endswith(".out") and key != "weights.map.out":
            given = {str(i): w for i, w in enumerate(case.tensor(key.removesuffix("out") + "in").tolist())}
            normalized = normalize_scalar_weights(given, reference_compat=True)
            yield case.result(key, torch.tensor(list(normalized.values())), BFLOAT16_TOLERANCE)
        elif key == "weights.map.out":
            yield from map_results(case)
        elif not is_input(key):
            raise UserError(f"golden case {case.name}: nothing here corresponds to {key!r}")


def is_input(key: str) -> bool:
    """Whether a tensor of a helpers case feeds another comparison."""
    return bool(
        re.fullmatch(r"timestep_embed\.in|regional\.(q|k|v|rk|rv|masks_RS)|weights\..*\.in(\d+_T?HW)?", key)
        or key == "weights.map.resized_latent"
    )


def rope_result(case: GoldenCase, key: str) -> GoldenResult:
    """The angle table of a token grid. Grid, fps and ratios are read off its slowest columns, then all is compared."""
    angles = case.tensor(key).flatten(1)
    head_dim = angles.shape[1]
    space = head_dim // 6 * 2
    dims = (head_dim - 2 * space, space, space)
    axes = angles[:, : head_dim // 2].split([d // 2 for d in dims], dim=1)
    frames, rows, columns = (len(axis[:, 0].unique()) for axis in axes)
    times = axes[0][:, 0]
    fps = round(BASE_FPS / times.unique()[1].item(), 3) if frames > 1 else BASE_FPS
    time_scale, row_scale, column_scale = (extrapolation_ratio(axis, dim) for axis, dim in zip(axes, dims))
    cos, sin = rope_table(
        head_dim,
        (frames, rows, columns),
        scale=(time_scale, row_scale, column_scale),
        fps=fps,
        num_views=len(angles) // (frames * rows * columns),
    )
    return case.result(
        key, torch.stack([cos, sin]), NETWORK_TOLERANCE, golden=torch.stack([angles.cos(), angles.sin()])
    )


def extrapolation_ratio(axis: Tensor, dim: int) -> float:
    """Ratio of one axis: its second frequency is (10000 ratio^(dim/(dim-2)))^(-2/dim)."""
    last = axis[axis[:, 0].argmax()].double()
    if last[0] == 0:
        return 1.0
    base = (last[1] / last[0]).item() ** (-dim / 2)
    return round((base / 10000) ** ((dim - 2) / dim), 5)


def sincos_result(case: GoldenCase, key: str) -> GoldenResult:
    """The fixed position table [1,V*T,h,w,D]; views are counted by the frames at time 0."""
    golden = case.tensor(key)
    _, frames, rows, columns, width = golden.shape
    views = int((golden[0, :, 0, 0, 0] == 0).sum())
    table = sincos_positions(width, (frames // views, rows, columns), num_views=views)
    return case.result(key, table.reshape(golden.shape), NETWORK_TOLERANCE)


def noise_result(case: GoldenCase, key: str) -> GoldenResult:
    seed = re.search(r"seed(\d+)", key)
    if seed is None:
        raise UserError(f"golden case {case.name}: {key!r} does not name its seed")
    return case.result(key, initial_noise(case.tensor(key).shape, int(seed[1])), EXACT)


def timestep_result(case: GoldenCase, key: str) -> GoldenResult:
    embed = Timesteps(case.tensor(key).shape[-1], flip_sin_to_cos=True, downscale_freq_shift=0.0)
    return case.result(key, embed(case.tensor("timestep_embed.in")), NETWORK_TOLERANCE)


def regional_result(case: GoldenCase) -> GoldenResult:
    """Recorded tokens-first [S,B,heads,dim]; regions first of all."""
    query, key, value = (case.tensor(f"regional.{name}").permute(1, 2, 0, 3) for name in "qkv")
    keys, values = (case.tensor(f"regional.r{name}").permute(0, 2, 3, 1, 4) for name in ("k", "v"))
    masks = case.tensor("regional.masks_RS").bool()
    texts = region_texts([Region(row, mask) for row, mask in zip(torch.arange(len(masks)), masks)])
    if texts is None:
        raise UserError(f"golden case {case.name}: regional.masks_RS is empty")
    own = (RegionKeys(keys[row], values[row], 0, tokens) for row, tokens in zip(texts.texts, texts.tokens))
    out = blend(attend(query, key, value), query, Regions(tuple(own), texts.rest))
    return case.result("regional.out", out.permute(2, 0, 1, 3).flatten(2), NETWORK_TOLERANCE)


def map_results(case: GoldenCase) -> Iterator[GoldenResult]:
    """Normalized weight maps, then resized to the patch grid.

    A control without a recorded map had a scalar weight, which is read off pixels where nothing was scaled down.
    """
    golden = case.tensor("weights.map.out")
    given = {
        int(m[1]): case.tensor(m[0]) for key in case.tensors if (m := re.fullmatch(r"weights\.map\.in(\d+)_T?HW", key))
    }
    weights: dict[str, ControlWeight] = {
        str(i): given[i] if i in given else golden[i].max().item() for i in range(len(golden))
    }
    frames, rows, columns = golden.shape[-3:]
    normalized = normalize_weight_maps(weights, (frames, rows, columns), reference_compat=True)
    stacked = torch.stack(list(normalized.values())).reshape(golden.shape)
    yield case.result("weights.map.out", stacked, BFLOAT16_TOLERANCE)
    if case.has("weights.map.resized_latent"):
        resized = case.tensor("weights.map.resized_latent")
        frames, rows, columns = resized.shape[-3:]
        ours = torch.stack([to_patch_grid(weight, (frames, rows, columns))[0] for weight in normalized.values()])
        yield case.result("weights.map.resized_latent", ours.reshape(resized.shape), BFLOAT16_TOLERANCE)


def preprocess_results(case: GoldenCase) -> Iterator[GoldenResult]:
    """Edge and blur presets on the recorded clip; errors are the largest difference in levels."""
    frames = case.tensor("in.video_CTHW").permute(1, 2, 3, 0).contiguous().numpy()
    thresholds = case.config.get("canny", CANNY_THRESHOLDS)
    for key in sorted(k for k in case.tensors if not k.startswith("in.")):
        control, strength = key.split(".", 1)
        if control == "edge" and strength in thresholds:
            yield level_result(case, key, canny(frames, *thresholds[strength]), EXACT)
        elif control == "vis":
            yield level_result(case, key, vis(frames, strength), ONE_LEVEL)
        else:
            raise UserError(f"golden case {case.name}: nothing here corresponds to {key!r}")


def level_result(case: GoldenCase, key: str, frames: np.ndarray, tolerance: float) -> GoldenResult:
    golden = case.tensor(key).permute(1, 2, 3, 0).int()
    return GoldenResult(case.name, key, (torch.from_numpy(frames).int() - golden).abs().max().item(), tolerance)
