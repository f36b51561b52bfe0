"""What the networks must satisfy whatever their weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from diffusers import CosmosTransformer3DModel

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.dit.view_layout import split_views, stack_views
from cosmos_exp.models.transfer1.config import DiTConfig
from cosmos_exp.models.transfer1.control import ControlEncoder, ControlledDiT
from cosmos_exp.models.transfer1.transformer import DiT

SINGLE = DiTConfig(
    model_channels=48, num_blocks=3, num_heads=2, text_channels=16, adaln_lora_dim=4, max_size=(8, 16, 16)
)
MULTI = replace(SINGLE, condition_mask=True, extra_pos="sincos", num_views=3, view_channels=6)
TOKENS = 5


def controlled(config: DiTConfig, names=("hdmap", "edge"), hint_channels=16) -> ControlledDiT:
    """Random weights everywhere, the zero-initialised ones too."""
    torch.manual_seed(0)
    encoders = {name: ControlEncoder(config.control(hint_channels=hint_channels, num_blocks=2)) for name in names}
    net = ControlledDiT(DiT(config), encoders)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return net


def inputs(config: DiTConfig, batch=2, frames=2):
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    size = (16, frames * config.num_views, 4, 6)
    hints = {name: draw(batch, *size) for name in ("hdmap", "edge")}
    return draw(batch, *size), torch.linspace(-1, 1, batch), draw(batch, TOKENS * config.num_views, 16), hints


def run(net, x, t, text, hints, weights, **clip):
    return net(x, t, text, net.prepare(x, hints, **clip), weights)


@pytest.mark.parametrize("config", [SINGLE, MULTI], ids=["single", "multi"])
def test_a_batch_is_its_samples_side_by_side(config):
    net = controlled(config)
    x, t, text, hints = inputs(config)
    weights = {"hdmap": torch.tensor([0.2, 0.9]), "edge": torch.tensor([1.0, 0.0])}
    together = run(net, x, t, text, hints, weights)
    for i in range(2):
        part = slice(i, i + 1)
        alone = run(
            net,
            x[part],
            t[part],
            text[part],
            {k: v[part] for k, v in hints.items()},
            {k: v[i].item() for k, v in weights.items()},
        )
        torch.testing.assert_close(together[part], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("config", [SINGLE, MULTI], ids=["single", "multi"])
def test_no_text_is_all_zero_text(config):
    net = controlled(config)
    x, t, text, hints = inputs(config)
    weights = {"hdmap": 0.5, "edge": 0.5}
    skipped = run(net, x, t, None, hints, weights)
    torch.testing.assert_close(skipped, run(net, x, t, torch.zeros_like(text), hints, weights))
    assert not torch.allclose(skipped, run(net, x, t, text, hints, weights))


def test_base_net_is_the_diffusers_cosmos_transformer():
    net = DiT(SINGLE)
    theirs = CosmosTransformer3DModel(
        in_channels=17,
        num_attention_heads=2,
        attention_head_dim=24,
        num_layers=3,
        text_embed_dim=16,
        adaln_lora_dim=4,
        max_size=SINGLE.max_size,
        concat_padding_mask=False,
    )
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    theirs.load_state_dict(net.state_dict())
    x, t, text, _ = inputs(SINGLE)
    channels = net.condition_channels(x)
    ours = net(x, t, text, channels, net.positions(x))
    expected = theirs(torch.cat([x, channels], dim=1), t, text, fps=24, return_dict=False)[0]
    torch.testing.assert_close(ours, expected)


def test_a_weight_of_zero_is_no_control():
    net = controlled(SINGLE)
    x, t, text, hints = inputs(SINGLE)
    without = run(net, x, t, text, {}, {})
    torch.testing.assert_close(run(net, x, t, text, hints, {"hdmap": 0.0, "edge": 0.0}), without)
    zeros = {k: torch.zeros(2, 1, 2, 2, 3) for k in hints}
    torch.testing.assert_close(run(net, x, t, text, hints, zeros), without)
    assert not torch.allclose(run(net, x, t, text, hints, {"hdmap": 0.1, "edge": 0.0}), without, atol=1e-3)


def test_a_constant_map_is_a_scalar_weight():
    net = controlled(SINGLE)
    x, t, text, hints = inputs(SINGLE)
    scalar = run(net, x, t, text, hints, {"hdmap": 0.3, "edge": 0.6})
    maps = {"hdmap": torch.full((1, 1, 2, 2, 3), 0.3), "edge": torch.full((2, 1, 2, 2, 3), 0.6)}
    torch.testing.assert_close(run(net, x, t, text, hints, maps), scalar)


def test_residuals_add_up_over_controls_and_enter_after_the_first_blocks():
    net = controlled(SINGLE)
    x, t, text, hints = inputs(SINGLE)
    both = net.residuals(x, t, text, net.prepare(x, hints), {"hdmap": 0.5, "edge": 2.0})
    alone = {n: net.residuals(x, t, text, net.prepare(x, {n: h}), {n: 1.0}) for n, h in hints.items()}
    assert len(both) == 2
    for i, total in enumerate(both):
        torch.testing.assert_close(total, 0.5 * alone["hdmap"][i] + 2.0 * alone["edge"][i])


def test_hint_is_zero_padded_to_the_encoders_channels():
    net = controlled(SINGLE, hint_channels=20)
    hints = inputs(SINGLE)[-1]
    encoder = net.controls["hdmap"]
    padded = torch.cat([hints["hdmap"], torch.zeros(2, 4, 2, 4, 6)], dim=1)
    torch.testing.assert_close(encoder.hint_tokens(hints["hdmap"]), encoder.hint_tokens(padded))
    with pytest.raises(UserError, match="21 channels"):
        encoder.hint_tokens(torch.zeros(1, 21, 2, 4, 6))


def test_each_view_reads_its_own_text():
    """With self-attention silenced, changing one view's prompt changes that view alone."""
    net = controlled(MULTI)
    for trunk in (net.base, *net.controls.values()):
        for block in trunk.transformer_blocks:
            torch.nn.init.zeros_(block.attn1.to_out[0].weight)
    x, t, text, hints = inputs(MULTI)
    weights = {"hdmap": 0.5, "edge": 0.5}
    changed_text = text.clone()
    changed_text[:, TOKENS : 2 * TOKENS] += 1
    before = split_views(run(net, x, t, text, hints, weights), 3)
    after = split_views(run(net, x, t, changed_text, hints, weights), 3)
    changed = (before - after).abs().amax(dim=(0, 2, 3, 4, 5))
    assert changed[1] > 1e-3
    assert changed[0] == 0 and changed[2] == 0


def test_views_see_each_other_through_self_attention():
    net = controlled(MULTI)
    x, t, text, hints = inputs(MULTI)
    other = split_views(x.clone(), 3)
    other[:, 2] += 1
    weights = {"hdmap": 0.5, "edge": 0.5}
    difference = run(net, x, t, text, hints, weights) - run(net, stack_views(other), t, text, hints, weights)
    assert (split_views(difference, 3).abs().amax(dim=(0, 2, 3, 4, 5)) > 1e-4).all()


def test_view_ids_choose_the_table_row_and_are_clamped():
    net = controlled(MULTI)
    x, *_ = inputs(MULTI)
    default = net.base.condition_channels(x)
    ids = torch.tensor([[0, 0, 1, 1, 2, 2]])
    torch.testing.assert_close(net.base.condition_channels(x, view_ids=ids), default)
    five_view = DiT(replace(MULTI, view_ids=(0, 4, 5)))
    five_view.load_state_dict(net.base.state_dict())
    rows = net.base.view_embed.table.weight
    channels = split_views(five_view.condition_channels(x)[:, 2:], 3)[0, :, :, 0, 0, 0]
    torch.testing.assert_close(channels, rows[[0, 4, 5]] + net.base.view_embed.frame_repeat.bias)
    beyond = net.base.condition_channels(x, view_ids=torch.full((1, 6), 99))
    torch.testing.assert_close(beyond, net.base.condition_channels(x, view_ids=torch.full((1, 6), 6)))


def test_host_view_embedding_is_used_with_several_controls_only_when_asked():
    net = controlled(MULTI)
    x, _, _, hints = inputs(MULTI)
    one = {"hdmap": hints["hdmap"]}
    own, borrowed = net.prepare(x, one), net.prepare(x, one, share_view_embed=True)
    torch.testing.assert_close(own.channels["hdmap"], borrowed.channels["hdmap"])
    several = net.prepare(x, hints, share_view_embed=True)
    torch.testing.assert_close(several.channels["hdmap"], several.channels["base"])
    assert not torch.allclose(net.prepare(x, hints).channels["hdmap"], several.channels["hdmap"])


@pytest.mark.parametrize("config", [SINGLE, MULTI], ids=["single", "multi"])
def test_gradients_reach_every_parameter(config):
    net = controlled(config)
    x, t, text, hints = inputs(config)
    repeat = torch.ones(2, config.num_views)
    run(net, x, t, text, hints, {"hdmap": 0.5, "edge": torch.ones(2)}, frame_repeat=repeat).square().mean().backward()
    untouched = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert untouched == []


def test_training_starts_as_a_net_without_control():
    torch.manual_seed(0)
    net = ControlledDiT(DiT(SINGLE), {"hdmap": ControlEncoder(SINGLE.control(hint_channels=16, num_blocks=2))})
    x, t, text, hints = inputs(SINGLE)
    residuals = net.residuals(x, t, text, net.prepare(x, {"hdmap": hints["hdmap"]}), {"hdmap": 1.0})
    assert all((r == 0).all() for r in residuals)


def test_runs_under_bfloat16_autocast():
    net = controlled(MULTI)
    x, t, text, hints = inputs(MULTI)
    weights = {"hdmap": 0.5, "edge": torch.tensor([0.5, 1.0])}
    exact = run(net, x, t, text, hints, weights)
    with torch.autocast("cpu", torch.bfloat16):
        rough = run(net, x, t, text, hints, weights)
    assert ((rough.float() - exact).norm() / exact.norm()) < 0.05


def test_sizes_that_do_not_fit_are_named():
    net = controlled(SINGLE)
    hints = inputs(SINGLE)[-1]
    with pytest.raises(UserError, match=r"\(2, 5, 6\).*patch \(1, 2, 2\)"):
        net.base.positions(torch.zeros(1, 16, 2, 5, 6))
    with pytest.raises(UserError, match=r"\(9, 2, 3\).*\(8, 8, 8\)"):
        net.base.positions(torch.zeros(1, 16, 9, 4, 6))
    with pytest.raises(UserError, match="num_views=3"):
        controlled(MULTI).base.positions(torch.zeros(1, 16, 4, 4, 6))
    with pytest.raises(UserError, match="did you mean 'edge'"):
        net.prepare(torch.zeros(1, 16, 2, 4, 6), {"edges": hints["edge"]})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_channels": 50, "num_heads": 4}, "num_heads=4"),
        ({"model_channels": 40, "num_heads": 4}, "head dim 10"),
        ({"extra_pos": "sin-cos"}, "did you mean 'sincos'"),
        ({"num_views": 6}, "view_channels=0"),
        ({"num_views": 2, "view_channels": 6, "view_ids": (0, 1, 2)}, "num_views=2"),
    ],
)
def test_impossible_sizes(settings, message):
    with pytest.raises(UserError, match=message):
        DiTConfig(**settings)


def test_config_survives_json():
    import json

    config = replace(MULTI, view_ids=(0, 1, 2))
    assert DiTConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(UserError, match="did you mean 'num_blocks'"):
        DiTConfig.from_dict({"num_block": 3})
