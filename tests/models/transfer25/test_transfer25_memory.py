"""What a model takes of memory: counted without torch, beside the modules themselves; and the presets of hardware."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from helpers.alive_tensors import Alive
from helpers.composing import Composer

from cosmos_exp.cli.commands.plan import main as plan
from cosmos_exp.common import threads
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.config.schema import typed
from cosmos_exp.config.validate import validate
from cosmos_exp.models.dit import block
from cosmos_exp.models.kernels.float8 import LARGE_LINEARS
from cosmos_exp.models.transfer25.config import AUTO_MULTIVIEW_2B
from cosmos_exp.models.transfer25.memory_estimate import (
    FURTHER_CONTROL,
    HIDDEN_STATES,
    SECOND_CONTROL,
    TOKENIZER_PARAMETERS,
    TOKENIZER_VALUES,
    TOKENIZER_WIDTH,
    language_model_parameters,
    network_weights,
)
from cosmos_exp.models.transfer25.network import ControlledNet
from cosmos_exp.models.transfer25.released import MODELS, QWEN_SIZE, released_config
from cosmos_exp.models.transfer25.text import TextEncoder
from cosmos_exp.models.transfer25.tokenizer import VideoTokenizer

CARDS = {"gpu": 78.0, "gpu_48gb": 44.0, "gpu_24gb": 22.0}
"""GiB that a card of 80, 48 and 24 GB has for a process."""
SEVEN = ("views=seven", "sensors=nvidia_seven", "controls=wsm")
OPTIONS = {
    "transfer25_auto_multiview": SEVEN,
    "transfer25_edge": ("views=single", "controls=edge"),
    "transfer25_general": ("views=single", "controls=uniform"),
}


def count(parameters) -> int:
    return sum(parameter.numel() for parameter in parameters)


@pytest.mark.parametrize("name", OPTIONS)
def test_parameters_are_those_of_the_modules(name):
    with torch.device("meta"):
        net = ControlledNet(MODELS[name].network).cast(torch.bfloat16)
    weights, blocks = network_weights(MODELS[name].network), [own for stack in net.stacks() for own in stack.blocks]
    large = [own.get_submodule(layer).parameters() for own in blocks for layer in LARGE_LINEARS]
    assert weights.total == count(net.parameters())
    assert weights.large == sum(map(count, large)) == len(blocks) * weights.block
    assert weights.exact == count(p for p in net.parameters() if p.dtype == torch.float32)


def test_so_are_those_of_text_encoder_and_tokenizer():
    with torch.device("meta"):
        encoder = TextEncoder({key: value for key, value in QWEN_SIZE.items() if key != "vocabulary"}, 512)
        tokenizer = VideoTokenizer({})
    assert language_model_parameters(QWEN_SIZE) == count(encoder.parameters())
    assert count(tokenizer.parameters()) == TOKENIZER_PARAMETERS


@pytest.mark.parametrize("controls", [("wsm",), ("a", "b"), ("a", "b", "c", "d")])
def test_activations_of_an_evaluation(controls, monkeypatch):
    monkeypatch.setattr(threads.cv2, "getNumThreads", lambda: 1)  # `Alive` sees this thread alone
    monkeypatch.setattr(block, "MLP_TOKENS", 64)
    small = {"model_channels": 256, "num_blocks": 8, "num_heads": 2, "adaln_lora_dim": 4, "text_width": 32}
    small |= {"text_channels": 16, "text_tokens": 8, "control_every": 2, "controls": controls}
    net, x = ControlledNet(replace(AUTO_MULTIVIEW_2B, **small)).eval(), torch.randn(1, 16, 8, 16, 16)
    with torch.inference_mode():
        clip = net.prepare(x, dict.fromkeys(controls, x), views=2)
        prompts = [net.prepare_text(torch.randn(1, 16, 32), clip) for _ in range(2)]
        with Alive() as alive:
            net.branches(x, torch.zeros(1), prompts, clip, dict.fromkeys(controls, 0.2), batched=False)
    states = alive.peak / (clip.num_tokens * 256 * 4)
    more = SECOND_CONTROL + FURTHER_CONTROL * (len(controls) - 2) if len(controls) > 1 else 0
    assert states == pytest.approx(HIDDEN_STATES + more, rel=0.05)


def test_activations_of_the_tokenizer():
    tokenizer, side = VideoTokenizer({"base_dim": 16}).eval(), 32
    with torch.inference_mode():
        latents = torch.randn(1, 16, 8, side // 8, side // 8)
        with Alive() as decoding:
            tokenizer.decode(latents)
        with Alive() as encoding:
            tokenizer.encode(torch.rand(1, 3, 29, side, side))
    assert encoding.peak < decoding.peak
    assert decoding.peak / (side**2 * 16 * 4) == pytest.approx(TOKENIZER_VALUES, rel=0.25)
    assert VideoTokenizer({}).vae.config.base_dim == TOKENIZER_WIDTH


@pytest.fixture(scope="module")
def configured(tmp_path_factory):
    """A function: the config of a model of full size, whose folder has its description alone."""
    composer, root = Composer(), tmp_path_factory.mktemp("described")

    def config(name: str, *overrides: str):
        folder = root / name
        folder.mkdir(exist_ok=True)
        (folder / "model.json").write_text(json.dumps(released_config(name, "")))
        options = (f"model={name}", "sampler=transfer25", "scene.duration=6", *OPTIONS[name])
        return composer(*options, *overrides, f"model.weights={folder}")

    return config


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("preset", CARDS)
def test_a_preset_fits_its_card(configured, name, preset):
    cfg = configured(name, f"hardware={preset}")
    assert validate(cfg, here=False) == []
    memory = RunSpec(typed(cfg)).model.memory
    assert 10 < memory.peak < CARDS[preset] * 0.85  # which leaves room for the workspaces of kernels
    assert (memory.offloaded > 1) == (preset != "gpu")


def test_the_smaller_the_card_the_less_is_taken(configured):
    peaks = [RunSpec(typed(configured("transfer25_auto_multiview", f"hardware={p}"))).model.memory for p in CARDS]
    assert peaks[0].peak > peaks[1].peak > peaks[2].peak and peaks[1].weights < peaks[0].weights / 2
    one = configured("transfer25_auto_multiview", "hardware=gpu", "views.names=[front_wide_120fov]")
    assert RunSpec(typed(one)).model.memory.network < peaks[0].network / 2
    own = configured("transfer25_auto_multiview", "hardware=gpu", "hardware.text_encoder_dtype=float32")
    assert RunSpec(typed(own)).model.memory.text_encoder > 26 > peaks[0].text_encoder


@pytest.mark.slow
def test_plan_tells_it(model25_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = [f"model.weights={model25_folder}", "model=transfer25_auto_multiview", "scene.duration=3", *SEVEN]
    assert plan(options) == 0
    told = capsys.readouterr().out
    assert "model:    about 0.0 GiB of memory at most" in told and "while the network works" in told
