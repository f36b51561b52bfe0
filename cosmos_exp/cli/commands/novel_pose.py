"""`cosmos-exp novel-pose -i ROOT --clip ID --edit shift=1.5 -o FOLDER`: a novel ego trajectory of an RDS-HQ clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError, ValidationErrors, unknown_name


def command_line() -> Parser:
    parser = Parser(
        "novel-pose",
        "Write the camera poses of a novel ego trajectory, ROOT/FOLDER/ID.tar, for "
        "`cosmos-exp render rds-hq --novel-pose-folder FOLDER` and NVIDIA's own renderer.",
    )
    parser.add_argument("-i", "--input", metavar="ROOT", type=Path, required=True, help="folder of the clips")
    parser.add_argument("--clip", metavar="ID", help="default: the only clip there is")
    parser.add_argument(
        "--edit", metavar="KEY=VALUE", action="append", default=[], help="as below scene.ego_edit; may be repeated"
    )
    parser.add_argument(
        "--keys", metavar="FILE", type=Path, help='key poses of the front camera: {"frames": [K], "poses": [K][4][4]}'
    )
    parser.add_argument("--no-ground", action="store_true", help="leave the key poses as they are")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FOLDER",
        default="novel_pose",
        help="in ROOT, as a name or as ROOT/NAME; default novel_pose",
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    options = command_line().parse(arguments)
    if bool(options.edit) == bool(options.keys):
        raise UserError("novel-pose: give either --edit KEY=VALUE, once or more, or --keys FILE")

    from cosmos_exp.scene.edits.novel_trajectory import edited_poses, keyed_poses, write_poses
    from cosmos_exp.scene.rds_hq.clip import find_clip

    clip = find_clip(options.input, options.clip)
    if options.keys:
        frames, poses = _read_keys(options.keys)
        novel = keyed_poses(clip, frames, poses, ground=not options.no_ground)
    else:
        novel = edited_poses(clip, _ego_edit(options.edit))
    print(write_poses(options.input, _name_in(options.input, options.output), clip.clip_id, novel))
    return 0


def _name_in(root: Path, output: str) -> str:
    """The name of a folder of the clips that is given by name, or by its path."""
    path = Path(output)
    return path.name if path.parent.resolve() == root.resolve() else output


def _ego_edit(values: Sequence[str]) -> Any:
    from omegaconf import OmegaConf
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

    from cosmos_exp.config.schema import typed_group
    from cosmos_exp.scene.edits.ego_edit import EgoEdit, ego_edit_problems

    try:
        edit = typed_group(
            OmegaConf.merge(OmegaConf.structured(EgoEdit), OmegaConf.from_dotlist(list(values))), EgoEdit
        )
    except (ConfigAttributeError, ConfigKeyError) as error:
        raise UserError(f"--edit: {unknown_name('key', error.full_key or '', _keys(asdict(EgoEdit())))}") from None
    except OmegaConfBaseException as error:
        raise UserError(f"--edit: {' '.join(str(error).split())}") from None
    problems = list(ego_edit_problems(edit, key="--edit"))
    if problems:
        raise ValidationErrors(problems)
    return edit


def _keys(values: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for name, value in values.items():
        found += _keys(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]
    return found


def _read_keys(path: Path) -> tuple[np.ndarray, np.ndarray]:
    from cosmos_exp.common.guards import FARTHEST, read_json
    from cosmos_exp.common.input_files import existing_file

    content = read_json("key poses", existing_file("key poses", path))
    if not isinstance(content, dict) or set(content) != {"frames", "poses"}:
        raise UserError(f'{path}: key poses are {{"frames": [K], "poses": [K][4][4]}}')
    try:
        frames, poses = np.asarray(content["frames"]), np.asarray(content["poses"], np.float64)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{path}: frames and poses must be numbers, each pose 4x4") from None
    if poses.size and np.abs(poses).max() > FARTHEST:
        raise UserError(f"{path}: poses have values beyond {FARTHEST:g} m")
    if frames.dtype.kind != "i":
        raise UserError(f"{path}: frames must be whole numbers")
    return frames, poses
