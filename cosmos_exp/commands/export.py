"""`cosmos-exp export rds-hq -o OUT [OVERRIDE ...]`: any scene, seen by any rig, as a clip of NVIDIA's RDS-HQ format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cosmos_exp.commands.parser import Parser
from cosmos_exp.errors import UserError, ValidationErrors

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from cosmos_exp.scene.types import Scene
    from cosmos_exp.sensors.camera import Rig

SIZE = (1920, 1080)  # pixels of NVIDIA's pictures; of pinhole cameras that have no size of their own


def command_line() -> Parser:
    parser = Parser(
        "export",
        "Write the scene that the overrides name, as their sensors see it, as a clip for NVIDIA's toolkit.",
    )
    parser.choice("format", ["rds-hq"], "rds-hq: tars of poses, map, objects and intrinsics")
    parser.add_argument("overrides", metavar="OVERRIDE", nargs="*", help="of a run: scene=NAME, sensors=NAME, ...")
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, required=True, help="folder of the clips")
    parser.add_argument("--config-dir", metavar="DIR", type=Path, help="folder of options of your own")
    return parser


def main(arguments: Sequence[str]) -> int:
    options = command_line().parse(arguments)
    from cosmos_exp.captions.describe import describe
    from cosmos_exp.commands.show import compose_config
    from cosmos_exp.hydra_app import explain
    from cosmos_exp.scene.rds_hq.writer import write_clip

    if options.output.is_file():
        raise UserError(f"--output {str(options.output)!r} is a file, not a folder")
    cfg = compose_config(options.overrides, options.config_dir)
    try:
        scene, rig = _scene_and_rig(cfg)
    except ValidationErrors as error:
        raise UserError(explain(error)) from error
    clip = write_clip(scene, rig, options.output, caption=describe(scene))
    print(f"wrote clip {clip}: {scene.duration:.1f} s, {len(scene.tracks)} objects, {len(rig.cameras)} cameras")
    print(f"      {options.output / 'pose' / f'{clip}.tar'} and beside it")
    print(f"      {options.output / f'dataset_{clip}.json'}, the config to render it with")
    return 0


def _scene_and_rig(cfg: DictConfig) -> tuple[Scene, Rig]:
    """As a run would make them, but every camera at its own size, or SIZE."""
    from omegaconf import OmegaConf

    from cosmos_exp.scene.sources import load_rig, load_scene
    from cosmos_exp.sensors.carla_yaml import actor_origin, moved
    from cosmos_exp.validate import check_scene

    missing = sorted(OmegaConf.missing_keys(cfg.sensors))
    if missing:
        raise UserError(" and ".join(f"{key} is required: give {key}=..." for key in missing))
    check_scene(cfg)
    sensors = OmegaConf.to_container(cfg.sensors, resolve=True)
    sensors["cameras"] = {name: _with_size(camera) for name, camera in sensors["cameras"].items()}
    rig = load_rig(cfg.scene, sensors)
    scene = load_scene(OmegaConf.to_container(cfg.scene, resolve=True))
    if sensors["file"]:
        rig = moved(rig, sensors["actor_origin"] or actor_origin(scene))
    return scene, rig


def _with_size(camera: object) -> object:
    return {"size": list(SIZE), **camera} if isinstance(camera, dict) and "hfov" in camera else camera
