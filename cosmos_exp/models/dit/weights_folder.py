"""The weights folder of a run: what its files hash to, the network of this process that holds them, and sampling with
it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, fields
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from cosmos_exp.common import torchrun
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import file_version
from cosmos_exp.common.gpu_memory import limit_memory
from cosmos_exp.common.input_files import did_you_mean
from cosmos_exp.common.progress import Tick
from cosmos_exp.common.single_entry_cache import SingleEntryCache
from cosmos_exp.common.threads import one_torch_thread
from cosmos_exp.models.base import ResultStore
from cosmos_exp.models.checkpoints.released import how_to_get, models_root
from cosmos_exp.models.config import HardwareConfig, SpeedConfig
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.dit.description import CONFIG_FILE
from cosmos_exp.models.dit.memory import Memory
from cosmos_exp.models.kernels.speed import Speed

if TYPE_CHECKING:
    from torch import Tensor

    from cosmos_exp.models.dit.workers import Load, Source

_models = SingleEntryCache()


class WeightsFolder:
    """The weights of a run.

    load: makes the model of a folder, see `workers.Load`. speed: of the config. threads: of torch on the CPU beside a
    GPU. text_encoder_dtype: where the config leaves it to the model.
    """

    def __init__(
        self,
        path: Path,
        load: Load,
        hardware: HardwareConfig,
        speed: SpeedConfig,
        threads: int,
        *,
        text_encoder_dtype: str = "float32",
    ):
        self.path = path
        self.load = load
        self.hardware = hardware
        self.speed = chosen_speed(speed, hardware)
        own = {entry.name: getattr(hardware, entry.name) for entry in fields(Memory)}
        self.memory = Memory(**own | {"text_encoder_dtype": hardware.text_encoder_dtype or text_encoder_dtype})
        self.threads = threads
        self._loading = Lock()

    @property
    def model(self) -> Any:
        """Kept by the process for its next run. On a CPU this thread then computes with one thread of torch's."""
        import torch

        if self.hardware.on_gpu:
            torch.set_num_threads(self.threads)
        else:
            one_torch_thread()
        with self._loading:
            return self._model

    @cached_property
    def _model(self) -> Any:
        if self.hardware.on_gpu:
            limit_memory(self.hardware.device, self.hardware.memory_gb)
        load, folder, options, key = self.source
        return _models.get(key, lambda: load(folder, device=self.hardware.device, **options))

    @cached_property
    def source(self) -> Source:
        """What every process of the run loads, each on its own device."""
        import torch

        files = sorted((p.name, *file_version(p.stat())) for p in self.path.iterdir())
        key = json.dumps([str(self.path), files, asdict(self.hardware), asdict(self.speed)])
        dtype = getattr(torch, self.hardware.dtype)
        return self.load, self.path, {"dtype": dtype, "speed": self.speed, "memory": self.memory}, key

    def files(self, store: ResultStore, *patterns: str) -> dict[str, str]:
        """{file: sha256} of the model's description and of the weights files that match."""
        files = [self.path / CONFIG_FILE]
        files += sorted(p for pattern in patterns for p in self.path.glob(f"{pattern}.safetensors"))
        return {p.name: store.file_identity(p) for p in files}

    def identity(self, store: ResultStore, *patterns: str) -> str:
        """Of the same files together."""
        return hashlib.sha256(json.dumps(self.files(store, *patterns), sort_keys=True).encode()).hexdigest()

    # Sampling

    @property
    def processes(self) -> int:
        """That sample a clip together."""
        return torchrun.process_count(self.hardware.processes)

    def sample(self, sample: Callable[..., Tensor], *inputs: Any, tick: Tick, **options: Any) -> Tensor:
        """What a sampling function of the model returns, computed here or by all processes of the run. inputs: on the
        CPU."""
        if self.processes == 1:
            return sample(self.model, *inputs, progress=tick, **options)

        from cosmos_exp.models.dit.workers import sampling_workers

        return sampling_workers(self.processes, self.hardware.device).sample(
            sample,
            self.model,
            self.source,
            *inputs,
            progress=tick,
            threads=self.threads if self.hardware.on_gpu else self.processes,
            memory_gb=self.hardware.memory_gb,
            **options,
        )


def given_folder(weights: str | Path) -> Path:
    """That of `model.weights`. UserError where there is none."""
    folder = Path(weights)
    if not folder.is_dir():
        raise UserError(f"model.weights: no folder {str(folder)!r}{did_you_mean(folder)}")
    return folder


def released_folder(name: str, download: str) -> Path:
    """Where a released model is kept. UserError, with what gets it, where it is not there. download: what `cosmos-exp
    download` calls it."""
    folder = models_root() / name
    if not (folder / CONFIG_FILE).is_file():
        raise UserError(f"no weights of {name} in {folder}: {how_to_get(name, download, folder)}")
    return folder


def contract_in(folder: Path, read_description: Callable[[Path], dict[str, Any]]) -> Contract:
    """What the model in `folder` can make, without loading it. UserError where it holds no model."""
    try:
        return Contract.from_dict(read_description(folder)["contract"])
    except FileNotFoundError:
        raise UserError(f"model.weights: {str(folder)!r} holds no {CONFIG_FILE}, so it is no model folder") from None


def chosen_speed(speed: SpeedConfig, hardware: HardwareConfig) -> Speed:
    """compile: null in the config stands for: on a GPU."""
    fuse = hardware.on_gpu if speed.compile is None else speed.compile
    return Speed(attention=speed.attention, linears=speed.linears, compile=fuse)
