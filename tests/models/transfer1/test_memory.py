"""Which parts of a world model are there together, and that the results do not depend on it."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.dit.memory import Memory
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.models.transfer1.multi_view import sample_multi_view
from cosmos_exp.models.transfer1.single_view import sample_single_view
from cosmos_exp.sampling.sampler_params import SamplerParams

LEAST = Memory(text_encoder="swap", resident="one", offload="blocks", tokenizer_chunk=1)
PARAMS = SamplerParams(num_steps=2, guidance=2.0)


def present(model):
    return {group for group, parts in model._parts.items() if parts}


def results(model):
    """Of every part, in an order that makes each come and go."""
    video = np.random.default_rng(0).integers(0, 256, (9, 32, 48, 3), dtype=np.uint8)
    latents = model.encode_video(video)
    text, texts = model.encode_text("Snow"), torch.stack([model.encode_text(f"View {i}") for i in range(6)])
    front = sample_single_view(model, {"hdmap": latents}, {"hdmap": 1.0}, text, None, PARAMS, 0)
    views = sample_multi_view(
        model, front, {"hdmap": latents.expand(6, *latents.shape)}, {"hdmap": 1.0}, texts, PARAMS, 0
    )
    again = sample_single_view(model, {"hdmap": latents}, {"hdmap": 1.0}, model.encode_text("Fog"), text, PARAMS, 0)
    return [latents, text, texts, front, views, again, torch.from_numpy(model.decode(front)).float()]


def test_the_least_memory_gives_the_same_results(tiny_model_folder):
    stays = WorldModel.from_folder(tiny_model_folder)
    expected = results(stays)
    assert present(stays) == {"tokenizer", "text_encoder", "single_view", "multi_view"}
    for value, other in zip(results(WorldModel.from_folder(tiny_model_folder, memory=LEAST)), expected, strict=True):
        torch.testing.assert_close(value, other, atol=1e-4, rtol=1e-4)


def test_who_is_there_with_whom(tiny_model_folder):
    model = WorldModel.from_folder(tiny_model_folder, memory=LEAST)
    model.encode_text("Snow")
    assert present(model) == {"text_encoder"}
    gone = weakref.ref(model.text_encoder)
    model.single_view(["hdmap"])
    assert present(model) == {"single_view"}
    assert gone() is None
    assert model.tokenizer is model.tokenizer
    assert present(model) == {"single_view", "tokenizer"}
    gone = weakref.ref(model.single_view().net.base)
    model.multi_view()
    assert present(model) == {"multi_view", "tokenizer"}
    assert gone() is None
    model.encode_text("Snow")
    assert present(model) == {"text_encoder", "tokenizer"}


@pytest.mark.parametrize(
    ("text_encoder", "expected"), [("stay", {"text_encoder", "multi_view"}), ("swap", {"multi_view"})]
)
def test_the_text_encoder_stays_where_asked(tiny_model_folder, text_encoder, expected):
    model = WorldModel.from_folder(tiny_model_folder, memory=Memory(text_encoder=text_encoder))
    model.encode_text("Snow")
    model.multi_view()
    assert present(model) == expected


def test_networks_stay_beside_a_text_encoder_on_the_cpu(tiny_model_folder):
    model = WorldModel.from_folder(tiny_model_folder, device="meta", memory=Memory(text_encoder="cpu", resident="one"))
    model.single_view()
    assert model.encode_text("Snow").device.type == "cpu"
    assert present(model) == {"single_view", "text_encoder"}
    assert model.single_view().net.base.proj_out.weight.device.type == "meta"


def test_the_text_encoder_in_bfloat16_is_near(tiny_model_folder):
    exact = WorldModel.from_folder(tiny_model_folder).encode_text("A street in the snow")
    near = WorldModel.from_folder(tiny_model_folder, memory=Memory(text_encoder_dtype="bfloat16")).encode_text(
        "A street in the snow"
    )
    assert near.dtype == torch.float32
    assert 0 < (near - exact).norm() / exact.norm() < 0.02


def test_unknown_values_are_refused():
    with pytest.raises(UserError, match="did you mean 'swap'"):
        Memory(text_encoder="swapp")
    with pytest.raises(UserError, match="tokenizer_chunk=0"):
        Memory(tokenizer_chunk=0)
