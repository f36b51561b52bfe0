"""`cosmos-exp export rds-hq -o OUT [OVERRIDE ...]`: any scene, seen by any rig, as a clip of NVIDIA's RDS-HQ format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError
from cosmos_exp.config.compose import compose, composing, rig_of, scene_of

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
    from cosmos_exp.scene.rds_hq.writer import write_clip

    if options.output.is_file():
        raise UserError(f"--output {str(options.output)!r} is a file, not a folder")
    cfg = compose(options.overrides, config_dir=options.config_dir)
    with composing():
        scene = scene_of(cfg)
        rig = rig_of(cfg, scene, default_size=SIZE)
    clip = write_clip(scene, rig, options.output, caption=describe(scene))
    print(f"wrote clip {clip}: {scene.duration:.1f} s, {len(scene.tracks)} objects, {len(rig.cameras)} cameras")
    print(f"      {options.output / 'pose' / f'{clip}.tar'} and beside it")
    print(f"      {options.output / f'dataset_{clip}.json'}, the config to render it with")
    return 0
