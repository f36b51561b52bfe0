"""The benchmark of peak memory runs, at a size that has none to speak of."""

from __future__ import annotations

import torch


def test_every_part_works_under_the_smallest_preset(tiny_model, monkeypatch):
    from benchmarks import memory

    monkeypatch.setattr(memory, "nano_config", lambda: tiny_model.config)
    rows = list(memory.run("nano", ["gpu_24gb"], "both", "cpu"))
    parts = [row["what"].partition(",")[0] for row in rows]
    assert parts == ["text encoder"] + ["single view"] * 3 + ["multi view"] * 3
    assert not any(row["error"] or row["peak"] for row in rows)


def test_the_released_model_is_built_of_one_piece_of_memory(monkeypatch):
    from benchmarks import memory
    from cosmos_exp.config import schema

    schema.register()
    model = memory.model_of("7b", "gpu", "cpu")
    weights = [parameter for parameter in model.multi_view(["hdmap"]).parameters()]
    assert sum(weight.numel() for weight in weights) > 8e9
    assert len({weight.untyped_storage().data_ptr() for weight in weights}) < 5
    assert model.dtype == torch.bfloat16
    assert sum(weight.numel() for weight in model.text_encoder.parameters()) > 4.7e9
