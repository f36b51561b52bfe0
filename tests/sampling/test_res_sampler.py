"""The sampler against problems with known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cosmos_exp.common.errors import UserError
from cosmos_exp.sampling.res_sampler import initial_noise, res_sample
from cosmos_exp.sampling.sampler_params import SamplerParams, noise_levels, sampler_problems


def gaussian(sigma_data):
    """Exact denoiser of data drawn from N(0, sigma_data^2)."""
    return lambda x, sigma: x * sigma_data**2 / (sigma_data**2 + sigma**2)


def exact_final(x, sigma_data, sigma_max, sigma_min):
    """Probability-flow solution for that data, and the denoiser's answer at its end."""
    scale = ((sigma_data**2 + sigma_min**2) / (sigma_data**2 + sigma_max**2)) ** 0.5
    return gaussian(sigma_data)(x * scale, sigma_min)


def test_noise_levels():
    levels = noise_levels(4, 80.0, 0.002)
    assert len(levels) == 5
    assert levels[0] == pytest.approx(80.0) and levels[-1] == pytest.approx(0.002)
    roots = np.array(levels) ** (1 / 7)
    assert np.allclose(np.diff(roots), (0.002 ** (1 / 7) - 80 ** (1 / 7)) / 4)


def test_a_constant_answer_is_the_result():
    target = torch.randn(3, dtype=torch.float64)
    asked = []

    def denoise(x, sigma):
        asked.append((x, sigma))
        return target

    levels = noise_levels(5)
    assert torch.equal(res_sample(denoise, torch.randn(3, dtype=torch.float64) * 80, levels), target)
    assert [sigma for _, sigma in asked] == levels
    first, second = asked[0][0], asked[1][0]
    ratio = levels[1] / levels[0]
    torch.testing.assert_close(second, ratio * first + (1 - ratio) * target)


def test_second_order_on_gaussian_data():
    """Twice the steps, about a quarter of the error."""
    x = torch.tensor([30.0, -100.0], dtype=torch.float64)
    exact = exact_final(x, 0.5, 80.0, 0.01)
    errors = [
        (res_sample(gaussian(0.5), x, noise_levels(n, 80.0, 0.01)) - exact).abs().max().item() for n in (40, 80, 160)
    ]
    assert errors[0] / exact.abs().max().item() < 0.05
    assert 3 < errors[0] / errors[1] < 6
    assert 3 < errors[1] / errors[2] < 6


def test_the_denoiser_sees_the_given_dtype():
    seen = []

    def denoise(x, sigma):
        seen.append(x.dtype)
        return x * 0

    res_sample(denoise, torch.randn(2, dtype=torch.float32), noise_levels(3))
    assert seen == [torch.float32] * 4


def test_progress_counts_evaluations():
    steps = []
    res_sample(lambda x, sigma: x, torch.zeros(1), noise_levels(3), lambda done, total: steps.append((done, total)))
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_noise_depends_on_the_seed_alone():
    noise = initial_noise((1, 16, 2, 3, 4), 7)
    assert torch.equal(noise, initial_noise((1, 16, 2, 3, 4), 7))
    assert not torch.equal(noise, initial_noise((1, 16, 2, 3, 4), 8))
    assert np.array_equal(noise.flatten()[:3], np.random.RandomState(7).standard_normal(3).astype(np.float32))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_steps": 0}, "sampler.num_steps=0: must be 1 to 1000"),
        ({"num_steps": 1001}, "sampler.num_steps=1001: must be 1 to 1000"),
        ({"guidance": -1.0}, "sampler.guidance=-1"),
        ({"guidance": float("nan")}, "sampler.guidance=nan"),
        ({"sigma_max": 0.001}, "sampler.sigma_max=0.001"),
        ({"sigma_max": float("inf")}, "sampler.sigma_max=inf"),
        ({"guidance_interval": (2.0, 1.0)}, r"speed.guidance_interval=\[2.0, 1.0\]"),
        ({"guidance_interval": (1.0,)}, r"speed.guidance_interval=\[1.0\]"),
        ({"cache_threshold": 1.0}, "speed.cache_threshold=1: must be 0 .off. or more and less than 1"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(UserError, match=message):
        SamplerParams(**({"num_steps": 3, "guidance": 1.0} | settings))


def test_every_problem_is_reported():
    ranges = {"num_steps": 0, "guidance": -1.0, "sigma_max": 1.0, "sigma_min": 2.0}
    assert [problem.split("=")[0] for problem in sampler_problems(**ranges)] == [
        "sampler.num_steps",
        "sampler.guidance",
        "sampler.sigma_min",
    ]
    assert not list(sampler_problems(num_steps=1000, guidance=0.0, sigma_max=80.0, sigma_min=0.002))
