"""Preconditioning, and frames that are given."""

from __future__ import annotations

import torch
from helpers.tensors import draw

from cosmos_exp.models.transfer1.config import DiTConfig
from cosmos_exp.models.transfer1.control import ControlledDiT
from cosmos_exp.models.transfer1.edm import Denoiser, FrameCondition, edm_coefficients, training_loss_weight
from cosmos_exp.models.transfer1.transformer import DiT

CONFIG = DiTConfig(
    model_channels=24,
    num_blocks=1,
    num_heads=2,
    text_channels=8,
    adaln_lora_dim=4,
    max_size=(8, 16, 16),
    condition_mask=True,
)


def denoiser() -> Denoiser:
    torch.manual_seed(0)
    net = Denoiser(ControlledDiT(DiT(CONFIG), {}))
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return net


def test_coefficients_keep_unit_variance():
    """The defining properties: input and training target have unit variance for data of deviation sigma_data."""
    sigma = torch.logspace(-3, 2, 11, dtype=torch.float64)
    c = edm_coefficients(sigma)
    torch.testing.assert_close(c.c_in**2 * (sigma**2 + 0.25), torch.ones_like(sigma))
    target = ((1 - c.c_skip) ** 2 * 0.25 + c.c_skip**2 * sigma**2) / c.c_out**2
    torch.testing.assert_close(target, torch.ones_like(sigma))
    torch.testing.assert_close(training_loss_weight(sigma) * c.c_out**2, torch.ones_like(sigma))


def test_an_untrained_net_predicts_c_skip_x():
    x, sigma = draw(2, 16, 2, 4, 4), torch.tensor([0.3, 20.0])
    net = Denoiser(ControlledDiT(DiT(CONFIG), {}))
    x0 = net(x, sigma, draw(2, 3, 8), {}, {})
    torch.testing.assert_close(x0, edm_coefficients(sigma).c_skip.reshape(2, 1, 1, 1, 1) * x)


def test_each_sample_has_its_own_noise_level():
    net = denoiser()
    x, text, sigma = draw(2, 16, 2, 4, 4), draw(2, 3, 8), torch.tensor([0.3, 20.0])
    together = net(x, sigma, text, {}, {})
    for i in range(2):
        alone = net(x[i : i + 1], sigma[i : i + 1], text[i : i + 1], {}, {})
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-4)


def test_given_frames_come_back_and_change_the_others():
    net = denoiser()
    x, text, latent = draw(1, 16, 3, 4, 4), draw(1, 3, 8), draw(1, 16, 3, 4, 4, seed=1)
    given = torch.tensor([1.0, 0.0, 0.0]).reshape(1, 1, 3, 1, 1)
    sigma = torch.tensor([5.0])
    x0 = net(x, sigma, text, {}, {}, condition=FrameCondition(latent, given))
    torch.testing.assert_close(x0[:, :, 0], latent[:, :, 0])
    without = net(x, sigma, text, {}, {}, condition=FrameCondition(latent, torch.zeros_like(given)))
    assert not torch.allclose(x0[:, :, 1:], without[:, :, 1:])
    other_noise = x.clone()
    other_noise[:, :, 0] += 1
    same = net(other_noise, sigma, text, {}, {}, condition=FrameCondition(latent, given))
    torch.testing.assert_close(same, x0)


def test_the_network_sees_given_frames_at_the_augmentation_level():
    """c_in * a equals c_in(sigma_a) * (latent + sigma_a noise), whatever the step's own noise level."""
    net = denoiser()
    seen = []
    net.net.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    x, latent, noise = (draw(1, 16, 2, 4, 4, seed=s) for s in range(3))
    condition = FrameCondition(latent, torch.ones(1, 1, 2, 1, 1), noise, augment_sigma=0.1)
    for sigma in (0.2, 40.0):
        net(x, torch.tensor([sigma]), None, {}, {}, condition=condition)
    expected = (latent + 0.1 * noise) / (0.1**2 + 0.25) ** 0.5
    for value in seen:
        torch.testing.assert_close(value, expected)


def test_given_frames_are_free_once_cleaner_than_the_augmentation():
    net = denoiser()
    x, text, latent = draw(1, 16, 2, 4, 4), draw(1, 3, 8), draw(1, 16, 2, 4, 4, seed=1)
    given = torch.ones(1, 1, 2, 1, 1)
    x0 = net(x, torch.tensor([0.05]), text, {}, {}, condition=FrameCondition(latent, given, x, augment_sigma=0.1))
    assert not torch.allclose(x0, latent)
