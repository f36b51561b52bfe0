"""The main job as a Hydra application."""

from __future__ import annotations

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from cosmos_exp.config import schema
from cosmos_exp.config.hydra_internals import EXPLAINED, HydraBypassError
from cosmos_exp.runs import stopping

schema.register()


def job(cfg: DictConfig) -> None:
    """One run: a composed config in, a run folder out."""
    from cosmos_exp.pipeline.run import run
    from cosmos_exp.sweeps.callbacks import checked_config

    stopping.listen()
    hydra_cfg = HydraConfig.get()
    in_sweep = hydra_cfg.mode == RunMode.MULTIRUN
    try:
        sweep = Path(hydra_cfg.sweep.dir).name if in_sweep else None
        run(cfg, Path(hydra_cfg.runtime.output_dir), sweep=sweep, config=None if in_sweep else checked_config())
    except EXPLAINED as error:
        if in_sweep:
            raise
        raise HydraBypassError(error) from error


# `job` stays importable under its own name, because launchers send it to other processes by name.
main = hydra.main(config_path="pkg://cosmos_exp.conf", config_name="config", version_base="1.3")(job)
