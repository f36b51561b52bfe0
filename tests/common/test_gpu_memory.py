"""Memory of the GPU, as far as it can be tried without one, and on one."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from cosmos_exp.common import gpu_memory
from cosmos_exp.runs import summary
from cosmos_exp.runs.report import Report
from cosmos_exp.runs.run_folder import RunFolder

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def test_the_status_has_peaks_where_there_were_any(tmp_path, monkeypatch):
    report = Report(RunFolder(tmp_path), "id", device="cpu")
    with report.stage("render"):
        pass
    assert json.loads((tmp_path / "status.json").read_text())["gpu_memory"] == {}
    peaks = iter([{"allocated": 2.0, "reserved": 3.0}, {"allocated": 1.0, "reserved": 4.0}])
    monkeypatch.setattr(gpu_memory.PeakMeter, "peak", lambda self: next(peaks))
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
    monkeypatch.setattr(
        gpu_memory, "device_properties", lambda device: SimpleNamespace(total_memory=80 * gpu_memory.GIB)
    )
    for limit in (20, 200, None):
        gpu_memory.limit_memory(device, limit)
    assert set_to == [(0.25, index), (1.0, index), (1.0, index)]


@needs_gpu
def test_peak_and_limit_on_a_gpu():
    torch.cuda.init()
    meter = gpu_memory.PeakMeter("cuda")
    assert meter.peak() is None
    kept = torch.empty(gpu_memory.GIB, dtype=torch.uint8, device="cuda")
    assert 1 <= meter.peak()["allocated"] < 1.1
    meter = gpu_memory.PeakMeter("cuda")
    del kept
    half = torch.empty(gpu_memory.GIB // 2, dtype=torch.uint8, device="cuda")
    assert 1 <= meter.peak()["allocated"] < 1.1  # as much lay there at first
    del half
    gpu_memory.limit_memory("cuda", 2)
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(3 * gpu_memory.GIB, dtype=torch.uint8, device="cuda")
    gpu_memory.limit_memory("cuda", None)
