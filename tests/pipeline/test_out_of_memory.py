"""Full memory, of a GPU or of the machine, is one message."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cosmos_exp.common.errors import UserError
from cosmos_exp.config.schema import typed
from cosmos_exp.pipeline.out_of_memory import PRESETS, out_of_memory_explained


@pytest.fixture
def typed_config(configure):
    return lambda *overrides: typed(configure(*overrides))


def test_a_full_gpu_is_one_message_that_names_what_needs_less(typed_config):
    with pytest.raises(UserError) as caught, out_of_memory_explained(typed_config("hardware=gpu")):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
    message = str(caught.value)
    assert "hardware=gpu_48gb, hardware=gpu_24gb" in message
    assert "hardware.tokenizer_chunk=1 hardware.resident=one hardware.offload=blocks speed.linears=fp8" in message
    assert "text_encoder" not in message  # swapped already
    with pytest.raises(RuntimeError, match="shapes"), out_of_memory_explained(typed_config()):
        raise RuntimeError("shapes do not fit")


def test_where_all_is_tried_a_smaller_clip_or_another_gpu_is_left(typed_config):
    cfg, message = (
        typed_config("hardware=gpu_24gb", "hardware.memory_gb=22"),
        r"CUDA out of memory \(22.0 GiB\); try .*\(model.num_frames\), another",
    )
    with pytest.raises(UserError, match=message), out_of_memory_explained(cfg):
        raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("allocate", [torch.empty, lambda size: np.empty(size, np.uint8)])
def test_a_full_main_memory_is_one_message_that_names_what_needs_less(typed_config, allocate):
    message = r"out of main memory \(this machine has \d+.\d GiB\).*smaller clip.*previews=none, views=single, h"
    with pytest.raises(UserError, match=message), out_of_memory_explained(typed_config()):
        allocate(1 << 60)
    few = typed_config("previews=none", "views=single", "hardware.tokenizer_chunk=1")
    with (
        pytest.raises(UserError, match=r"try a smaller clip \(model.num_frames\)$"),
        out_of_memory_explained(few),
    ):
        allocate(1 << 60)


def test_the_presets_are_what_their_card_needs(typed_config):
    settings = {name: typed_config(f"hardware={name}") for name in ("gpu", *PRESETS)}
    assert all(cfg.hardware.text_encoder == "swap" for cfg in settings.values())
    assert [cfg.hardware.offload for cfg in settings.values()] == ["none", "blocks", "blocks"]
    assert [cfg.speed.linears for cfg in settings.values()] == ["plain", "plain", "fp8"]
