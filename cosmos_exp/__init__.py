"""cosmos-exp: from a driving scene to photoreal multi-camera video, as Hydra-configured experiments.

`import cosmos_exp as cx` is light: each name below is imported when it is first used.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cosmos_exp.captions.describe import describe as describe
    from cosmos_exp.cli.api import sweep as sweep
    from cosmos_exp.common.errors import UserError as UserError
    from cosmos_exp.common.video import read_video as read_video
    from cosmos_exp.common.video import write_video as write_video
    from cosmos_exp.config.compose import compose as compose
    from cosmos_exp.config.rigs import load_rig as load_rig
    from cosmos_exp.controls import make_control as make_control
    from cosmos_exp.metrics import evaluate as evaluate
    from cosmos_exp.metrics.types import GeneratedClip as GeneratedClip
    from cosmos_exp.models.registry import register_model as register_model
    from cosmos_exp.pipeline.api import load_model as load_model
    from cosmos_exp.pipeline.api import run as run
    from cosmos_exp.rendering.api import render as render
    from cosmos_exp.runs.load import load_run as load_run
    from cosmos_exp.runs.load import load_sweep as load_sweep
    from cosmos_exp.scene.api import load_scene as load_scene
    from cosmos_exp.scene.scenery import add_scenery as add_scenery
    from cosmos_exp.scene.types import ActorClass as ActorClass
    from cosmos_exp.scene.types import Lane as Lane
    from cosmos_exp.scene.types import LaneLine as LaneLine
    from cosmos_exp.scene.types import LaneType as LaneType
    from cosmos_exp.scene.types import Scene as Scene
    from cosmos_exp.scene.types import SceneMap as SceneMap
    from cosmos_exp.scene.types import Track as Track
    from cosmos_exp.scene.types import Trajectory as Trajectory
    from cosmos_exp.sensors.rigs import build_rig as build_rig

__version__ = "0.1.0"

# Threads of torch that wait for others sleep. By default they spin, which on a machine with other work doubles the CPU
# time and multiplies the wall time. OpenMP reads this once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("KMP_BLOCKTIME", "0")
# Those of NumPy's OpenBLAS spin too, and take the cores from threads of ours that run side by side: a matrix product
# has one thread. OpenBLAS reads this once, when NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_HOMES = {
    "describe": "cosmos_exp.captions.describe",
    "sweep": "cosmos_exp.cli.api",
    "UserError": "cosmos_exp.common.errors",
    "read_video": "cosmos_exp.common.video",
    "write_video": "cosmos_exp.common.video",
    "compose": "cosmos_exp.config.compose",
    "load_rig": "cosmos_exp.config.rigs",
    "make_control": "cosmos_exp.controls",
    "evaluate": "cosmos_exp.metrics",
    "GeneratedClip": "cosmos_exp.metrics.types",
    "register_model": "cosmos_exp.models.registry",
    "load_model": "cosmos_exp.pipeline.api",
    "run": "cosmos_exp.pipeline.api",
    "render": "cosmos_exp.rendering.api",
    "load_run": "cosmos_exp.runs.load",
    "load_sweep": "cosmos_exp.runs.load",
    "load_scene": "cosmos_exp.scene.api",
    "add_scenery": "cosmos_exp.scene.scenery",
    "ActorClass": "cosmos_exp.scene.types",
    "Lane": "cosmos_exp.scene.types",
    "LaneLine": "cosmos_exp.scene.types",
    "LaneType": "cosmos_exp.scene.types",
    "Scene": "cosmos_exp.scene.types",
    "SceneMap": "cosmos_exp.scene.types",
    "Track": "cosmos_exp.scene.types",
    "Trajectory": "cosmos_exp.scene.types",
    "build_rig": "cosmos_exp.sensors.rigs",
}
"""{name: module that it is imported from}."""

__all__ = [*_HOMES, "__version__"]  # strings all


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
