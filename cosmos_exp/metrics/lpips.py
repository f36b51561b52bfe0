"""LPIPS of the generated video to the scene rendered in its style: the distance of AlexNet's features, weighted as
people judge (Zhang et al. 2018, arXiv:1801.03924, version 0.1). Mean over the frames of a view. Lower is better, 0 for
the same picture.

Optional: TorchMetrics computes it, on the CPU, with a network that its first use downloads.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Protocol

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.threads import one_torch_thread
from cosmos_exp.metrics.types import GeneratedClip, per_view

BATCH = 8  # frames
WEIGHTS = "AlexNet, 233 MB, from download.pytorch.org"


class Distance(Protocol):
    """`LearnedPerceptualImagePatchSimilarity` of TorchMetrics."""

    def reset(self) -> None: ...

    def update(self, img1: Any, img2: Any) -> None: ...

    def compute(self) -> Any: ...


def lpips(clip: GeneratedClip) -> dict[str, float]:
    """LPIPS of each view that has a target. UserError as of `load_distance`."""
    views = [view for view in clip.videos if view in clip.targets]
    if not views:
        return {}
    distance = load_distance()
    return per_view("lpips", {view: video_lpips(clip.targets[view], clip.videos[view], distance) for view in views})


def video_lpips(target: np.ndarray, video: np.ndarray, distance: Distance) -> float:
    """Of two videos uint8 [F,H,W,3] of one shape. distance: of pictures [N,3,H,W] in 0..1."""
    import torch

    if target.shape != video.shape:
        raise ValueError(f"videos differ in shape: {target.shape} and {video.shape}")
    distance.reset()
    one_torch_thread()
    with torch.inference_mode():
        for start in range(0, len(video), BATCH):
            parts = (np.ascontiguousarray(x[start : start + BATCH].transpose(0, 3, 1, 2)) for x in (video, target))
            distance.update(*(torch.from_numpy(part).float() / 255 for part in parts))
    return float(distance.compute())


@cache
def lpips_problem() -> str | None:
    """Why it cannot be computed here, None where it can. Whether its network can be downloaded is not asked."""
    try:
        import torchmetrics.image.lpip  # noqa: F401
        import torchvision  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:  # RuntimeError: a torchvision for another build of torch
        return (
            "lpips needs torchmetrics, and torchvision in the build of the installed torch: pip install "
            f"'cosmos-exp[quality]'. Its first use downloads {WEIGHTS}. ({type(error).__name__}: {error})"
        )
    return None


@cache
def load_distance() -> Distance:
    """The network, downloaded at its first use. UserError where packages are missing or that fails."""
    if problem := lpips_problem():
        raise UserError(problem)
    import torch
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    try:
        return LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: a hash that differs
        raise UserError(
            f"lpips could not load {WEIGHTS}: {error}. Put the file into {torch.hub.get_dir()}/checkpoints, or leave "
            "lpips out of metrics.names; what was generated is in the cache, so the same command goes on from there"
        ) from error
