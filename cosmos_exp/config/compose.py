"""Compose the main config outside Hydra's own application, and make scene and cameras of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_exp.common.errors import UserError
from cosmos_exp.config.hydra_internals import EXPLAINED, explain
from cosmos_exp.config.option_files import check_option_files, own_folders

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from omegaconf import DictConfig

    from cosmos_exp.scene.types import Scene
    from cosmos_exp.sensors.camera import Rig

log = logging.getLogger(__name__)


def compose(overrides: Sequence[str] = (), *, config_dir: Path | str | None = None) -> DictConfig:
    """The main config, with types, as `cosmos-exp OVERRIDE ...` would have it.

    overrides: as on the command line, `["scene.seed=3", "sampler.guidance=2"]`. config_dir: a folder of more options.
    Raises UserError for every mistake in the overrides; what `cosmos_exp.config.validate` checks is not checked yet.
    """
    with config_loader(config_dir, overrides) as (_, own):
        from hydra import compose

        return compose("config", overrides=[*overrides, *own])


@contextmanager
def composing(folders: Sequence[Path] = ()) -> Iterator[None]:
    """Turns the mistakes of a user that are found within into one message each. folders: of options of their own."""
    try:
        yield
    except EXPLAINED as error:
        raise UserError(explain(error, folders=folders) or str(error)) from error


@contextmanager
def config_loader(config_dir: Path | str | None, overrides: Sequence[str]) -> Iterator[tuple[ConfigLoader, list[str]]]:
    """Hydra's loader of our configs, and the overrides that add a folder of the user's. overrides: that are to be
    composed, whose option files in this folder are checked."""
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra

    from cosmos_exp.config import schema

    if config_dir is not None and not Path(config_dir).is_dir():
        raise UserError(f"--config-dir: no folder {str(config_dir)!r}")
    own = [f"hydra.searchpath=['file://{Path(config_dir).resolve()}']"] if config_dir else []
    folders = [Path(config_dir)] if config_dir else own_folders(overrides)
    check_option_files(folders, overrides)
    schema.register()
    with composing(folders), initialize_config_module("cosmos_exp.conf", version_base="1.3"):
        yield GlobalHydra.instance().config_loader(), own


def scene_of(cfg: DictConfig) -> Scene:
    """The scene of a config, its notes logged."""
    from cosmos_exp.config.schema import typed_group
    from cosmos_exp.config.validate import check_scene
    from cosmos_exp.scene.source import SceneConfig
    from cosmos_exp.scene.sources import load_scene

    check_scene(cfg)
    scene = load_scene(typed_group(cfg.scene, SceneConfig))
    for note in scene.notes:
        log.warning("%s", note)
    return scene


def rig_of(cfg: DictConfig, scene: Scene | None, *, default_size: tuple[int, int] | None = None) -> Rig:
    """As a run would build it, but every camera at its own size; pinholes that have none at default_size."""
    from omegaconf import OmegaConf

    from cosmos_exp.config.schema import typed_group
    from cosmos_exp.scene.actor_frame import actor_origin, in_rig_frame
    from cosmos_exp.scene.source import SceneConfig
    from cosmos_exp.scene.sources import load_rig
    from cosmos_exp.sensors.config import SensorsConfig

    missing = sorted(OmegaConf.missing_keys(cfg.sensors))
    if missing:
        raise UserError(" and ".join(f"{key} is required: give {key}=..." for key in missing))
    sensors = typed_group(cfg.sensors, SensorsConfig)
    if default_size:
        sensors.cameras = {name: _at_size(camera, default_size) for name, camera in sensors.cameras.items()}
    rig = load_rig(typed_group(cfg.scene, SceneConfig), sensors)
    return in_rig_frame(rig, sensors, lambda: actor_origin(scene or scene_of(cfg)))


def _at_size(camera: Any, size: tuple[int, int]) -> Any:
    return {"size": list(size), **camera} if isinstance(camera, dict) and "hfov" in camera else camera
