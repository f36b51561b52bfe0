"""Memory of the GPU that a run works on: its limit, its peaks, and what to do when it, or the machine's, is too small.

Nothing here imports torch or touches a GPU before the run itself has.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.kernels.speed import EIGHT_BITS

GIB = 2**30
PRESETS = ("gpu_48gb", "gpu_24gb")
NEED_LESS = {  # key: values that take less memory, the cheapest first; the first of them is the one to name
    "hardware.text_encoder": ("swap", "cpu"),
    "hardware.tokenizer_chunk": ("1",),
    "hardware.resident": ("one",),
    "hardware.offload": ("blocks",),
    "speed.linears": EIGHT_BITS,
}


def limit_memory(device: str, gib: float | None) -> None:
    """Let this process take no more of the device's memory; None: all of it."""
    import torch

    share = 1.0 if gib is None else min(1.0, gib * GIB / _properties(device).total_memory)
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


@contextlib.contextmanager
def out_of_memory_explained(cfg: Mapping[str, Any]) -> Iterator[None]:
    """Turn a full GPU, or a full main memory, into a UserError that names what needs less. cfg: the whole config."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if type(error).__name__ == "OutOfMemoryError" or "CUDA error: out of memory" in str(error):
            message = explain_full(cfg, _total(cfg["hardware"]))
        elif isinstance(error, MemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error):
            message = explain_full_machine(cfg)
        else:
            raise
        traceback.clear_frames(error.__traceback__)  # whose tensors would stay as long as the error does
        raise UserError(message) from error


def explain_full(cfg: Mapping[str, Any], total: float | None) -> str:
    """total: GiB that there are, where that is known."""
    size = f" of {total:.1f} GiB" if total else ""
    current = {"hardware": cfg["hardware"], "speed": cfg["speed"]}
    keys = [
        f"{key}={values[0]}"
        for key, values in NEED_LESS.items()
        if str(current[key.partition(".")[0]][key.partition(".")[2]]) not in values
    ]
    presets = ", ".join(f"hardware={name}" for name in PRESETS)
    choices = f"{presets}, or one by one {' '.join(keys)}" if keys else "another GPU"
    return f"the GPU's memory{size} is full. Less is needed by a smaller clip (model.num_frames), {choices}"


def explain_full_machine(cfg: Mapping[str, Any]) -> str:
    """Of the memory that programs have, which `ulimit` and Slurm can make smaller than the machine's."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
    keys = {
        "previews=none": bool(cfg["previews"]["names"]),
        "views=single": len(cfg["views"]["names"]) > 1,
        "hardware.tokenizer_chunk=1": cfg["hardware"]["tokenizer_chunk"] != 1,
    }
    choices = ", ".join(["a smaller clip (model.num_frames)", *(key for key, helps in keys.items() if helps)])
    return f"the main memory is full (this machine has {total:.1f} GiB). Less is needed by {choices}"


def _total(hardware: Mapping[str, Any]) -> float | None:
    if hardware["memory_gb"] is not None:
        return hardware["memory_gb"]
    with contextlib.suppress(RuntimeError, AssertionError):
        return _properties(hardware["device"]).total_memory / GIB
    return None


def _properties(device: str) -> Any:
    import torch

    return torch.cuda.get_device_properties(device)
