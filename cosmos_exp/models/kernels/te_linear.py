"""Linear layers of NVIDIA's Transformer Engine on 8-bit floats (the extra `te`)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.kernels.speed import NO_TRANSFORMER_ENGINE

BLOCK = 32  # values that share a scale; rows and columns are multiples of it


class TELinear(nn.Module):
    """`transformer_engine.pytorch.Linear` without bias; weight and input are 8-bit floats in the format of the GPU.

    Where there is MXFP8 (the Blackwell generation), a scale for every 32 values of a row. Before that e4m3, a scale for
    the weight and one for the input, which is that of each call's largest value: no history of earlier calls.
    """

    layer: Any  # transformer_engine.pytorch.Linear

    def __init__(self, weight: Tensor):
        """weight: [N, K] on a GPU."""
        super().__init__()
        if any(size % BLOCK for size in weight.shape):
            raise UserError(f"speed.linears=te: a weight of {tuple(weight.shape)}; both must be multiples of {BLOCK}")
        engine, self.recipe = engine_for(weight.device)
        self.autocast = engine.autocast
        with torch.no_grad(), torch.cuda.device(weight.device), engine.quantized_model_init(recipe=self.recipe):
            layer = engine.Linear(
                *reversed(weight.shape),
                bias=False,
                init_method=lambda drawn: None,
                params_dtype=weight.dtype,
                device=weight.device,
            )
            layer.weight.quantize_(weight)
        self.__dict__["layer"] = layer.eval()  # no submodule: what can be moved are the plain tensors in its weight
        for name, tensor in layer.weight.get_metadata().items():
            if isinstance(tensor, Tensor):
                self.register_buffer(name, tensor)

    @property
    def weight(self) -> Tensor:
        """[N, K], a tensor of Transformer Engine that says it has the original dtype."""
        return self.layer.weight

    def forward(self, x: Tensor) -> Tensor:
        """x: [..., K] -> [..., N] in its dtype."""
        rows = x.flatten(0, -2)
        count, missing = len(rows), -len(rows) % BLOCK
        if missing:
            rows = F.pad(rows, (0, 0, 0, missing))
        with torch.cuda.device(x.device), self.autocast(recipe=self.recipe):
            out = self.layer(rows)
        return out[:count].unflatten(0, x.shape[:-1])


def engine_for(device: torch.device) -> tuple[Any, Any]:
    """`transformer_engine.pytorch`, and its recipe for a GPU."""
    if device.type != "cuda":
        raise UserError(f"speed.linears=te needs a CUDA device and was given {device}; speed.linears=fp8 runs there")
    try:
        import transformer_engine.pytorch as engine
        from transformer_engine.common.recipe import Float8CurrentScaling, MXFP8BlockScaling
    except ModuleNotFoundError as error:
        raise UserError(f"{NO_TRANSFORMER_ENGINE} ({error})") from None
    except (ImportError, OSError, RuntimeError, AssertionError) as error:
        raise UserError(f"speed.linears=te: Transformer Engine is installed but does not load: {error}") from error
    with torch.cuda.device(device):
        there, reason = engine.is_fp8_available(return_reason=True)
        if not there:
            raise UserError(f"speed.linears=te on {torch.cuda.get_device_name(device)}: {reason}")
        return engine, MXFP8BlockScaling() if engine.is_mxfp8_available() else Float8CurrentScaling()
