"""The diffusion objectives train every part they should, on latents made up here."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.styles import STYLES
from cosmos_exp.common.views import VIEWS
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.models.transfer1.nano import CONTROLS
from cosmos_exp.train.conditioning import Conditioning, draw_boxes, draw_weights
from cosmos_exp.train.config import FrontsConfig
from cosmos_exp.train.diffusion import MultiViewObjective, NoiseParams, SingleViewObjective, guided_x0, loss_weights
from cosmos_exp.train.fronts import generated_fronts
from cosmos_exp.train.latents import LatentSet

GRID = (2, 4, 4)  # latent frames, rows, columns


@pytest.fixture(scope="module")
def model(tiny_model) -> WorldModel:
    torch.manual_seed(0)
    return WorldModel.build(tiny_model.config)


def made_up(num_views: int, controls: tuple[str, ...]) -> LatentSet:
    generator = torch.Generator().manual_seed(0)
    clips, styles = 3, 2
    targets = torch.randn(clips, styles, num_views, 16, *GRID, generator=generator).half() * 0.5
    views = {c: num_views if c == "hdmap" else 1 for c in controls}
    hints = {c: torch.randn(clips, v, 16, *GRID, generator=generator).half() * 0.5 for c, v in views.items()}
    objects = torch.rand(clips, num_views, *GRID, generator=generator).half()
    names = [list(STYLES[:styles])] * clips
    return LatentSet(
        targets, hints, objects, [[f"{s}. A street." for s in row] for row in names], names, list(range(clips))
    )


def test_single_view_gradients_reach_text_base_and_the_controls_drawn(model):
    objective = SingleViewObjective(
        model.text_encoder,
        model.single_view(),
        made_up(1, CONTROLS),
        negative_prompt="bad",
        noise=NoiseParams(),
        batch_size=2,
    )
    for step in range(40):  # zero-initialised gates let no gradient through to the text at first
        loss, _ = objective(torch.Generator().manual_seed(step))
        assert torch.isfinite(loss)
        loss.backward()
        if step < 3:
            with torch.no_grad():
                for p in objective.parameters():
                    if p.grad is not None:
                        p -= 0.01 * p.grad.sign()
    net = objective.denoiser.net
    parts = {"text": objective.text_encoder, "base": net.base, **net.controls}
    for name, part in parts.items():
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters()), name


def test_same_generator_seed_gives_the_same_loss(model):
    objective = SingleViewObjective(
        model.text_encoder,
        model.single_view(),
        made_up(1, CONTROLS),
        negative_prompt="bad",
        noise=NoiseParams(),
        batch_size=2,
    )
    losses = [objective(torch.Generator().manual_seed(s))[0].item() for s in (5, 5, 6)]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("views_per_step", [2, 6])
def test_multi_view_loss_ignores_the_given_front_view(model, views_per_step):
    latents = made_up(len(VIEWS), ("hdmap",))
    objective = MultiViewObjective(
        model.text_encoder,
        model.multi_view(),
        latents,
        views=VIEWS,
        noise=NoiseParams(),
        batch_size=1,
        front_noise=5.0,
        views_per_step=views_per_step,
    )
    loss, scalars = objective(torch.Generator().manual_seed(0))
    loss.backward()
    assert scalars["x0_mse"] < 10  # the front view's error alone would exceed this with noise of 5
    assert objective.denoiser.net.base.proj_out.weight.grad.abs().sum() > 0


def test_weights_of_several_controls_sum_to_one():
    generator = torch.Generator().manual_seed(0)
    several = draw_weights(["edge", "seg", "vis"], 5, generator)
    torch.testing.assert_close(sum(several.values()), torch.ones(5))
    assert draw_weights(["edge"], 100, generator)["edge"].eq(1).all()


def test_control_draws_cover_every_control_and_favour_the_hdmap():
    draws = [Conditioning().draw_controls(list(CONTROLS), torch.Generator().manual_seed(s)) for s in range(300)]
    counts = {c: sum(c in d for d in draws) for c in CONTROLS}
    assert min(counts.values()) > 30 and counts["hdmap"] == max(counts.values())
    shares = {n: sum(len(d) == n for d in draws) / len(draws) for n in range(4)}
    assert shares[0] == pytest.approx(0.1, abs=0.04) and shares[1] == pytest.approx(0.55, abs=0.08)
    assert shares[2] == pytest.approx(0.25, abs=0.07) and shares[3] == pytest.approx(0.1, abs=0.04)
    assert Conditioning(no_control=0).draw_controls(["hdmap"], torch.Generator().manual_seed(0)) == ["hdmap"]


def test_clips_with_and_without_generated_fronts_are_not_mixed():
    plain = made_up(len(VIEWS), ("hdmap",))
    with_fronts = replace(plain, fronts=plain.targets[:, :, 0])
    assert torch.equal(with_fronts.joined(with_fronts).fronts, torch.cat([with_fronts.fronts] * 2))
    for first, second in ((plain, with_fronts), (with_fronts, plain)):
        with pytest.raises(UserError, match="others have none: run stages="):
            first.joined(second)


@pytest.mark.parametrize("names", [["edge"], ["edge", "seg"], ["edge", "seg", "vis"]])
def test_weight_maps_share_every_place_between_the_controls(names):
    generator = torch.Generator().manual_seed(1)
    maps = Conditioning(maps=1.0).draw_weights(names, 4, (2, 6, 8), generator)
    total = sum(maps.values())
    assert total.shape == (4, 1, 2, 6, 8) and set(maps["edge"].unique().tolist()) == {0.0, 1.0}
    if len(names) > 1:
        torch.testing.assert_close(total, torch.ones_like(total))
    assert torch.equal(maps["edge"][:, :, 0], maps["edge"][:, :, 1])


def test_boxes_are_boxes_of_every_size():
    boxes = draw_boxes(200, (1, 8, 16), torch.Generator().manual_seed(0))[:, 0, 0]
    rows, columns = boxes.amax(2), boxes.amax(1)
    assert torch.equal(boxes, rows[:, :, None] * columns[:, None, :])
    assert rows.sum(1).min() >= 1 and rows.sum(1).max() >= 7 and columns.sum(1).min() < 6 and columns.sum(1).max() > 14


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_guided_prediction_is_what_is_trained_in_its_share(model, share):
    made = made_up(1, CONTROLS)
    conditioning = Conditioning(guided=share, most_guidance=100.0, text_dropout=0.0, no_control=0.0)
    options = {"negative_prompt": "bad", "noise": NoiseParams(), "batch_size": 4, "conditioning": conditioning}
    objective = SingleViewObjective(model.text_encoder, model.single_view(), made, **options)
    with torch.no_grad():
        objective.denoiser.net.base.proj_out.weight.normal_(std=0.3)
    loss, _ = objective(torch.Generator().manual_seed(0))
    loss.backward()
    assert torch.isfinite(loss)
    plain = Conditioning(guided=0.0, text_dropout=0.0, no_control=0.0)
    other = SingleViewObjective(model.text_encoder, model.single_view(), made, **options | {"conditioning": plain})
    assert (other(torch.Generator().manual_seed(0))[0] == loss) == (share == 0)


def test_guidance_extrapolates_from_the_unconditional_pass():
    cond, uncond = torch.full((3, 1, 1, 1, 1), 2.0), torch.full((3, 1, 1, 1, 1), 1.0)
    found = guided_x0(torch.cat([cond, uncond]), 3.0, torch.Generator().manual_seed(0))
    assert found.shape == (3, 1, 1, 1, 1) and found.min() > 2 and found.max() < 5 and len(found.unique()) == 3


def test_clips_that_come_later_are_trained_on(model):
    first, later = made_up(1, CONTROLS), made_up(1, CONTROLS)
    later.prompts = [["Foggy. A bridge."] * 2] * 3
    objective = SingleViewObjective(
        model.text_encoder, model.single_view(), first, negative_prompt="bad", noise=NoiseParams(), batch_size=2
    )
    objective.extend(later)
    assert len(objective.latents) == 6 and len(objective.tokens[0]) == 12
    assert objective.latents.prompts[3:] == later.prompts and torch.equal(objective.latents.targets[3:], later.targets)
    assert torch.isfinite(objective(torch.Generator().manual_seed(0))[0])

    multi = made_up(len(VIEWS), ("hdmap",))
    options = {"views": VIEWS, "noise": NoiseParams(), "batch_size": 1, "views_per_step": 2}
    objective = MultiViewObjective(model.text_encoder, model.multi_view(), multi, **options)
    objective.extend(multi)
    assert len(objective.texts) == 12 and torch.isfinite(objective(torch.Generator().manual_seed(0))[0])


def test_generated_fronts_are_given_to_the_multi_view_net(model):
    latents = made_up(len(VIEWS), ("hdmap",))
    fronts = generated_fronts(model, latents, FrontsConfig(num_steps=1, batch_size=4))
    assert fronts.shape == latents.targets[:, :, 0].shape and fronts.dtype == torch.float16
    alone = generated_fronts(model, latents, FrontsConfig(num_steps=1, batch_size=1))
    torch.testing.assert_close(fronts, alone, atol=2e-2, rtol=2e-2)
    options = {"views": VIEWS, "noise": NoiseParams(), "batch_size": 2, "generated_fronts": 1.0}
    objective = MultiViewObjective(model.text_encoder, model.multi_view(), replace(latents, fronts=fronts), **options)
    clips, styles = torch.tensor([0, 2]), torch.tensor([1, 0])
    x0 = torch.zeros(2, 16, 2 * GRID[0], *GRID[1:])
    given = objective._given(x0, clips, styles, GRID[0], torch.Generator().manual_seed(0))
    assert torch.equal(given[:, :, : GRID[0]], fronts[clips, styles].float()) and not given[:, :, GRID[0] :].any()


def test_positions_with_objects_weigh_more_in_the_loss(model):
    objects = torch.zeros(2, *GRID)
    objects[0, 0, 0] = 1  # a row of the first frame of one sample: 4 of 64 positions
    weights = loss_weights(objects, 8.0)
    assert weights.shape == (2, 1, *GRID) and weights.mean().item() == pytest.approx(1)
    assert weights[0, 0, 0, 0].div(weights[1, 0, 1, 1]).eq(9).all()
    assert loss_weights(objects, 0.0).eq(1).all()

    latents = made_up(len(VIEWS), ("hdmap",))
    options = {"views": VIEWS, "noise": NoiseParams(), "batch_size": 2}
    plain, weighted = (
        MultiViewObjective(model.text_encoder, model.multi_view(), latents, object_weight=w, **options)(
            torch.Generator().manual_seed(0)
        )
        for w in (0.0, 8.0)
    )
    assert plain[1]["x0_mse"] == weighted[1]["x0_mse"] and plain[0] != weighted[0]


def test_short_clips_are_the_first_frames_of_twice_as_many_clips(model, monkeypatch):
    latents = made_up(len(VIEWS), ("hdmap",))
    more = torch.randn_like(latents.targets)
    longer = replace(
        latents,
        targets=torch.cat([latents.targets, more], dim=4),
        hints={c: torch.cat([h, torch.randn_like(h)], dim=3) for c, h in latents.hints.items()},
        objects=torch.cat([latents.objects, latents.objects], dim=2),
        fronts=torch.cat([latents.targets[:, :, 0], torch.randn_like(more[:, :, 0])], dim=3),
    )
    denoiser, seen = model.multi_view(), []
    monkeypatch.setattr(denoiser, "forward", lambda x, *args, **kwargs: seen.append(x.shape) or x)
    options = {"views": VIEWS, "noise": NoiseParams(), "batch_size": 3, "conditioning": Conditioning(guided=0.0)}
    for share, frames, clips in ((0.0, 2 * GRID[0], 3), (1.0, 2, 6)):
        objective = MultiViewObjective(model.text_encoder, denoiser, longer, short_clips=share, **options)
        loss, _ = objective(torch.Generator().manual_seed(0))
        assert torch.isfinite(loss) and seen[-1][:3] == (clips, 16, len(VIEWS) * frames)


def test_latents_survive_a_round_trip(tmp_path):
    latents = made_up(len(VIEWS), ("hdmap",))
    latents.save(tmp_path / "set.safetensors")
    again = LatentSet.load(tmp_path / "set.safetensors")
    assert torch.equal(again.targets, latents.targets) and torch.equal(again.hints["hdmap"], latents.hints["hdmap"])
    assert again.prompts == latents.prompts and again.styles == latents.styles and again.seeds == latents.seeds
    assert again.fronts is None
    with_fronts = replace(latents, fronts=latents.targets[:, :, 0] * 2)
    with_fronts.save(tmp_path / "set.safetensors")
    assert torch.equal(LatentSet.load(tmp_path / "set.safetensors").fronts, with_fronts.fronts)
