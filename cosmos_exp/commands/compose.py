"""What the overrides of a run stand for, for commands that need only a scene and its cameras."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_exp.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from cosmos_exp.scene.types import Scene
    from cosmos_exp.sensors.camera import Rig


def compose_config(overrides: Sequence[str], config_dir: Path | None) -> DictConfig:
    """The main config. Raises UserError for every mistake in the overrides."""
    from hydra import compose, initialize_config_module

    from cosmos_exp import schema
    from cosmos_exp.hydra_app import EXPLAINED

    if config_dir is not None and not config_dir.is_dir():
        raise UserError(f"--config-dir: no folder {str(config_dir)!r}")
    own = [f"hydra.searchpath=['file://{config_dir.resolve()}']"] if config_dir else []
    schema.register()
    try:
        with initialize_config_module("cosmos_exp.conf", version_base="1.3"):
            return compose("config", overrides=[*overrides, *own])
    except EXPLAINED as error:
        raise UserError(explained(error)) from error


def explained(error: Exception) -> str:
    """One message for a mistake of the user's."""
    from cosmos_exp.hydra_app import explain

    return explain(error) or str(error)


def scene_of(cfg: DictConfig) -> Scene:
    from cosmos_exp.scene.sources import load_scene
    from cosmos_exp.validate import check_scene

    check_scene(cfg)
    return load_scene(cfg.scene)


def rig_of(cfg: DictConfig, scene: Scene | None, *, default_size: tuple[int, int] | None = None) -> Rig:
    """As a run would build it, but every camera at its own size; pinholes that have none at default_size."""
    from omegaconf import OmegaConf

    from cosmos_exp.scene.sources import load_rig
    from cosmos_exp.sensors.carla_yaml import placed

    missing = sorted(OmegaConf.missing_keys(cfg.sensors))
    if missing:
        raise UserError(" and ".join(f"{key} is required: give {key}=..." for key in missing))
    sensors = OmegaConf.to_container(cfg.sensors, resolve=True)
    if default_size:
        sensors["cameras"] = {name: _at_size(camera, default_size) for name, camera in sensors["cameras"].items()}
    return placed(load_rig(cfg.scene, sensors), sensors, lambda: scene or scene_of(cfg))


def _at_size(camera: Any, size: tuple[int, int]) -> Any:
    return {"size": list(size), **camera} if isinstance(camera, dict) and "hfov" in camera else camera
