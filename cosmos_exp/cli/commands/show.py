"""`cosmos-exp show rig=NAME`, `cosmos-exp show scene=NAME`: pictures of cameras and of scenes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError, nearest_name, unknown_name
from cosmos_exp.config.compose import compose, composing, rig_of, scene_of
from cosmos_exp.config.conf_folder import CONF

if TYPE_CHECKING:
    import numpy as np
    from omegaconf import DictConfig

    from cosmos_exp.scene.types import Scene
    from cosmos_exp.sensors.camera import Rig

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
RIG, SCENE = re.compile(r"[+~]*sensors[=.]"), re.compile(r"[+~]*scene[=.]")


def command_line() -> Parser:
    parser = Parser(
        "show",
        "Draw a rig's cameras (rig=NAME, the same as sensors=NAME) or a scene from above (scene=NAME); with both, the "
        "scene with the cameras where the ego vehicle starts. Takes the overrides of a run.",
    )
    parser.add_argument("overrides", metavar="OVERRIDE", nargs="*", help="rig=NAME, scene=NAME, scene.log=FILE, ...")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="picture to write, .png or .jpg")
    parser.add_argument("--config-dir", metavar="DIR", type=Path, help="folder of options of your own")
    return parser


def main(arguments: Sequence[str]) -> int:
    options = command_line().parse(arguments)
    overrides = [re.sub(r"^([+~]*)rig(?=[=.])", r"\1sensors", word) for word in options.overrides]
    _check_words(overrides)
    wants_rig, wants_scene = (any(kind.match(word) for word in overrides) for kind in (RIG, SCENE))
    if not wants_rig and not wants_scene:
        raise UserError(f"nothing to show: give {_choices('rig', 'sensors')}, or {_choices('scene', 'scene')}")
    if options.output is not None:
        _check_output(options.output)
    cfg = compose(overrides, config_dir=options.config_dir)
    with composing():
        scene = scene_of(cfg) if wants_scene else None
        rig = rig_of(cfg, scene) if wants_rig else None
        picture, name = _draw(cfg, scene, rig)
    path = options.output or Path(f"{name}.png")
    write_picture(path, picture)
    print(f"wrote {path}")
    return 0


def write_picture(path: Path, picture: np.ndarray) -> None:
    """picture: uint8 [H,W,3]; the format follows from the name."""
    from PIL import Image

    from cosmos_exp.common.files import write_atomic

    content = BytesIO()
    Image.fromarray(picture).save(content, FORMATS[path.suffix.lower()], quality=90, optimize=True)
    write_atomic(path, content.getvalue())


def _check_words(words: Sequence[str]) -> None:
    known = [
        f"{name}={option}" for name, group in (("rig", "sensors"), ("scene", "scene")) for option in _options(group)
    ]
    for word in words:
        if "=" not in word and not word.startswith("~"):
            hint = nearest_name(word, known)
            raise UserError(f"{word!r} is no override: write KEY=VALUE" + (f", such as {hint}" if hint else ""))


def _options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def _choices(name: str, group: str) -> str:
    return f"{name}=NAME, one of {', '.join(_options(group))}"


def _check_output(path: Path) -> None:
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"--output {str(path)!r}: {unknown_name('picture format', path.suffix, FORMATS)}")
    if not path.parent.is_dir():
        raise UserError(f"--output {str(path)!r}: there is no folder {str(path.parent)!r}")


def _draw(cfg: DictConfig, scene: Scene | None, rig: Rig | None) -> tuple[np.ndarray, str]:
    """The picture and what it is called; prints what it shows."""
    if rig is not None:
        from cosmos_exp.visualization.rig import camera_rows, draw_rig, format_table

        print(format_table(camera_rows(rig, cfg.sensors.views)))
        if scene is None:
            return draw_rig(rig, cfg.sensors.views), f"rig_{rig.name}"
    from cosmos_exp.visualization.scene import count_actors, draw_scene

    assert scene is not None, "there is a rig or a scene"
    print(f"{scene.clip_id}: {scene.duration:.1f} s, {count_actors(scene)}")
    return draw_scene(scene, rig), f"scene_{scene.clip_id}"
