"""What makes a network faster: compiled element-wise work, 8-bit linear layers and attention."""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
import torch.nn.functional as F
from helpers.tensors import draw, error

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.config import SpeedConfig
from cosmos_exp.models.dit.step_cache import StepCache
from cosmos_exp.models.kernels import attention, float8
from cosmos_exp.models.kernels.float8 import KINDS, LARGE_LINEARS, Float8Linear
from cosmos_exp.models.kernels.fused import EAGER, FLOAT8, quantize_rows
from cosmos_exp.models.kernels.speed import ATTENTION, LINEARS, Speed
from cosmos_exp.models.kernels.te_linear import TELinear, engine_for
from cosmos_exp.models.transfer1.config import DiTConfig
from cosmos_exp.models.transfer1.control import ControlEncoder, ControlledDiT
from cosmos_exp.models.transfer1.edm import Denoiser
from cosmos_exp.models.transfer1.generation import speed_config
from cosmos_exp.models.transfer1.transformer import DiT

CONFIG = DiTConfig(
    model_channels=64, num_blocks=3, num_heads=2, text_channels=16, adaln_lora_dim=4, max_size=(8, 16, 16)
)
MULTI = replace(CONFIG, condition_mask=True, extra_pos="sincos", num_views=2, view_channels=6)


def denoiser(config: DiTConfig, speed: Speed | None = None) -> Denoiser:
    torch.manual_seed(0)
    net = ControlledDiT(DiT(config), {"hdmap": ControlEncoder(config.control(hint_channels=16, num_blocks=1))})
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    for trunk in (net.base, net.controls["hdmap"]):
        trunk.apply_speed(speed or Speed(), "cpu")
    return Denoiser(net).eval()


def evaluate(net: Denoiser, config: DiTConfig, cache: StepCache | None = None, sigma: float = 2.0, seed: int = 0):
    """x0 of two prompts, [2, 16, V*T, 4, 6]."""
    frames = 2 * config.num_views
    x, hints = draw(1, 16, frames, 4, 6, seed=seed), {"hdmap": draw(1, 16, frames, 4, 6, seed=7)}
    with torch.inference_mode():
        clip = net.prepare(x, hints)
        prompts = [net.net.prepare_text(draw(1, config.num_views * 20, 16, seed=s), clip) for s in (1, 2)]
        return torch.cat(net.branches(x, sigma, prompts, clip, {"hdmap": 0.8}, cache=cache))


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler for torch.compile on a CPU")
@pytest.mark.parametrize("config", [CONFIG, MULTI], ids=["single", "multi"])
def test_compiled_element_wise_work_gives_the_same_numbers(config):
    expected = evaluate(denoiser(config), config)
    assert error(evaluate(denoiser(config, Speed(compile=True)), config), expected) < 2e-6


@pytest.mark.parametrize("kernel", ["auto", "math", "flash"])
def test_every_attention_kernel_of_this_machine_gives_the_same_numbers(kernel):
    query, key, value = (draw(1, 2, 30, 16, seed=seed) for seed in range(3))
    expected = torch.softmax(query @ key.mT / 4, dim=-1) @ value
    assert error(attention.attend(query, key, value, kernel), expected) < 1e-6


def test_the_kernels_of_the_config_are_those_there_are():
    assert (*attention.KERNELS, "fp8") == ATTENTION
    assert ("plain", *KINDS) == LINEARS
    with pytest.raises(UserError, match="did you mean 'flash'"):
        Speed(attention="flsh")


@pytest.mark.parametrize(
    ("given", "changing"),
    [
        ({}, {}),
        ({"attention": "flash", "compile": True}, {}),
        ({"linears": "fp8"}, {"speed": {"linears": "fp8"}}),
        (
            {"attention": "fp8", "linears": "te"},
            {"speed": {"attention": "fp8", "linears": "te", "attention_version": 2}},
        ),
    ],
    ids=["exact", "rounding", "fp8", "te"],
)
def test_the_key_of_a_result_has_what_works_on_eight_bits(given, changing):
    assert speed_config(SpeedConfig(**given)) == changing


def test_eight_bit_rows_keep_their_largest_value_and_their_zeros():
    x = draw(3, 32)
    x[1] = 0
    rows = quantize_rows(x)
    assert rows.values.dtype == FLOAT8 and rows.scale.shape == (3, 1)
    back = rows.dequantized(torch.float32)
    torch.testing.assert_close(back.abs().amax(dim=1), x.abs().amax(dim=1))
    assert not back[1].any() and error(back, x) < 0.04


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_eight_bit_linear_layer_is_near_the_real_one(dtype):
    weight, x = draw(48, 32), draw(2, 5, 32, seed=1)
    layer = Float8Linear(weight.to(dtype))
    result = layer(x.to(dtype))
    assert result.shape == (2, 5, 48) and result.dtype == dtype
    assert 0.005 < error(result, F.linear(x, weight)) < 0.06
    assert torch.equal(layer(quantize_rows(x.to(dtype))), result)


def test_transformer_engine_is_not_for_a_cpu():
    with pytest.raises(UserError, match="needs a CUDA device and was given cpu; speed"):
        denoiser(CONFIG, Speed(linears="te"))
    with pytest.raises(UserError, match="multiples of 32"):
        TELinear(draw(48, 32))


@pytest.mark.skipif(find_spec("transformer_engine") is not None, reason="Transformer Engine is installed here")
def test_a_missing_transformer_engine_is_told_with_what_brings_it():
    with pytest.raises(UserError, match=r"--no-build-isolation 'cosmos-exp\[te\]', or speed.linears=fp8"):
        engine_for(torch.device("cuda"))


def test_eight_bit_attention_is_near_the_real_one_and_needs_no_look_at_queries_and_keys():
    query, key, value = (draw(1, 2, 60, 32, seed=seed) for seed in range(3))
    query, key = (F.rms_norm(x, (32,)) for x in (query, key))
    expected = F.scaled_dot_product_attention(query, key, value)
    result = float8.attend(query, key, value, (32**0.5, 32**0.5)).total(torch.float32)
    assert 0.005 < error(result, expected) < 0.08


def test_eight_bits_of_attention_are_spent_on_what_differs_between_tokens():
    query, key = (F.rms_norm(draw(1, 2, 60, 32, seed=seed), (32,)) for seed in range(2))
    value = draw(1, 2, 60, 32, seed=2)
    expected = F.scaled_dot_product_attention(query, key, value)
    shifted = float8.attend(query, key, value + 100, (32**0.5, 32**0.5)).total(torch.float32) - 100
    assert error(shifted, expected) < 0.08


def test_sums_of_tensor_cores_need_values_without_a_common_mean():
    """As the emulated sum falls short: products aligned to the largest exponent, 13 bits below it, the rest cut off."""

    def summed(values: torch.Tensor) -> torch.Tensor:
        total = torch.zeros(values.shape[1], dtype=torch.float64)
        for part in values.double().split(32):
            terms = torch.cat([total[None], part])
            quantum = 2.0 ** (terms.abs().amax(dim=0).clamp(min=1e-30).log2().floor() - 13)
            total = ((terms / quantum).trunc() * quantum).sum(dim=0)
        return total

    value = draw(1, 1, 16384, 8, seed=0) + 1
    query, key = torch.zeros(1, 1, 1, 8), torch.zeros(1, 1, 16384, 8)  # all tokens have the same probability
    exact = value.mean(dim=2)[0, 0]
    assert error(summed(value[0, 0]) / 16384, exact) > 0.1
    attended = float8.attend(query, key, value, (1.0, 1.0))
    centred, _ = EAGER.centre(value)
    assert error(summed(centred[0, 0]) / 16384 + attended.mean[0, 0, 0], exact) < 0.01
    assert error(attended.total(torch.float32)[0, 0, 0], exact) < 0.01


@pytest.mark.parametrize(
    "speed", [Speed(linears="fp8"), Speed(attention="fp8"), Speed("fp8", "fp8")], ids=["linears", "attention", "both"]
)
@pytest.mark.parametrize("config", [CONFIG, MULTI], ids=["single", "multi"])
def test_a_network_on_eight_bits_stays_near_itself(config, speed):
    exact = denoiser(config)
    net = denoiser(config, speed)
    kinds = {
        name: isinstance(net.net.base.transformer_blocks[1].get_submodule(name), Float8Linear) for name in LARGE_LINEARS
    }
    assert set(kinds.values()) == {speed.linears == "fp8"}
    assert 1e-4 < error(evaluate(net, config), evaluate(exact, config)) < 0.15


def test_the_cache_reuses_a_step_like_the_last_and_computes_one_that_is_not():
    net, cache = denoiser(CONFIG), StepCache(0.1)
    first = evaluate(net, CONFIG, cache)
    assert torch.equal(first, evaluate(net, CONFIG)) and (cache.full, cache.reused) == (1, 0)
    x, hints = draw(1, 16, 2, 4, 6), {"hdmap": draw(1, 16, 2, 4, 6, seed=7)}
    with torch.inference_mode():
        clip = net.prepare(x, hints)
        prompts = [net.net.prepare_text(draw(1, 20, 16, seed=s), clip) for s in (1, 2)]
        cache = StepCache(0.1)

        def step(x, sigma, which=prompts, cache=cache):
            return torch.cat(net.branches(x, sigma, which, clip, {"hdmap": 0.8}, cache=cache))

        step(x, 2.0)
        again = step(x, 2.0)
        assert (cache.full, cache.reused) == (1, 1) and error(again, step(x, 2.0, cache=None)) < 1e-6
        near = step(1.001 * x, 1.999)
        assert (cache.full, cache.reused) == (1, 2)
        assert 1e-6 < error(near, step(1.001 * x, 1.999, cache=None)) < 0.01
        step(draw(1, 16, 2, 4, 6, seed=3), 0.1)
        assert (cache.full, cache.reused) == (2, 2)
        step(x, 0.1, prompts[:1])
        step(x, 0.1)  # of the second prompt nothing is known
        assert cache.reused == 2
        cache.reset()
        step(x, 0.1)
        assert cache.reused == 2
