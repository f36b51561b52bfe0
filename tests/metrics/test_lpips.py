from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from cosmos_exp.common.errors import UserError
from cosmos_exp.config.validate import validate
from cosmos_exp.metrics import METRICS, OPTIONAL, evaluate
from cosmos_exp.metrics.lpips import BATCH, lpips, lpips_problem, video_lpips

without_packages = pytest.mark.skipif(
    bool(find_spec("torchvision") and find_spec("torchmetrics")), reason="needs them to be absent"
)


class MeanDifference:
    """What TorchMetrics' class is called with: pictures [N,3,H,W] in 0..1, in batches."""

    def reset(self) -> None:
        self.batches = []

    def update(self, img1: torch.Tensor, img2: torch.Tensor) -> None:
        assert img1.shape == img2.shape and img1.shape[1] == 3 and img1.min() >= 0 and img1.max() <= 1
        self.batches.append((img1 - img2).abs().mean(dim=(1, 2, 3)))

    def compute(self) -> torch.Tensor:
        return torch.cat(self.batches).mean()


def test_it_is_the_mean_over_frames_in_batches():
    distance = MeanDifference()
    video = np.zeros((BATCH + 1, 16, 24, 3), np.uint8)
    target = video.copy()
    target[-1] = 255  # alone in the last batch
    assert video_lpips(target, video, distance) == pytest.approx(1 / len(video))
    assert [len(batch) for batch in distance.batches] == [BATCH, 1]
    assert video_lpips(video, video, distance) == 0, "nothing remains of the video before"
    with pytest.raises(ValueError, match="differ in shape"):
        video_lpips(target[1:], video, distance)


def test_it_is_measured_where_it_is_named_alone(configure):
    assert "lpips" in OPTIONAL and "lpips" not in METRICS
    assert "lpips" not in configure().metrics.names


def test_without_a_render_in_the_style_it_is_undefined_and_needs_nothing(truth):
    assert lpips(replace(truth, targets={})) == {}


@without_packages
def test_what_it_needs_is_said_before_anything_runs(truth, configure):
    problem = lpips_problem()
    for part in ("pip install 'cosmos-exp[quality]'", "AlexNet, 233 MB, from download.pytorch.org", "torchmetrics"):
        assert part in problem
    assert [error for error in validate(configure("metrics.names=[lpips]")) if "lpips" in error] == [
        f"metrics.names: {problem}"
    ]
    with pytest.raises(UserError, match="lpips needs torchmetrics"):
        evaluate(truth, ["psnr", "lpips"])


@pytest.mark.skipif(not (find_spec("torchvision") and find_spec("torchmetrics")), reason="needs cosmos-exp[quality]")
def test_the_network_of_torchmetrics_sees_no_difference_in_the_same_picture():
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    distance = LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True)
    video = np.random.default_rng(0).integers(0, 256, (2, 72, 128, 3), np.uint8)
    assert video_lpips(video, video, distance) == 0
    assert video_lpips(255 - video, video, distance) > 0.1
