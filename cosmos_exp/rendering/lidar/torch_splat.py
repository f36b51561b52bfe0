"""Splatting of LiDAR points on a torch device such as a GPU; the same formula as `splat.splat_depth`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from cosmos_exp.rendering.lidar.splat import FAR, RADIUS, SHARPNESS


def splat_depth(
    points: Sequence[np.ndarray], weights: Sequence[float], *, size: tuple[int, int], ftheta: bool, lens: np.ndarray,
    camera_to_world: np.ndarray, device: str,
) -> np.ndarray:  # fmt: skip
    """[H,W] float64 metres, 0 where no point is near. size: (H, W). lens: the result of
    `splat.projection_parameters`."""
    height, width = size
    pose = torch.as_tensor(np.asarray(camera_to_world, np.float64), device=device)
    world = torch.cat([torch.as_tensor(chunk, device=device) for chunk in points])
    weight = torch.cat([torch.full((len(chunk),), w, dtype=torch.float64) for chunk, w in zip(points, weights)])
    local = (world - pose[:3, 3]) @ pose[:3, :3]
    front = local[:, 2] > 0
    local, weight = local[front], weight.to(device)[front]
    if not len(local):
        return np.zeros(size)
    z = local[:, 2].clamp(max=FAR)
    weight = weight / ((1 + z) ** (SHARPNESS / torch.log1p(z.max())) + 1e-7)
    u, v = _project_ftheta(local, lens) if ftheta else _project_pinhole(local, lens)
    sums = torch.zeros(2, height * width, dtype=torch.float64, device=device)
    for down in range(-RADIUS, RADIUS + 1):
        for across in range(-RADIUS, RADIUS + 1):
            column, row = u.floor() + across, v.floor() + down
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            squares = (u - column - 0.5) ** 2 + (v - row - 0.5) ** 2
            share = (weight * torch.exp(-squares / 2))[inside]
            pixel = (row * width + column)[inside].long()
            sums[0].index_add_(0, pixel, share)
            sums[1].index_add_(0, pixel, share * local[inside, 2])
    depth = torch.where(sums[0] > 0, sums[1] / sums[0], 0.0)
    return depth.reshape(size).cpu().numpy()


def _project_pinhole(points: torch.Tensor, lens: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    fx, fy, cx, cy = lens.tolist()
    return fx * points[:, 0] / points[:, 2] + cx, fy * points[:, 1] / points[:, 2] + cy


def _project_ftheta(points: torch.Tensor, lens: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    *poly, max_angle, at_max, slope, cx, cy, c, d, e = lens.tolist()
    across = torch.hypot(points[:, 0], points[:, 1])
    angle = torch.atan2(across, points[:, 2])
    radius = torch.zeros_like(angle)
    for coefficient in reversed(poly):
        radius = radius * angle + coefficient
    radius = torch.where(angle <= max_angle, radius, at_max + (angle - max_angle) * slope)
    scale = torch.where(across > 0, radius / across, 0.0)
    x, y = points[:, 0] * scale, points[:, 1] * scale
    return c * x + d * y + cx, e * x + y + cy
