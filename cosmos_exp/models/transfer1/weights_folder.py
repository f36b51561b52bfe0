"""Where a model's weights lie, what they hash to, and the network of this process that holds them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import file_version
from cosmos_exp.common.gpu_memory import limit_memory
from cosmos_exp.common.input_files import did_you_mean
from cosmos_exp.common.interpreter import loading_modules
from cosmos_exp.common.single_entry_cache import SingleEntryCache
from cosmos_exp.common.threads import one_torch_thread
from cosmos_exp.models.base import ResultStore
from cosmos_exp.models.checkpoints import released
from cosmos_exp.models.config import HardwareConfig
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.kernels.speed import Speed
from cosmos_exp.models.transfer1.description import read_description
from cosmos_exp.models.transfer1.memory import Memory

if TYPE_CHECKING:
    from cosmos_exp.models.transfer1.model import WorldModel

SHIPPED_WEIGHTS = Path(__file__).with_name("weights")

_models = SingleEntryCache()


def model_folder(name: str, weights: str | None) -> Path:
    """The folder of a model: the given one, the one that ships with the package, or where released models are kept."""
    shipped = SHIPPED_WEIGHTS / name
    if weights is None and name in released.MODELS and not shipped.is_dir():
        folder = released.models_root() / name
        if not (folder / "model.json").is_file():
            raise UserError(f"no weights of {name} in {folder}: {released.how_to_get(name, folder)}")
        return folder
    folder = Path(weights) if weights else shipped
    if not folder.is_dir():
        raise UserError(f"model.weights: no folder {str(folder)!r}{did_you_mean(folder)}")
    return folder


def read_contract(folder: Path) -> Contract:
    """What the model in `folder` can make, without loading it."""
    try:
        return Contract.from_dict(read_description(folder)["contract"])
    except FileNotFoundError:
        raise UserError(f"model.weights: {str(folder)!r} holds no model.json, so it is no model folder") from None


class WeightsFolder:
    """The weights of a run.

    speed, memory: how the networks are evaluated and placed. threads: of torch on the CPU beside a GPU.
    """

    def __init__(self, path: Path, hardware: HardwareConfig, speed: Speed, memory: Memory, threads: int):
        self.path = path
        self.hardware = hardware
        self.speed = speed
        self.memory = memory
        self.threads = threads
        self._loading = Lock()

    @property
    def model(self) -> WorldModel:
        """Kept by the process for its next run. On a CPU this thread then computes with one thread of torch's."""
        import torch

        if self.hardware.on_gpu:
            torch.set_num_threads(self.threads)
        else:
            one_torch_thread()
        with self._loading:
            return self._model

    @cached_property
    def _model(self) -> WorldModel:
        with loading_modules():
            from cosmos_exp.models.transfer1.model import WorldModel

        if self.hardware.on_gpu:
            limit_memory(self.hardware.device, self.hardware.memory_gb)
        folder, options, key = self.source
        return _models.get(key, lambda: WorldModel.from_folder(folder, device=self.hardware.device, **options))

    @cached_property
    def source(self) -> tuple[Path, dict[str, Any], str]:
        """What every process of the run loads, each on its own device: folder, options, and a key of files and all."""
        import torch

        files = sorted((p.name, *file_version(p.stat())) for p in self.path.iterdir())
        key = json.dumps([str(self.path), files, asdict(self.hardware), asdict(self.speed)])
        dtype = getattr(torch, self.hardware.dtype)
        return self.path, {"dtype": dtype, "speed": self.speed, "memory": self.memory}, key

    def files(self, store: ResultStore, *patterns: str) -> dict[str, str]:
        """{file: sha256} of the model's description and of the weights files that match."""
        files = [self.path / "model.json"]
        files += sorted(p for pattern in patterns for p in self.path.glob(f"{pattern}.safetensors"))
        return {p.name: store.file_identity(p) for p in files}

    def identity(self, store: ResultStore, *patterns: str) -> str:
        """Of the same files together."""
        return hashlib.sha256(json.dumps(self.files(store, *patterns), sort_keys=True).encode()).hexdigest()
