"""On a GPU: its kernels give what the CPU's do."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from helpers.tensors import draw, error

from cosmos_exp.models.dit.offload import Offload, Packed, tensors
from cosmos_exp.models.dit.regional import Region, RegionKeys, Regions, blend
from cosmos_exp.models.kernels import attention, float8
from cosmos_exp.models.kernels.float8 import Float8Linear
from cosmos_exp.models.kernels.speed import Speed
from cosmos_exp.models.kernels.te_linear import TELinear
from cosmos_exp.models.transfer1.config import DiTConfig
from cosmos_exp.models.transfer1.control import ControlEncoder, ControlledDiT
from cosmos_exp.models.transfer1.denoise import guided
from cosmos_exp.models.transfer1.edm import Denoiser
from cosmos_exp.models.transfer1.transformer import DiT
from cosmos_exp.sampling.sampler_params import SamplerParams

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
needs_cudnn_front_end = pytest.mark.skipif(importlib.util.find_spec("cudnn") is None, reason="the extra fp8 is missing")
needs_transformer_engine = pytest.mark.skipif(
    importlib.util.find_spec("transformer_engine") is None, reason="the extra te is missing"
)

SINGLE = DiTConfig(
    model_channels=256, num_blocks=3, num_heads=2, text_channels=64, adaln_lora_dim=16, max_size=(8, 32, 32)
)
MULTI = replace(SINGLE, condition_mask=True, extra_pos="sincos", num_views=2, view_channels=6)


@pytest.mark.parametrize("kernel", ["auto", "cudnn", "flash", "efficient", "math"])
def test_every_kernel_gives_the_same_attention(kernel):
    query, key, value = (draw(1, 2, 384, 128, seed=seed).bfloat16() for seed in range(3))
    expected = F.scaled_dot_product_attention(query.float(), key.float(), value.float())
    assert error(attention.attend(query.cuda(), key.cuda(), value.cuda(), kernel), expected) < 0.01


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.01)])
def test_zero_keys_weigh_as_much_as_if_they_were_there(dtype, tolerance):
    query, key, value = draw(2, 3, 50, 128), draw(2, 3, 42, 128, seed=1), draw(2, 3, 42, 128, seed=2)
    nothing = torch.zeros(2, 3, 470, 128)
    expected = F.scaled_dot_product_attention(query, torch.cat([key, nothing], 2), torch.cat([value, nothing], 2))
    given = (x.to("cuda", dtype) for x in (query, key, value))
    assert error(attention.attend_beside_zeros(*given, 470), expected) < tolerance


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.01)])
def test_regions_are_blended_as_on_the_cpu(dtype, tolerance):
    def blended(device: str, dtype: torch.dtype):
        keys = []
        for seed, (rows, zeros, tokens) in enumerate([(9, 31, range(20, 60)), (23, 0, range(50, 90))]):
            key, value = (draw(1, 2, rows, 128, seed=10 * seed + i).to(device, dtype) for i in (1, 2))
            keys.append(RegionKeys(key, value, zeros, torch.tensor(tokens, device=device)))
        rest = torch.ones(100, 1, device=device)
        rest[20:90] = 0.5
        regions = Regions(tuple(keys), rest)
        return blend(*(draw(1, 2, 100, 128, seed=seed).to(device, dtype) for seed in (7, 8)), regions)

    assert error(blended("cuda", dtype), blended("cpu", torch.float32)) < tolerance


@needs_cudnn_front_end
def test_eight_bit_attention_gives_what_rounding_on_the_cpu_does():
    query, key, value = (draw(1, 512, 2, 128, seed=seed).transpose(1, 2) for seed in range(3))
    query, key = (F.rms_norm(x, (128,)) for x in (query, key))
    exact = F.scaled_dot_product_attention(query, key, value)
    bound = (128**0.5, 128**0.5)
    rounded = float8.attend(query, key, value, bound).total(torch.float32)
    result = float8.attend(query.cuda().bfloat16(), key.cuda().bfloat16(), value.cuda().bfloat16(), bound)
    assert error(result.total(torch.float32), exact) < 0.08
    assert error(result.total(torch.float32), rounded) < 0.08


@needs_cudnn_front_end
def test_eight_bit_attention_of_many_tokens_does_not_fall_short():
    query, key, value = (draw(1, 57344, 1, 128, seed=seed).transpose(1, 2).cuda().bfloat16() for seed in range(3))
    query, key = (F.rms_norm(x, (128,)) for x in (query, key))
    value = value + 1
    exact = F.scaled_dot_product_attention(query[:, :, :512], key, value).cpu()
    result = float8.attend(query, key, value, (128**0.5, 128**0.5)).total(torch.float32)[:, :, :512].cpu()
    assert error(result, exact.float()) < 0.02


@pytest.mark.parametrize("rows", [32, 25])
def test_eight_bit_linear_layers_give_what_they_do_on_the_cpu(rows):
    weight, x = draw(256, 128).bfloat16(), draw(1, rows, 128, seed=1).bfloat16()
    expected = Float8Linear(weight)(x).float()
    assert error(Float8Linear(weight.cuda())(x.cuda()), expected) < 0.01


@needs_transformer_engine
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [32, 25])
def test_a_layer_of_transformer_engine_is_near_the_real_one(rows, dtype):
    weight, x = draw(256, 128), draw(2, rows, 128, seed=1)
    layer = TELinear(weight.to("cuda", dtype))
    given = x.to("cuda", dtype)
    result = layer(given)
    assert result.shape == (2, rows, 256) and result.dtype == dtype
    assert 0.005 < error(result, F.linear(x, weight)) < 0.06
    with torch.inference_mode():
        assert torch.equal(layer(given), result)
    assert torch.equal(layer.to("cuda")(given), result)


@needs_transformer_engine
def test_a_weight_of_transformer_engine_has_one_byte_a_value_and_can_leave():
    layer, x = TELinear(draw(256, 128).cuda().bfloat16()), draw(64, 128, seed=1).cuda().bfloat16()
    expected, held = layer(x), list(tensors(layer))
    assert 256 * 128 <= sum(tensor.nbytes for tensor in held) < 1.1 * 256 * 128
    packed = Packed(held, torch.device("cuda"))
    assert not any(tensor.numel() for tensor in tensors(layer))
    packed.attach(packed.bytes.cuda())
    assert torch.equal(layer(x), expected)


@pytest.mark.parametrize(
    ("speed", "tolerance"),
    [
        (Speed(), 0.02),
        (Speed(compile=True), 0.02),
        (Speed(attention="flash", compile=True), 0.02),
        (Speed(linears="fp8", compile=True), 0.2),
        pytest.param(Speed("fp8", "fp8", compile=True), 0.2, marks=needs_cudnn_front_end),
        pytest.param(Speed(linears="te", compile=True), 0.2, marks=needs_transformer_engine),
        pytest.param(Speed("fp8", "te", compile=True), 0.2, marks=[needs_cudnn_front_end, needs_transformer_engine]),
    ],
    ids=["plain", "compiled", "flash", "fp8 linears", "fp8 both", "te linears", "fp8 attention, te linears"],
)
@pytest.mark.parametrize("config", [SINGLE, MULTI], ids=["single", "multi"])
@pytest.mark.parametrize("offload", [False, True], ids=["", "offload"])
def test_a_guided_evaluation_on_the_gpu_is_that_of_the_cpu(config, speed, tolerance, offload):
    torch.manual_seed(0)
    net = ControlledDiT(DiT(config), {"hdmap": ControlEncoder(config.control(hint_channels=16, num_blocks=2))})
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    frames = 2 * config.num_views
    x, hint = draw(1, 16, frames, 16, 24), draw(1, 16, frames, 16, 24, seed=1)
    text = draw(1, config.num_views, 40, 64, seed=2)
    text[:, :, 25:] = 0
    places = torch.zeros(1, 1, frames, 8, 12, dtype=torch.bool)
    places[..., 2:5] = True
    regional = config.num_views == 1  # regional prompts guide the single view only
    results = []
    for device, dtype in (("cpu", torch.float32), ("cuda", torch.bfloat16)):
        net.to(dtype)
        if device == "cuda":
            net.base.apply_speed(speed, device)
            net.controls["hdmap"].apply_speed(speed, device)
            if offload:
                waiting = Offload(torch.device("cuda", 0))
                net.base.offload_to(waiting)
                net.controls["hdmap"].offload_to(waiting)
            net.to(device)
        denoiser = Denoiser(net).eval()
        with torch.inference_mode():
            clip = denoiser.prepare(x.to(device), {"hdmap": hint.to(device, dtype)})
        given = text.flatten(1, 2).to(device, dtype)
        regions = [Region(given.flip(1), places.to(device))] if regional else []
        options = {"sampler": SamplerParams(num_steps=35, guidance=1.0), "weights": {"hdmap": 0.7}, "regions": regions}
        results.append(guided(denoiser, clip, text=given, negative_text=None, **options)(x.to(device), 2.0))
    assert error(results[1], results[0]) < tolerance
