"""From published files to videos: conversion, tokenizer, text, sampling of all views, several ranks, offload, cache."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.published25 import WORDS

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.checkpoints.checkpoint import own_tensors
from cosmos_exp.models.dit import shared_attention
from cosmos_exp.models.dit.memory import Memory
from cosmos_exp.models.kernels.attention import attend_with_logsumexp
from cosmos_exp.models.kernels.speed import Speed
from cosmos_exp.models.transfer25.convert import published_config
from cosmos_exp.models.transfer25.model import ViewsModel
from cosmos_exp.models.transfer25.sampling import sample_views
from cosmos_exp.models.transfer25.tokenizer import VideoTokenizer
from cosmos_exp.models.transfer25.views import in_order, primary_view, view_ids
from cosmos_exp.sampling.flow import FlowParams

VIEWS = ("front_wide_120fov", "rear_tele_30fov")
STEPS = FlowParams(num_steps=3, guidance=2.0)


def inputs(model, views=VIEWS, frames=4):
    rng = torch.Generator().manual_seed(1)
    shape = (len(views), 16, frames, 4, 6)
    width = model.config["network"]["text_width"]
    texts = torch.randn((2, len(views), 24, width), generator=rng)
    hints = {"wsm": torch.randn(shape, generator=rng)}
    return hints, {"wsm": 0.7}, texts[0].bfloat16(), texts[1].bfloat16()


def sampled(model, *, seed=5, sampler=STEPS, views=VIEWS, **options):
    return sample_views(model, *inputs(model, views), sampler, seed, view_ids=view_ids(views), **options)


def test_published_files_are_converted_whole(published, model25):
    _, _, (net, tokenizer, encoder) = published
    ours = own_tensors(model25.network)
    assert all(torch.equal(ours[key], value.bfloat16().float()) for key, value in own_tensors(net).items())
    for part, given in ((model25.tokenizer, tokenizer), (model25.text_encoder, encoder)):
        assert all(torch.equal(own_tensors(part)[key], value) for key, value in own_tensors(given).items())


def test_the_negative_prompt_is_the_published_one():
    text = published_config("transfer25_auto_multiview")["contract"]["negative_prompt"]
    digest = "6d7ca93077e7e4a8417947ab03266c97dd44c9ec0d7b97fa4272ed956895239f"
    assert hashlib.sha256(text.encode()).hexdigest() == digest


def test_frames_and_latents(model25):
    video = np.random.default_rng(0).integers(0, 256, (13, 32, 48, 3), dtype=np.uint8)
    latents = model25.encode_video(video)
    assert latents.shape == (16, 4, 4, 6) and latents.dtype == torch.float32
    torch.testing.assert_close(model25.encode_video(video[:5]), latents[:, :2], atol=1e-4, rtol=1e-4)
    made = model25.decode(latents)
    assert made.shape == video.shape and made.dtype == np.uint8
    with pytest.raises(UserError, match="1 \\+ 4k, nearest 9 or 13"):
        model25.encode_video(video[:12])


def test_latents_are_normalised_by_the_statistics_of_the_autoencoder():
    tokenizer = VideoTokenizer({"base_dim": 4}).eval()
    pixels = torch.rand(1, 3, 5, 16, 16) * 2 - 1
    with torch.no_grad():
        raw = tokenizer.vae.encode(pixels).latent_dist.mode()
        ours = tokenizer.encode(pixels)
        decoded, plain = tokenizer.decode(ours), tokenizer.vae.decode(raw).sample
    assert float(ours[0, 0, 0, 0, 0]) == pytest.approx((float(raw[0, 0, 0, 0, 0]) + 0.7571) / 2.8184, rel=1e-5)
    torch.testing.assert_close(decoded, plain, atol=1e-5, rtol=1e-5)


def test_a_prompt_is_the_user_of_a_chat_and_padding_takes_part(model25):
    encoder = model25.text_encoder
    ids = encoder.tokenize(["snow street"])[0].tolist()
    start, end, padding = 1, 2, 0
    words = {word: 4 + index for index, word in enumerate(WORDS)}
    asked = [start, words["user"], words["snow"], words["street"], end]
    assert ids[0] == start and ids[1] == words["system"]
    begin = next(i for i in range(len(ids)) if ids[i : i + len(asked)] == asked)
    assert set(ids[begin + len(asked) :]) == {padding}
    embedded = model25.encode_text("snow street")
    assert embedded.shape == (24, 32) and embedded.dtype == torch.bfloat16
    layers = embedded.float().unflatten(1, (2, 16))
    torch.testing.assert_close(layers.mean(dim=2), torch.zeros(24, 2), atol=5e-3, rtol=0)
    torch.testing.assert_close(layers.std(dim=2), torch.ones(24, 2), atol=5e-3, rtol=0)
    assert embedded[-1].abs().sum() > 0


def test_order_rows_and_primary_view():
    names = ("front_tele_30fov", "cross_left_120fov", "rear_right_70fov")
    assert in_order(names) == ("rear_right_70fov", "cross_left_120fov", "front_tele_30fov")
    assert view_ids(in_order(names)) == (2, 5, 6)
    assert primary_view(names) == "rear_right_70fov" and primary_view((*names, *VIEWS)) == VIEWS[0]


def test_given_frames_come_out_nearly_as_they_are(model25):
    given = torch.randn(2, 16, 2, 4, 6)
    made = sampled(model25, first_frames=given, given=[1, 2])
    error = [(made[v, :, :n] - given[v, :, :n]).norm() / given[v, :, :n].norm() for v, n in ((0, 1), (1, 2))]
    assert max(error) < 1e-3
    assert (made[0, :, 1] - given[0, :, 1]).norm() > 0.1 * given[0, :, 1].norm()


def test_without_guidance_the_negative_text_is_not_read(model25):
    hints, weights, texts, negative = inputs(model25)
    options = {"view_ids": view_ids(VIEWS)}
    plain = replace(STEPS, guidance=0.0)
    one, other = (sample_views(model25, hints, weights, texts, n, plain, 5, **options) for n in (negative, -negative))
    assert torch.equal(one, other)
    assert not torch.equal(one, sample_views(model25, hints, weights, texts, negative, STEPS, 5, **options))


def test_the_interval_of_guidance_is_noise_over_signal():
    levels = FlowParams(35, 3.0).levels
    guided = [level for level in levels if FlowParams(35, 3.0, guidance_interval=(0.3, 10.0)).guidance_at(level)]
    assert guided == [level for level in levels if 0.3 / 1.3 <= level <= 10 / 11] and len(guided) == 22
    assert all(FlowParams(35, 3.0).guidance_at(level) for level in levels)


def test_a_map_weighs_each_view_and_place_by_itself(model25):
    hints, weights, texts, negative = inputs(model25)
    options = {"view_ids": view_ids(VIEWS)}
    plain = sample_views(model25, hints, weights, texts, negative, STEPS, 5, **options)
    whole = torch.full((1, 1, 2 * 4, 2, 3), 0.7)
    same = sample_views(model25, hints, {"wsm": whole}, texts, negative, STEPS, 5, **options)
    torch.testing.assert_close(same, plain, atol=1e-4, rtol=1e-4)
    zero = sample_views(model25, hints, {"wsm": 0 * whole}, texts, negative, STEPS, 5, **options)
    off = sample_views(model25, hints, {"wsm": 0.0}, texts, negative, STEPS, 5, **options)
    torch.testing.assert_close(zero, off, atol=1e-4, rtol=1e-4)
    first = whole.clone()
    first[:, :, 4:] = 0  # of the second view
    half = sample_views(model25, hints, {"wsm": first}, texts, negative, STEPS, 5, **options)
    near, far = ((half[view] - plain[view]).norm() for view in (0, 1))
    assert 0 < near < far


def test_a_control_of_weight_zero_is_the_base_network(model25):
    hints, _, texts, negative = inputs(model25)
    options = {"view_ids": view_ids(VIEWS)}
    off, other = ({"wsm": hints["wsm"] * factor} for factor in (1, 3))
    same = [sample_views(model25, h, {"wsm": 0.0}, texts, negative, STEPS, 5, **options) for h in (off, other)]
    assert torch.equal(*same)
    assert not torch.allclose(same[0], sampled(model25))


@pytest.mark.parametrize("memory", [Memory(offload="blocks"), Memory(resident="one", text_encoder="swap")])
def test_placement_changes_no_result(model25_folder, model25, memory):
    placed = ViewsModel.from_folder(model25_folder, memory=memory)
    placed.encode_text("snow")
    assert torch.equal(sampled(placed), sampled(model25))


@pytest.mark.parametrize(("speed", "most"), [(Speed(linears="fp8"), 0.2), (Speed(attention="fp8"), 0.2)])
def test_eight_bits_come_close(model25_folder, model25, speed, most):
    exact, ours = sampled(model25), sampled(ViewsModel.from_folder(model25_folder, speed=speed))
    assert 0 < (ours - exact).norm() / exact.norm() < most


def test_half_precision_keeps_modulation_and_head_in_float32(model25_folder, model25):
    half = ViewsModel.from_folder(model25_folder, dtype=torch.bfloat16)
    net = half.network
    assert net.dtype == torch.bfloat16 and net.proj_out.weight.dtype == torch.float32
    assert net.control("wsm").blocks[1].norm2.linear_1.weight.dtype == torch.float32
    exact = sampled(model25)
    assert (sampled(half) - exact).norm() / exact.norm() < 0.1


def test_the_step_cache_reuses_evaluations(model25, caplog):
    caplog.set_level("INFO")
    sampled(model25, sampler=replace(STEPS, num_steps=6, cache_threshold=0.9))
    assert any(
        "evaluations reused" in record.message and not record.message.startswith("step cache: 0 ")
        for record in caplog.records
    )


def test_a_wrong_folder_is_told(model25_folder, tiny_model_folder, tmp_path):
    with pytest.raises(UserError, match=r"model\.json not found"):
        ViewsModel.from_folder(tmp_path)
    with pytest.raises(UserError, match="its family is not 'transfer25'"):
        ViewsModel.from_folder(tiny_model_folder)


@pytest.mark.parametrize("differing", [(0,), (1,), (0, 2)])
def test_passes_that_differ_in_some_views_share_the_attention_of_the_others(model25, monkeypatch, differing):
    calls = []

    def counted(query, key, value):
        calls.append((query.shape[2], key.shape[2]))
        return attend_with_logsumexp(query, key, value)

    monkeypatch.setattr(shared_attention, "attend_with_logsumexp", counted)
    net, views = model25.network, 3
    rng = torch.Generator().manual_seed(2)
    x, hint = torch.randn((2, 1, 16, views * 2, 4, 6), generator=rng)
    first, second = (torch.randn((views, 24, net.config.text_width), generator=rng) for _ in range(2))
    second = torch.where(torch.tensor([v in differing for v in range(views)])[:, None, None], second, first)
    texts = [text.flatten(0, 1)[None] for text in (first, second)]
    with torch.inference_mode():
        clip = net.prepare(x, {"wsm": hint}, views=views)
        prompts = [net.prepare_text(text, clip) for text in texts]
        arguments = x, torch.tensor([700])
        made = net.branches(*arguments, prompts, clip, {"wsm": 1.0}, batched=False)
        alone = [net(*arguments, text, clip, {"wsm": 1.0}) for text in texts]
    for ours, plain in zip(made, alone, strict=True):
        torch.testing.assert_close(ours, plain, atol=2e-5, rtol=2e-5)
    own, others = (2 * 6 * count for count in (len(differing), views - len(differing)))
    among, beside = (others, others), (others, own)
    assert sorted(calls) == sorted([among, beside, beside] * 2)  # of the base net and of the control branch
    assert (made[0] - made[1]).abs().max() > 1e-3
