"""`cosmos-exp example DIR`: small inputs of every kind, generated, with which the commands of the README run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import write_bytes

SENSORS = """\
# A camera above the windscreen: the format of CARLA's Cosmos exporter
- sensor: rgb
  attributes: {image_size_x: 256, image_size_y: 144, fov: 100}
  transform: {location: {x: 0.4, y: 0.0, z: 1.8}, rotation: {pitch: 0.0, yaw: 0.0, roll: 0.0}}
- sensor: depth
  attributes: {image_size_x: 256, image_size_y: 144, fov: 100}
  transform: {location: {x: 0.4, y: 0.0, z: 1.8}, rotation: {pitch: 0.0, yaw: 0.0, roll: 0.0}}
- sensor: rds_hq
  attributes: {image_size_x: 256, image_size_y: 144, fov: 100}
  transform: {location: {x: 0.4, y: 0.0, z: 1.8}, rotation: {pitch: 0.0, yaw: 0.0, roll: 0.0}}
"""

REQUEST = """\
# For `cosmos-exp request` and CARLA's Cosmos client: a prompt, the sampler's values, a table for each control.
prompt = {prompt}
negative_prompt = ""
guidance = 1.0
sigma_max = 80
num_steps = 8
seed = 1

[depth]
control_weight = 1.0
input_control = "depth.mp4"

[seg]
control_weight = 1.0
input_control = "seg.mp4"
"""
CONTROLS, STYLE = ("depth", "seg"), "Sunny"


def command_line() -> Parser:
    parser = Parser(
        "example", "Write a small recorder log, its map, a sensor file, an RDS-HQ clip and a request, all generated."
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder that they are written to")
    return parser


def main(arguments: Sequence[str]) -> int:
    folder = command_line().parse(arguments).folder
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{str(folder)!r} is a file, not a folder")
    from cosmos_exp.captions.describe import describe
    from cosmos_exp.config.compose import compose, composing, rig_of, scene_of
    from cosmos_exp.scene.carla.example import example_log, example_map
    from cosmos_exp.scene.rds_hq.writer import write_clip

    log, town, sensors, clips = (folder / name for name in ("drive.log", "town.xodr", "sensors.yaml", "clips"))
    write_bytes(log, example_log())
    write_bytes(town, example_map().encode())
    write_bytes(sensors, SENSORS.encode())
    files = [f"scene.log={str(log)!r}", f"scene.map={str(town)!r}"]
    cfg = compose(["scene=carla_log", *files, "scene.duration=4", "sensors=nvidia_seven"])
    with composing():
        scene = scene_of(cfg)
        clip = write_clip(scene, rig_of(cfg, scene, default_size=(640, 360)), clips, caption=describe(scene))
    print(f"wrote {log}: a CARLA recorder log\n      {town}: its OpenDRIVE map")
    print(f"      {sensors}: a CARLA sensor file\n      {clips}: the RDS-HQ clip {clip}, with seven cameras")
    request, job = _write_request(folder)
    print(f"      {request}, {job}: a request for a server, in both forms, and its control videos")
    return 0


def _write_request(folder: Path) -> tuple[Path, Path]:
    """A procedural street for a server of the nano model: TOML, the JSON of the job API, videos."""
    from cosmos_exp.common.files import file_sha256, write_json
    from cosmos_exp.config.compose import compose, composing
    from cosmos_exp.config.schema import typed
    from cosmos_exp.remote.wire import ControlInput, JobRequest
    from cosmos_exp.scene.sources.procedural import ProceduralConfig
    from cosmos_exp.serving.scene_inputs import scene_inputs

    toml, job = folder / "request.toml", folder / "job.json"
    with TemporaryDirectory() as work, composing():
        config = typed(compose([f"paths.cache={work}/cache"]))
        inputs = scene_inputs(config, ProceduralConfig.seed, Path(work))
        for name in CONTROLS:
            write_bytes(folder / f"{name}.mp4", inputs.videos[name].shown.read_bytes())
    prompt = inputs.prompts[STYLE]
    write_bytes(toml, REQUEST.format(prompt=json.dumps(prompt)).encode())
    controls = {name: ControlInput(blob=file_sha256(folder / f"{name}.mp4")) for name in CONTROLS}
    request = JobRequest(backend="nano", prompt=prompt, seed=1, controls=controls)
    write_json(job, {"request": request.model_dump(mode="json", exclude_defaults=True)})
    return toml, job
