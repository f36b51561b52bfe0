"""Weights files: strict loading, released key names, the 7B tables."""

from __future__ import annotations

import json

import pytest
import torch
from helpers.published import SMALL, released
from safetensors.torch import save_file

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.checkpoints.checkpoint import from_released, load_network, load_strict, read_state
from cosmos_exp.models.checkpoints.released import MODELS, released_config, released_files
from cosmos_exp.models.transfer1.config import SAMPLE_AV_7B, SINGLE2MULTIVIEW_7B, TRANSFER1_7B
from cosmos_exp.models.transfer1.control import ControlEncoder
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.models.transfer1.transformer import DiT


@pytest.mark.parametrize(
    ("family", "config", "hint_channels"),
    [
        ("Transfer1-7B", TRANSFER1_7B, 128),
        ("Sample-AV", SAMPLE_AV_7B, 16),
        ("Single2MultiView", SINGLE2MULTIVIEW_7B, 16),
    ],
)
@pytest.mark.parametrize("part", ["base", "control"])
def test_7b_networks_have_exactly_the_released_keys_and_shapes(shared, family, config, hint_channels, part):
    table = json.loads((shared / "parity" / "keys_7b.json").read_text())[f"{family}/{part}"]
    state = {}
    for key, entry in table["keys"].items():
        names = [key.replace("{i}", str(i)) for i in range(entry["count"])] if "{i}" in key else [key]
        state |= {name: torch.empty(entry["shape"], device="meta") for name in names}
    with torch.device("meta"):
        net = DiT(config) if part == "base" else ControlEncoder(config.control(hint_channels=hint_channels))
    load_strict(net, from_released(state, control=part == "control"), family)
    ignored = sum(v.numel() for k, v in state.items() if k == "pos_embedder.seq")
    if part == "control":
        ignored += sum(v.numel() for k, v in state.items() if k.startswith("final_layer."))
    assert sum(p.numel() for p in net.parameters()) == sum(v.numel() for v in state.values()) - ignored


FAMILIES = {
    "nvidia/Cosmos-Transfer1-7B": "Transfer1-7B",
    "nvidia/Cosmos-Transfer1-7B-Sample-AV": "Sample-AV",
    "nvidia/Cosmos-Transfer1-7B-Sample-AV-Single2MultiView": "Single2MultiView",
}


@pytest.mark.parametrize("name", MODELS)
def test_every_released_model_has_the_sizes_of_its_files(shared, name):
    tables = json.loads((shared / "parity" / "keys_7b.json").read_text())
    files = released_files(name)
    model = WorldModel(json.loads(json.dumps(released_config(name))), device="meta", dtype=torch.bfloat16)
    with torch.device("meta"):
        nets = {prefix: getattr(model, stage)().net for stage, prefix in model.stages()}
    for prefix, net in nets.items():
        table = tables[f"{FAMILIES[files[f'{prefix}base'][0]]}/base"]["keys"]
        assert net.base.patch_embed.proj.weight.shape == tuple(table["x_embedder.proj.1.weight"]["shape"])
        assert len(net.base.transformer_blocks) == table["blocks.block{i}.blocks.0.block.attn.to_q.0.weight"]["count"]
        for control, encoder in net.controls.items():
            table = tables[f"{FAMILIES[files[f'{prefix}control_{control}'][0]]}/control"]["keys"]
            assert encoder.hint_embed.proj.weight.shape == tuple(table["x_embedder2.proj.1.weight"]["shape"])
            assert len(encoder.zero_blocks) == table["zero_blocks.block{i}.weight"]["count"]
        clip = model.contract.multi_view_clip if prefix else None
        height, width = (clip.height, clip.width) if clip else (704, 1280)
        frames = 1 + ((clip or model.contract).frames.most - 1) // 8
        views = net.config.num_views
        assert views == (len(model.contract.views) if prefix else 1)
        latent = torch.empty(1, 16, views * frames, height // 8, width // 8, device="meta")
        assert net.base.grid(latent) == (views * frames, height // 16, width // 16)
        assert views * frames * height * width // 256 in (56_320, 110_592, 92_160)  # tokens


def test_the_text_encoder_and_tokenizer_have_the_published_sizes():
    model = WorldModel(released_config("transfer1_7b"), device="meta")
    with torch.device("meta"):
        text, tokenizer = model.text_encoder, model.tokenizer
    layers = 24 * (4 * 1024 * 128 * 128 + 2 * 1024 * 65536)
    assert sum(p.numel() for p in text.parameters()) == layers + 32128 * 1024 + 49 * 1024 + 32 * 128
    assert tokenizer.mean.shape == (16, 16)
    assert tokenizer.vae.config.latent_channels == 16


@pytest.mark.parametrize("prefix", ["", "net.", "base_model.net.", "net.base_model.net.", "net.net_ctrl."])
@pytest.mark.parametrize("container", ["flat", "ema", "model"])
def test_released_pt_files(tmp_path, prefix, container):
    torch.manual_seed(0)
    net = DiT(SMALL)
    state = {prefix + key: value for key, value in released(net).items()}
    state |= {f"{prefix}pos_embedder.seq": torch.arange(8.0), f"{prefix}logvar.0.weight": torch.zeros(3)}
    state["net._extra_state"] = torch.zeros(1)
    if container == "ema":
        state = {"ema": {key.replace(".", "-"): value for key, value in state.items()}, "model": {}}
    elif container == "model":
        state = {"model": state}
    torch.save(state, tmp_path / "base.pt")
    other = DiT(SMALL)
    load_network(other, tmp_path / "base.pt")
    for key, value in net.state_dict().items():
        torch.testing.assert_close(other.state_dict()[key], value)


def test_released_control_file_takes_missing_values_from_its_base(tmp_path):
    torch.manual_seed(0)
    config = SMALL.control(hint_channels=16, num_blocks=1)
    base, encoder = DiT(SMALL), ControlEncoder(config)
    partial = released(encoder) | {"final_layer.linear.weight": torch.zeros(64, 24)}
    del partial["t_embedder.1.linear_1.weight"]
    save_file(released(base), tmp_path / "base.safetensors")
    save_file(partial, tmp_path / "control.safetensors")
    loaded = ControlEncoder(config)
    load_network(loaded, tmp_path / "control.safetensors", base=tmp_path / "base.safetensors")
    torch.testing.assert_close(loaded.time_embed.t_embedder.linear_1.weight, base.time_embed.t_embedder.linear_1.weight)
    torch.testing.assert_close(loaded.zero_blocks[0].weight, encoder.zero_blocks[0].weight)
    with pytest.raises(UserError, match=r"missing: time_embed\.t_embedder\.linear_1\.weight"):
        load_network(loaded, tmp_path / "control.safetensors")


def test_every_misfit_is_listed():
    net = DiT(SMALL)
    state = net.state_dict()
    del state["proj_out.weight"]
    state["spare.weight"] = torch.zeros(2)
    state["patch_embed.proj.weight"] = torch.zeros(24, 72)
    with pytest.raises(UserError) as caught:
        load_strict(net, state, "base.safetensors")
    message = str(caught.value)
    assert "base.safetensors" in message
    assert "missing: proj_out.weight (64, 24)" in message
    assert "not expected: spare.weight (2,)" in message
    assert "wrong shape: patch_embed.proj.weight is (24, 72), must be (24, 68)" in message


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
def test_unreadable_files(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(UserError, match="not found"):
        read_state(path)
    state = {"a": torch.zeros(1000)}
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match="cannot be read"):
        read_state(path)


def test_half_precision_files_are_upcast(tmp_path):
    torch.manual_seed(0)
    net = DiT(SMALL)
    save_file({k: v.bfloat16() for k, v in net.state_dict().items()}, tmp_path / "base.safetensors")
    other = DiT(SMALL)
    load_network(other, tmp_path / "base.safetensors")
    assert other.dtype == torch.float32
    torch.testing.assert_close(other.patch_embed.proj.weight, net.patch_embed.proj.weight.bfloat16().float())
