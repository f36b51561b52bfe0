"""How many hidden states an evaluation holds at once, by count of the tensors that are alive."""

from __future__ import annotations

import pytest
import torch
from helpers.alive_tensors import Alive

from cosmos_exp.common import threads
from cosmos_exp.models.dit import block
from cosmos_exp.models.transfer1.config import DiTConfig
from cosmos_exp.models.transfer1.control import ControlEncoder, ControlledDiT
from cosmos_exp.models.transfer1.transformer import DiT

CONFIG = DiTConfig(
    model_channels=96, num_blocks=4, num_heads=2, text_channels=16, adaln_lora_dim=4, max_size=(8, 32, 32)
)
CONTROLS = ("hdmap", "edge", "depth", "seg")


@pytest.fixture
def hidden_states(monkeypatch):
    """Largest number of hidden states alive during a guided evaluation, beside what is made once a clip."""
    monkeypatch.setattr(threads.cv2, "getNumThreads", lambda: 1)  # `Alive` sees this thread alone
    encoders = {name: ControlEncoder(CONFIG.control(hint_channels=16, num_blocks=3)) for name in CONTROLS}
    net = ControlledDiT(DiT(CONFIG), encoders).eval()
    x = torch.randn(1, 16, 4, 24, 24)

    @torch.inference_mode()
    def count(*controls: str) -> float:
        clip = net.prepare(x, {name: x for name in controls})
        prompts = [net.prepare_text(text, clip) for text in (torch.randn(1, 8, 16), None)]
        with Alive() as alive:
            net.branches(x, torch.zeros(1), prompts, clip, dict.fromkeys(controls, 0.2), batched=False)
        return alive.peak / (clip.num_tokens * CONFIG.model_channels * 4)

    return count


def test_a_further_control_costs_its_start_alone(hidden_states):
    one, three, four = (hidden_states(*CONTROLS[:count]) for count in (1, 3, 4))
    assert four - three < 1.1  # the tokens both passes begin with
    assert three - one < 6  # from two controls on, the sum so far lies beside the residuals that come


def test_an_mlp_works_on_parts_of_a_long_clip(hidden_states, monkeypatch):
    whole = hidden_states()
    monkeypatch.setattr(block, "MLP_TOKENS", 64)
    assert hidden_states() < whole - 1.5  # the peak is in attention then


def test_parts_change_nothing(monkeypatch):
    torch.manual_seed(0)
    own = DiT(CONFIG).transformer_blocks[0]
    normed = torch.randn(2, 50, CONFIG.model_channels)
    whole = own.mlp(normed)
    monkeypatch.setattr(block, "MLP_TOKENS", 16)
    torch.testing.assert_close(own.mlp(normed), whole)
