"""The model folder and its contract."""

from __future__ import annotations

import json
import logging
import shutil

import numpy as np
import pytest
import torch

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.checkpoints.checkpoint import own_tensors
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.models.transfer1.nano import nano_config
from cosmos_exp.sampling.frame_rule import FrameRule


@pytest.fixture(scope="module")
def folder(tiny_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    tiny_model.save(path, dtype=torch.float32)
    return path


def test_a_saved_model_computes_the_same(tiny_model, folder):
    loaded = WorldModel.from_folder(folder)
    assert loaded.contract == tiny_model.contract
    video = np.random.default_rng(0).integers(0, 256, (9, 32, 48, 3), dtype=np.uint8)
    latents = loaded.encode_video(video)
    assert latents.shape == (16, 2, 4, 6)
    torch.testing.assert_close(latents, tiny_model.encode_video(video))
    assert np.array_equal(loaded.decode(latents), tiny_model.decode(latents))
    torch.testing.assert_close(loaded.encode_text("Snow."), tiny_model.encode_text("Snow."))
    for stage in ("single_view", "multi_view"):
        ours, theirs = getattr(loaded, stage)().state_dict(), getattr(tiny_model, stage)().state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_parts_are_read_when_needed(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "model")
    model = WorldModel.from_folder(copy)
    (copy / "control_edge.safetensors").unlink()
    assert set(model.single_view(["hdmap"]).net.controls) == {"hdmap"}
    with pytest.raises(UserError, match=r"control_edge\.safetensors"):
        model.single_view(["edge"])
    with pytest.raises(UserError, match="did you mean 'depth'"):
        model.single_view(["dept"])
    with pytest.raises(UserError, match=r"lacks control_edge\.safetensors"):
        WorldModel.from_folder(copy)


def test_folders_that_hold_no_model(folder, tmp_path):
    with pytest.raises(UserError, match=r"model\.json not found"):
        WorldModel.from_folder(tmp_path)
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(UserError, match="is not JSON"):
        WorldModel.from_folder(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps({"name": "x"}))
    with pytest.raises(UserError, match="lacks contract, tokenizer"):
        WorldModel.from_folder(tmp_path)


def test_weights_of_another_size_are_refused(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "model")
    shutil.copy(copy / "control_edge.safetensors", copy / "base.safetensors")
    with pytest.raises(UserError, match="not expected: hint_embed") as caught:
        WorldModel.from_folder(copy).single_view()
    assert "missing: transformer_blocks.1.attn1" in str(caught.value)


def test_text_rows_beyond_the_prompt_are_zero(tiny_model, caplog):
    text = tiny_model.encode_text("Night")
    assert text.shape == (24, 16)
    assert (text[6:] == 0).all() and (text[:6].abs().sum(-1) > 0).all()  # five bytes and the end mark
    assert not torch.allclose(text[:5], tiny_model.encode_text("Sight")[:5])
    with caplog.at_level(logging.WARNING):
        long = tiny_model.encode_text("x" * 40)
    assert "41 tokens cut to 24" in caplog.text
    assert (long.abs().sum(-1) > 0).all()


def test_frame_rule():
    rule = FrameRule(least=9, most=25)
    assert rule.choices() == (9, 17, 25)
    assert [rule.nearest(n) for n in (1, 20, 22, 400)] == [9, 17, 25, 25]
    rule.check(17)
    with pytest.raises(UserError, match="24 frames: this model makes 9 or 17 or 25 frames; nearest is 25"):
        rule.check(24)
    assert FrameRule().describe() == "1 + 8k frames, from 9 to 121"


def test_contract_survives_json(tiny_model):
    contract = tiny_model.contract
    assert Contract.from_dict(json.loads(json.dumps(contract.to_dict()))) == contract
    with pytest.raises(UserError, match="did you mean 'height'"):
        Contract.from_dict(contract.to_dict() | {"hight": 3})
    with pytest.raises(UserError, match="lacks height, frames"):
        Contract.from_dict({k: v for k, v in contract.to_dict().items() if k not in ("height", "frames")})


def test_nano_fits_its_budget():
    """At most 40 MiB in two-byte floats, and the contract's grid fits the position tables."""
    with torch.device("meta"):
        model = WorldModel(nano_config(), device="meta")
        parts = [model.tokenizer, model.text_encoder, model.single_view(), model.multi_view()]
    assert sum(2 * p.numel() for part in parts for p in own_tensors(part).values()) <= 40 * 2**20
    contract = model.contract
    frames = 1 + (contract.frames.most - 1) // 8
    for denoiser in parts[2:]:
        views = denoiser.net.config.num_views
        latent = torch.empty(1, 16, views * frames, contract.height // 8, contract.width // 8, device="meta")
        assert denoiser.net.base.positions(latent).extra.shape[1] == views * frames * 14 * 24
