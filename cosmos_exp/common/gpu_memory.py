"""Memory of the GPU that a run works on: its limit and its peaks.

Nothing here imports torch or touches a GPU before the run itself has.
"""

from __future__ import annotations

import sys
from typing import Any

GIB = 2**30


def limit_memory(device: str, gib: float | None) -> None:
    """Let this process take no more of the device's memory; None: all of it."""
    import torch

    share = 1.0 if gib is None else min(1.0, gib * GIB / device_properties(device).total_memory)
    torch.cuda.set_per_process_memory_fraction(share, torch.device(device).index)


class PeakMeter:
    """The most memory that a piece of work takes on a device; nothing where that is a CPU or not yet in use."""

    def __init__(self, device: str):
        self.device = device
        self._before = 0
        if self._cuda:
            self._cuda.reset_peak_memory_stats(device)
            self._before = self._allocations()

    def peak(self) -> dict[str, float] | None:
        """GiB in tensors, `allocated`, and held by the process, `reserved`; None for work that allocated nothing."""
        if not self._cuda or self._allocations() == self._before:
            return None
        allocated, reserved = self._cuda.max_memory_allocated(self.device), self._cuda.max_memory_reserved(self.device)
        return {"allocated": round(allocated / GIB, 2), "reserved": round(reserved / GIB, 2)}

    def _allocations(self) -> int:
        """How many there have been."""
        return self._cuda.memory_stats(self.device)["allocation.all.allocated"]

    @property
    def _cuda(self) -> Any:
        torch = sys.modules.get("torch")
        if torch is None or self.device == "cpu" or not torch.cuda.is_initialized():
            return None
        return torch.cuda


def device_properties(device: str) -> Any:
    """What CUDA tells of a device: name, total_memory in bytes, compute capability."""
    import torch

    return torch.cuda.get_device_properties(device)
