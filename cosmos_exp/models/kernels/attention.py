"""Scaled dot-product attention: choice of the kernel, and zero keys in closed form.

Tensors are [B, heads, L, head_dim] (queries, results) and [B, heads, S, head_dim] (keys, values); logits are scaled by
head_dim^-0.5.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.models.kernels.fused import EAGER, Fused

KERNELS = {
    "auto": [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH],
    "cudnn": [SDPBackend.CUDNN_ATTENTION],
    "flash": [SDPBackend.FLASH_ATTENTION],
    "efficient": [SDPBackend.EFFICIENT_ATTENTION],
    "math": [SDPBackend.MATH],
}


def attend(query: Tensor, key: Tensor, value: Tensor, kernel: str = "auto") -> Tensor:
    """Attention by the named kernel.

    "auto" takes the first of its list that supports the inputs; on a CPU and in training, torch's choice.
    """
    if kernel == "auto" and (torch.is_grad_enabled() or not query.is_cuda):
        return F.scaled_dot_product_attention(query, key, value)
    with sdpa_kernel(KERNELS[kernel], set_priority=True):
        return F.scaled_dot_product_attention(query, key, value)


def training_attention(kernel: str | None) -> AbstractContextManager[None]:
    """Context in which `attend` of networks that are trained prefers the named kernel; None: torch's choice."""
    if kernel is None:
        return nullcontext()
    if kernel not in KERNELS:
        raise UserError(unknown_name("attention", kernel, KERNELS))
    rest = [backend for backend in KERNELS["auto"] if backend not in KERNELS[kernel]]
    return sdpa_kernel([*KERNELS[kernel], *rest], set_priority=True)


def attend_with_logsumexp(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Attention, and the logarithm of the sum of the exponentials of its logits, float32 [B, heads, L]."""
    if not query.is_cuda:
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value)
    if query.dtype == torch.float32:
        result = torch.ops.aten._scaled_dot_product_efficient_attention(query, key, value, None, True)
    elif torch.cuda.get_device_capability(query.device) >= (9, 0):
        result = torch.ops.aten._scaled_dot_product_cudnn_attention(query, key, value, None, True)
    else:
        result = torch.ops.aten._scaled_dot_product_flash_attention(query, key, value)
    rows = result[1].reshape(*query.shape[:2], -1)
    return result[0], rows[..., : query.shape[-2]]  # one of the kernels pads them


def attend_beside_zeros(query: Tensor, key: Tensor, value: Tensor, zeros: int, fused: Fused = EAGER) -> Tensor:
    """Attention to these keys and to `zeros` more whose key and value are zero.

    A zero key has the logit 0, so all of them add `zeros` to the sum of exponentials and nothing to the result.
    """
    if not zeros:
        return attend(query, key, value)
    attended, logsumexp = attend_with_logsumexp(query, key, value)
    return fused.with_zero_keys(attended, logsumexp, torch.full((), math.log(zeros), device=query.device))
