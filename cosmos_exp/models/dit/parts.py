"""The parts of a model: created on first use, loaded strictly from their files, evicted to make room for others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.dit.description import CONFIG_FILE
from cosmos_exp.models.dit.memory import Memory
from cosmos_exp.models.dit.offload import Offload
from cosmos_exp.models.dit.stack import BlockStack
from cosmos_exp.models.kernels.speed import Speed


class ModelParts(ABC):
    """folder: with a safetensors file for each part; None: random weights. dtype, speed: of the networks. memory: which
    parts are on the device at the same time; only models with a folder evict parts, because these can be loaded again.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        device: str | torch.device,
        dtype: torch.dtype,
        speed: Speed | None,
        memory: Memory | None,
    ):
        self.folder = folder
        self.device = torch.device(device)
        self.dtype = dtype
        self.speed = speed or Speed()
        self.memory = memory or Memory()
        self._parts: dict[str, dict[str, nn.Module]] = {}  # by the group that is evicted together

    @abstractmethod
    def _fill(self, part: nn.Module, path: Path) -> None:
        """Load a part that is on the meta device from its file."""

    @abstractmethod
    def _to_device(self, part: nn.Module) -> nn.Module:
        """A part in its dtype, on its device."""

    def _drop(self, group: str) -> None:  # noqa: B027, a model that makes nothing of its parts has nothing to forget
        """Forget what was made of the parts of a group, which are evicted."""

    def _evict_for(self, needed: str) -> None:
        """Evict the parts that may not be on the device together with the needed one; they are loaded again on use."""
        for group in self.memory.evicted_for(needed) if self.folder else ():
            self._drop(group)
            for part in self._parts.pop(group, {}).values():
                for module in part.modules():
                    if isinstance(module, BlockStack) and module.offload is not None:
                        module.offload.unregister(module.transformer_blocks)

    def _part(self, group: str, name: str, make: Callable[[], nn.Module]) -> Any:
        parts = self._parts.setdefault(group, {})
        if name not in parts:
            parts[name] = self._to_device(self._load(name, make)).eval()
        return parts[name]

    def _load(self, name: str, make: Callable[[], nn.Module]) -> nn.Module:
        if self.folder is None:
            return make()
        path = self.folder / f"{name}.safetensors"
        part = on_meta(make, path)
        self._fill(part, path)
        return part

    @cached_property
    def _offload(self) -> Offload:
        return Offload(self.device)


def on_meta(make: Callable[[], nn.Module], path: Path) -> nn.Module:
    """A part without memory for its weights. path: of its file, for the message where its settings are wrong."""
    try:
        with torch.device("meta"):
            return make()
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, ArithmeticError, RuntimeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path.parent / CONFIG_FILE}: {path.stem} cannot be built of its settings: {error}") from error
