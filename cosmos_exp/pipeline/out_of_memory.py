"""A GPU, or a main memory, that is too small: one message that names what needs less."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Iterator
from dataclasses import asdict

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.gpu_memory import GIB, device_properties
from cosmos_exp.config.schema import Config
from cosmos_exp.models.config import HardwareConfig
from cosmos_exp.models.kernels.speed import EIGHT_BITS

PRESETS = ("gpu_48gb", "gpu_24gb")
NEED_LESS = {  # key: values that take less memory, the cheapest first; the first of them is the one to name
    "hardware.text_encoder": ("swap", "cpu"),
    "hardware.tokenizer_chunk": ("1",),
    "hardware.resident": ("one",),
    "hardware.offload": ("blocks",),
    "speed.linears": EIGHT_BITS,
}


@contextlib.contextmanager
def out_of_memory_explained(config: Config) -> Iterator[None]:
    """Turn an out-of-memory error, of the GPU or of the machine, into a UserError that says what needs less."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if type(error).__name__ == "OutOfMemoryError" or "CUDA error: out of memory" in str(error):
            message = cuda_out_of_memory(config, _total(config.hardware))
        elif isinstance(error, MemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error):
            message = machine_out_of_memory(config)
        else:
            raise
        traceback.clear_frames(error.__traceback__)  # whose tensors would stay as long as the error does
        raise UserError(message) from error


def cuda_out_of_memory(config: Config, total: float | None) -> str:
    """total: GiB that there are, where that is known."""
    size = f" ({total:.1f} GiB)" if total else ""
    current = {"hardware": asdict(config.hardware), "speed": asdict(config.speed)}
    keys = [
        f"{key}={values[0]}"
        for key, values in NEED_LESS.items()
        if str(current[key.partition(".")[0]][key.partition(".")[2]]) not in values
    ]
    presets = ", ".join(f"hardware={name}" for name in PRESETS)
    choices = f"{presets}, or one by one {' '.join(keys)}" if keys else "another GPU"
    return f"CUDA out of memory{size}; try a smaller clip (model.num_frames), {choices}"


def machine_out_of_memory(config: Config) -> str:
    """Of the memory that programs have, which `ulimit` and Slurm can make smaller than the machine's."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
    keys = {
        "previews=none": bool(config.previews.names),
        "views=single": len(config.views.names) > 1,
        "hardware.tokenizer_chunk=1": config.hardware.tokenizer_chunk != 1,
    }
    choices = ", ".join(["a smaller clip (model.num_frames)", *(key for key, helps in keys.items() if helps)])
    return f"out of main memory (this machine has {total:.1f} GiB); try {choices}"


def _total(hardware: HardwareConfig) -> float | None:
    if hardware.memory_gb is not None:
        return hardware.memory_gb
    with contextlib.suppress(RuntimeError, AssertionError):
        return device_properties(hardware.device).total_memory / GIB
    return None
