"""Tensors for the tests of the networks: drawn from a seed, compared by norm, on one thread."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def error(value: Tensor, expected: Tensor) -> float:
    """Norm of the difference, relative to the expected; both of any type and on any device."""
    value, expected = value.float().cpu(), expected.float().cpu()
    return ((value - expected).norm() / expected.norm()).item()


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tiny tensors are computed fastest on one thread, which does not wait for a busy second core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
