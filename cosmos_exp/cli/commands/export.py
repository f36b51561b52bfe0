"""`cosmos-exp export rds-hq|clipgt -o OUT [OVERRIDE ...]`: any scene, seen by any rig, as a clip that NVIDIA's tools
read."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.config.compose import compose, composing, rig_of, scene_of

if TYPE_CHECKING:
    from cosmos_exp.scene.types import Scene
    from cosmos_exp.sensors.camera import Rig

SIZE = (1920, 1080)  # pixels of NVIDIA's pictures; of pinhole cameras that have no size of their own


def command_line() -> Parser:
    parser = Parser(
        "export",
        "Write the scene that the overrides name, as their sensors see it, as a clip for NVIDIA's toolkit.",
    )
    what = "rds-hq: tars of poses, map, objects and intrinsics; clipgt: tables, for World Scenario maps"
    parser.choice("format", ["rds-hq", "clipgt"], what)
    parser.add_argument("overrides", metavar="OVERRIDE", nargs="*", help="of a run: scene=NAME, sensors=NAME, ...")
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, required=True, help="folder of the clips")
    parser.add_argument("--surviving", metavar="RUN", type=Path, help="the scene of a run, with labels that it shows")
    parser.add_argument("--style", help="of --surviving: which of the run's styles; default: the first")
    parser.add_argument("--least", type=float, default=0.5, help="of --surviving: least share of frames; default 0.5")
    seen = "objects only while a camera sees them, as CARLA's exporter of ClipGT has it"
    parser.add_argument("--visible", action="store_true", help=seen)
    parser.add_argument("--config-dir", metavar="DIR", type=Path, help="folder of options of your own")
    return parser


def main(arguments: Sequence[str]) -> int:
    options = command_line().parse(arguments)
    if options.output.is_file():
        raise UserError(f"--output {str(options.output)!r} is a file, not a folder")
    if options.surviving:
        scene, rig = _surviving(options)
    else:
        cfg = compose(options.overrides, config_dir=options.config_dir)
        with composing():
            scene = scene_of(cfg)
            rig = rig_of(cfg, scene, default_size=SIZE)
    if options.visible:
        scene = _visible(scene, rig)
    write = _write_clipgt if options.format == "clipgt" else _write_rds_hq
    write(scene, rig, options.output)
    return 0


def _write_rds_hq(scene: Scene, rig: Rig, out: Path) -> None:
    from cosmos_exp.captions.describe import describe
    from cosmos_exp.scene.rds_hq.writer import write_clip

    clip = write_clip(scene, rig, out, caption=describe(scene))
    _tell(clip, scene, rig)
    print(f"      {out / 'pose' / f'{clip}.tar'} and beside it")
    print(f"      {out / f'dataset_{clip}.json'}, the config to render it with")


def _write_clipgt(scene: Scene, rig: Rig, out: Path) -> None:
    from cosmos_exp.scene.clipgt.writer import write_clip

    clip = write_clip(scene, rig, out)
    _tell(clip.clip_id, scene, rig)
    print(f"      {out / clip.clip_id}: {', '.join(clip.tables)}")
    for note in clip.notes:
        print(f"note: {note}")


def _tell(clip: str, scene: Scene, rig: Rig) -> None:
    print(f"wrote clip {clip}: {scene.duration:.1f} s, {len(scene.tracks)} objects, {len(rig.cameras)} cameras")


def _visible(scene: Scene, rig: Rig) -> Scene:
    from cosmos_exp.common.progress import steps
    from cosmos_exp.rendering.visibility import visible_scene

    with steps("visibility") as tick:
        kept = visible_scene(scene, rig, tick=tick)
    names = {track.id for track in kept.tracks}
    shown = sum(any(name == track.id or name.startswith(f"{track.id}_") for name in names) for track in scene.tracks)
    print(f"objects: {shown} of {len(scene.tracks)} are seen by a camera, in {len(kept.tracks)} pieces")
    return kept


def _surviving(options: Namespace) -> tuple[Scene, Rig]:
    """The scene of a run without the labels that its video does not show, and its cameras."""
    from cosmos_exp.metrics.label_file import FILE, read_shares, surviving
    from cosmos_exp.pipeline.reproduce import typed_config
    from cosmos_exp.runs.load import load_run
    from cosmos_exp.runs.run_folder import RunFolder

    if options.overrides:
        raise UserError(f"--surviving takes scene and sensors from the run: remove {' '.join(options.overrides)}")
    if not 0 < options.least <= 1:
        raise UserError(f"--least {options.least:g}: a share above 0, up to 1")
    run = load_run(options.surviving)
    style = options.style or run.styles[0]
    if style not in run.styles:
        raise UserError(unknown_name("style of this run", style, run.styles))
    shares = read_shares(RunFolder(options.surviving).labels(style) / FILE)
    cfg = typed_config(RunFolder(options.surviving))
    with composing():
        scene = scene_of(cfg)
        rig = rig_of(cfg, scene, default_size=SIZE)
    kept = surviving(scene, shares, options.least)
    lights, signs = scene.map.traffic_lights, scene.map.traffic_signs
    for what, before, after, decided in (
        ("objects", scene.tracks, kept.tracks, [t for t in scene.tracks if t.id in shares.objects]),
        ("lane lines", scene.map.lane_lines, kept.map.lane_lines, shares.lines),
        ("traffic lights", lights, kept.map.traffic_lights, [x for x in lights if x.id in shares.objects]),
        ("traffic signs", signs, kept.map.traffic_signs, [x for x in signs if x.id in shares.objects]),
    ):
        never = len(before) - len(decided)
        print(
            f"{what}: {len(after)} of {len(before)} are shown in {options.least:.0%} of their frames; left out are "
            f"{len(decided) - len(after)} that are not, and {never} without a verdict in any frame"
        )
    return kept, rig
