"""Memory of the GPU, as far as it can be tried without one, and on one."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from cosmos_exp.common import gpu
from cosmos_exp.common.errors import UserError
from cosmos_exp.runs import summary
from cosmos_exp.runs.report import Report
from cosmos_exp.runs.run_folder import RunFolder

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture
def plain(configure):
    return lambda *overrides: OmegaConf.to_container(configure(*overrides), resolve=True)


def test_a_full_gpu_is_one_message_that_names_what_needs_less(plain):
    with pytest.raises(UserError) as caught, gpu.out_of_memory_explained(plain("hardware=gpu")):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
    message = str(caught.value)
    assert "hardware=gpu_48gb, hardware=gpu_24gb" in message
    assert "hardware.tokenizer_chunk=1 hardware.resident=one hardware.offload=blocks speed.linears=fp8" in message
    assert "text_encoder" not in message  # swapped already
    with pytest.raises(RuntimeError, match="shapes"), gpu.out_of_memory_explained(plain()):
        raise RuntimeError("shapes do not fit")


def test_where_all_is_tried_a_smaller_clip_or_another_gpu_is_left(plain):
    cfg, message = (
        plain("hardware=gpu_24gb", "hardware.memory_gb=22"),
        r"22.0 GiB is full.*\(model.num_frames\), another",
    )
    with pytest.raises(UserError, match=message), gpu.out_of_memory_explained(cfg):
        raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("allocate", [torch.empty, lambda size: np.empty(size, np.uint8)])
def test_a_full_main_memory_is_one_message_that_names_what_needs_less(plain, allocate):
    message = r"main memory is full \(this machine has \d+.\d GiB\).*smaller clip.*previews=none, views=single, h"
    with pytest.raises(UserError, match=message), gpu.out_of_memory_explained(plain()):
        allocate(1 << 60)
    few = plain("previews=none", "views=single", "hardware.tokenizer_chunk=1")
    with pytest.raises(UserError, match=r"by a smaller clip \(model.num_frames\)$"), gpu.out_of_memory_explained(few):
        allocate(1 << 60)


def test_the_presets_are_what_their_card_needs(plain):
    settings = {name: plain(f"hardware={name}") for name in ("gpu", *gpu.PRESETS)}
    assert all(cfg["hardware"]["text_encoder"] == "swap" for cfg in settings.values())
    assert [cfg["hardware"]["offload"] for cfg in settings.values()] == ["none", "blocks", "blocks"]
    assert [cfg["speed"]["linears"] for cfg in settings.values()] == ["plain", "plain", "fp8"]


def test_the_status_has_peaks_where_there_were_any(tmp_path, monkeypatch):
    report = Report(RunFolder(tmp_path), "id", device="cpu")
    with report.stage("render"):
        pass
    assert json.loads((tmp_path / "status.json").read_text())["gpu_memory"] == {}
    peaks = iter([{"allocated": 2.0, "reserved": 3.0}, {"allocated": 1.0, "reserved": 4.0}])
    monkeypatch.setattr(gpu.PeakMeter, "peak", lambda self: next(peaks))
    for _ in range(2):
        with report.stage("single_view"):
            pass
    assert report.status.gpu_memory == {"single_view": {"allocated": 2.0, "reserved": 4.0}}


def test_the_summary_shows_the_peaks(tmp_path, capsys):
    folder = RunFolder(tmp_path)
    (tmp_path / "metrics.json").write_text("{}")
    report = Report(folder, "id")
    report.status.gpu_memory = {
        "hints": {"allocated": 6.04, "reserved": 7.0},
        "single_view": {"allocated": 24.1, "reserved": 26.2},
    }
    with report.until_done():
        pass
    summary.show(folder)
    assert "GPU GiB: hints 6.0  single_view 24.1  at most 26.2 with the allocator's reserve" in capsys.readouterr().out


@pytest.mark.parametrize(("device", "index"), [("cuda", 3), ("cuda:1", 1)])
def test_the_limit_is_a_share_of_the_device_that_is_named(device, index, monkeypatch):
    set_to = []
    monkeypatch.setattr(torch.cuda.memory, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(torch._C, "_cuda_setMemoryFraction", lambda *call: set_to.append(call), raising=False)
    monkeypatch.setattr(gpu, "_properties", lambda device: SimpleNamespace(total_memory=80 * gpu.GIB))
    for limit in (20, 200, None):
        gpu.limit_memory(device, limit)
    assert set_to == [(0.25, index), (1.0, index), (1.0, index)]


@needs_gpu
def test_peak_and_limit_on_a_gpu():
    torch.cuda.init()
    meter = gpu.PeakMeter("cuda")
    assert meter.peak() is None
    kept = torch.empty(gpu.GIB, dtype=torch.uint8, device="cuda")
    assert 1 <= meter.peak()["allocated"] < 1.1
    meter = gpu.PeakMeter("cuda")
    del kept
    half = torch.empty(gpu.GIB // 2, dtype=torch.uint8, device="cuda")
    assert 1 <= meter.peak()["allocated"] < 1.1  # as much lay there at first
    del half
    gpu.limit_memory("cuda", 2)
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(3 * gpu.GIB, dtype=torch.uint8, device="cuda")
    gpu.limit_memory("cuda", None)
