"""Guided sampling with a tiny model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.tensors import draw

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.dit.regional import Region
from cosmos_exp.models.transfer1.denoise import guided, tile_gain
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.models.transfer1.multi_view import sample_multi_view
from cosmos_exp.models.transfer1.single_view import first_frames_condition, noised_latent, sample_single_view
from cosmos_exp.sampling.sampler_params import SamplerParams

PARAMS = SamplerParams(num_steps=3, guidance=2.0)
GRID = (2, 4, 6)
VIEWS = 6


@pytest.fixture
def single(tiny_model):
    def sample(seed=0, sampler=PARAMS, weights=None, prompt="Snow", negative="Bad", **options):
        hints = {"hdmap": draw(16, *GRID, seed=1), "edge": draw(16, *GRID, seed=2)}
        weights = weights or {"hdmap": 0.5, "edge": 0.5}
        negative = None if negative is None else tiny_model.encode_text(negative)
        text = tiny_model.encode_text(prompt)
        return sample_single_view(tiny_model, hints, weights, text, negative, sampler, seed, **options)

    return sample


@pytest.fixture
def multi(tiny_model):
    def sample(seed=0, sampler=PARAMS, weights=None, **options):
        front, hints = draw(16, *GRID, seed=3), {"hdmap": draw(VIEWS, 16, *GRID, seed=4)}
        texts = torch.stack([tiny_model.encode_text(f"View {i}") for i in range(VIEWS)])
        return front, sample_multi_view(
            tiny_model, front, hints, weights or {"hdmap": 1.0}, texts, sampler, seed, **options
        )

    return sample


def test_single_view_is_a_function_of_its_inputs(single):
    latents = single()
    assert latents.shape == (16, *GRID) and latents.dtype == torch.float32
    assert torch.isfinite(latents).all()
    assert torch.equal(latents, single())
    others = {
        "seed": single(seed=1),
        "guidance": single(sampler=SamplerParams(num_steps=3, guidance=0.0)),
        "steps": single(sampler=SamplerParams(num_steps=4, guidance=2.0)),
        "weight": single(weights={"hdmap": 0.9, "edge": 0.1}),
        "prompt": single(prompt="Night"),
        "negative prompt": single(negative=None),
    }
    for what, other in others.items():
        assert not torch.allclose(latents, other, atol=1e-4), what


def test_the_frame_rate_is_the_models_own_where_none_is_given(tiny_model, single, multi):
    own, other = tiny_model.contract.fps, tiny_model.contract.fps / 2
    assert torch.equal(single(), single(fps=own))
    assert not torch.allclose(single(), single(fps=other), atol=1e-4)
    assert torch.equal(multi()[1], multi(fps=own)[1])
    assert not torch.allclose(multi()[1], multi(fps=other)[1], atol=1e-4)


def test_a_control_of_weight_zero_is_as_if_absent(tiny_model, single):
    zero = single(weights={"hdmap": 1.0, "edge": 0.0})
    hints = {"hdmap": draw(16, *GRID, seed=1)}
    text, negative = tiny_model.encode_text("Snow"), tiny_model.encode_text("Bad")
    absent = sample_single_view(tiny_model, hints, {"hdmap": 1.0}, text, negative, PARAMS, 0)
    torch.testing.assert_close(zero, absent)


def test_guidance_zero_does_not_read_the_negative_prompt(single):
    conditional = SamplerParams(num_steps=3, guidance=0.0)
    assert torch.equal(single(sampler=conditional), single(sampler=conditional, negative="Other"))


def test_guidance_extrapolates_from_unconditional_through_conditional(tiny_model):
    denoiser = tiny_model.single_view(["hdmap"])
    x, hints = draw(1, 16, *GRID), {"hdmap": draw(1, 16, *GRID, seed=1)}
    with torch.inference_mode():
        clip = denoiser.prepare(x, hints)
    text, negative = tiny_model.encode_text("Snow")[None], tiny_model.encode_text("Bad")[None]

    def x0(prompt, other, guidance, **options):
        options |= {"sampler": SamplerParams(num_steps=35, guidance=guidance), "weights": {"hdmap": 1.0}}
        return guided(denoiser, clip, text=prompt, negative_text=other, **options)(x, 3.0)

    cond, uncond = x0(text, None, 0.0), x0(negative, None, 0.0)
    torch.testing.assert_close(x0(text, negative, 4.0), cond + 4.0 * (cond - uncond))
    torch.testing.assert_close(x0(text, None, 4.0), cond + 4.0 * (cond - x0(None, None, 0.0)))
    merged = x0(text, negative, 4.0, merge_gain=True)
    torch.testing.assert_close(merged, x0(text, negative, 4.0) * tile_gain(*GRID[1:]))


def test_a_kept_first_evaluation_changes_no_result(tiny_model, single):
    kept, evaluated = {}, []

    def keep_first(evaluate):
        if not kept:
            kept["x0"] = evaluate()
            evaluated.append(kept["x0"].shape)
        return torch.from_numpy(kept["x0"].copy())

    first = single(sampler=SamplerParams(num_steps=3, guidance=1.0), keep_first=keep_first)
    assert torch.equal(first, single(sampler=SamplerParams(num_steps=3, guidance=1.0)))
    stronger = SamplerParams(num_steps=4, guidance=3.0)
    assert torch.equal(single(sampler=stronger, keep_first=keep_first), single(sampler=stronger))
    assert evaluated == [(2, 1, 16, *GRID)], "both passes, once"
    cached = SamplerParams(num_steps=3, guidance=1.0, cache_threshold=0.1)
    assert torch.equal(single(sampler=cached, keep_first=None), single(sampler=cached, keep_first=lambda _: 1 / 0))


def test_tile_gain_marks_the_first_row_and_column():
    gain = tile_gain(3, 4)
    assert gain[0, 0] == pytest.approx(0.990099, abs=1e-6)
    torch.testing.assert_close(gain[0, 1:], torch.full((3,), 0.9999), atol=1e-6, rtol=0)
    torch.testing.assert_close(gain[1:, 0], torch.full((2,), 0.9999), atol=1e-6, rtol=0)
    assert gain[1:, 1:].min() > 0.999998


def test_starting_from_a_video_keeps_more_of_it_at_lower_noise(single):
    start = draw(16, *GRID, seed=9)
    near = single(init_latents=start, sampler=SamplerParams(num_steps=3, guidance=0.0, sigma_max=0.05))
    far = single(init_latents=start, sampler=SamplerParams(num_steps=3, guidance=0.0, sigma_max=20.0))
    assert (near - start).norm() < 0.3 * (far - start).norm()
    assert torch.equal(noised_latent(start, 2.0, 5), noised_latent(start, 2.0, 5))


def test_reference_compat_changes_the_numbers_and_the_noise_on_a_video(single, multi):
    ours, theirs = PARAMS, replace(PARAMS, reference_compat=True)
    assert 0 < (single(sampler=ours) - single(sampler=theirs)).norm() / single().norm() < 0.1
    assert not torch.equal(multi(sampler=ours)[1], multi(sampler=theirs)[1])
    start, calm = draw(16, *GRID, seed=9), SamplerParams(num_steps=3, guidance=0.0, sigma_max=5.0)
    drawn = (
        single(init_latents=start, sampler=calm),
        single(init_latents=start, sampler=replace(calm, reference_compat=True)),
    )
    assert (drawn[0] - drawn[1]).norm() > 0.1 * drawn[0].norm()


def test_given_frames_need_a_condition_mask(single):
    with pytest.raises(UserError, match="no condition mask"):
        single(given=draw(16, 1, 4, 6))


def test_given_frames_stand_at_the_start_of_the_clip():
    given, noise = draw(16, 1, 4, 6), draw(1, 16, *GRID)
    condition = first_frames_condition(given, noise)
    assert condition.given.flatten().tolist() == [1, 0]
    torch.testing.assert_close(condition.latent[0, :, :1], given)
    assert not condition.latent[:, :, 1:].any()
    assert not first_frames_condition(None, noise).given.any()


def test_no_control(tiny_model):
    text = tiny_model.encode_text("Snow")
    with pytest.raises(UserError, match="at least one control"):
        sample_single_view(tiny_model, {}, {}, text, None, PARAMS, 0)


def test_multi_view_keeps_the_front_view(multi):
    front, latents = multi()
    assert latents.shape == (VIEWS, 16, *GRID)
    assert torch.isfinite(latents).all()
    torch.testing.assert_close(latents[0], front)
    assert not torch.allclose(latents[1], latents[2])
    assert torch.equal(latents, multi()[1])
    assert not torch.allclose(latents[1:], multi(seed=1)[1][1:], atol=1e-4)
    assert not torch.allclose(latents[1:], multi(sampler=SamplerParams(num_steps=3, guidance=0.0))[1][1:], atol=1e-4)


def test_multi_view_keeps_first_frames_of_every_view(multi):
    first = draw(VIEWS, 16, 1, *GRID[1:], seed=6)
    front, latents = multi(first_frames=first)
    torch.testing.assert_close(latents[1:, :, :1], first[1:])
    torch.testing.assert_close(latents[0], front)


def test_multi_view_refuses_another_number_of_views(tiny_model):
    front, hints = draw(16, *GRID), {"hdmap": draw(5, 16, *GRID)}
    text = tiny_model.encode_text("Snow")
    with pytest.raises(UserError, match="5 prompts for 6 views"):
        sample_multi_view(tiny_model, front, hints, {"hdmap": 1.0}, text.expand(5, -1, -1), PARAMS, 0)
    with pytest.raises(UserError, match=r"'hdmap'.*needed are"):
        sample_multi_view(tiny_model, front, hints, {"hdmap": 1.0}, text.expand(6, -1, -1), PARAMS, 0)


def test_multi_view_takes_a_weight_map_of_every_view(multi):
    def weights(value, *, of_view=1.0):
        maps = torch.full((VIEWS, *GRID[:1], GRID[1] // 2, GRID[2] // 2), value)
        maps[3] *= of_view
        return {"hdmap": maps.flatten(0, 1)[None, None]}

    scalar = multi(weights={"hdmap": 0.4})[1]
    torch.testing.assert_close(multi(weights=weights(0.4))[1], scalar, rtol=1e-3, atol=1e-4)
    changed = (multi(weights=weights(0.4, of_view=0.0))[1] - scalar).flatten(1).norm(dim=1)
    assert changed.argmax() == 3 and changed[3] > 1e-2


def test_a_region_reads_its_own_text_in_the_conditional_pass_alone(tiny_model, single):
    left = torch.zeros(1, 1, GRID[0], GRID[1] // 2, GRID[2] // 2, dtype=torch.bool)
    left[..., 0] = True
    regions = [Region(tiny_model.encode_text("Night")[None], left)]
    latents, plain = single(regions=regions), single()
    changed = (latents - plain).abs()
    assert changed[..., :2].mean() > 2 * changed[..., 2:].mean() > 0
    conditional = SamplerParams(num_steps=3, guidance=0.0)
    assert not torch.allclose(single(sampler=conditional, regions=regions), single(sampler=conditional), atol=1e-4)
    negative = single(regions=[Region(tiny_model.encode_text("Bad")[None], left)], prompt="Bad", negative="Bad")
    torch.testing.assert_close(negative, single(prompt="Bad", negative="Bad"))


def test_multi_view_has_no_regions(tiny_model):
    net = tiny_model.multi_view([]).net
    with torch.inference_mode():
        clip = net.prepare(draw(1, 16, VIEWS * GRID[0], *GRID[1:]), {})
        region = Region(tiny_model.encode_text("Night")[None], torch.ones(1, 1, 12, 2, 3, dtype=torch.bool))
        with pytest.raises(UserError, match="for the single view"):
            net.prepare_text(torch.zeros(1, VIEWS * 24, 16), clip, [region])


def test_half_precision_nets_stay_close(tiny_model, tmp_path, single, multi):
    tiny_model.save(tmp_path, dtype=torch.float32)
    half = WorldModel.from_folder(tmp_path, dtype=torch.bfloat16)
    calm = SamplerParams(num_steps=3, guidance=0.0)
    front, expected = multi(sampler=calm)
    texts = torch.stack([half.encode_text(f"View {i}") for i in range(VIEWS)])
    hints = {"hdmap": draw(VIEWS, 16, *GRID, seed=4)}
    latents = sample_multi_view(half, front, hints, {"hdmap": 1.0}, texts, calm, 0)
    assert latents.dtype == torch.float32
    assert (latents - expected).norm() / expected.norm() < 0.1
    hints = {"hdmap": draw(16, *GRID, seed=1), "edge": draw(16, *GRID, seed=2)}
    weights = {"hdmap": 0.5, "edge": 0.5}
    latents = sample_single_view(half, hints, weights, half.encode_text("Snow"), None, calm, 0)
    assert (latents - single(sampler=calm)).norm() / latents.norm() < 0.1


@pytest.mark.parametrize("stage", ["single", "multi"])
def test_progress_counts_denoiser_calls(request, stage):
    steps = []
    request.getfixturevalue(stage)(progress=lambda done, total: steps.append((done, total)))
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
