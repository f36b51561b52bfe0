"""Runs from Python: a whole one into a run folder, or the model alone on a scene of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from cosmos_exp.common.cache import StageCache
from cosmos_exp.common.files import write_bytes
from cosmos_exp.common.progress import Tick, steps
from cosmos_exp.config.compose import compose, composing, rig_of
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.config.validate import check
from cosmos_exp.models.contract import Contract
from cosmos_exp.pipeline import run as pipeline_run
from cosmos_exp.pipeline.cached_results import Results
from cosmos_exp.pipeline.context import RunContext
from cosmos_exp.pipeline.scene_loading import LoadedScene
from cosmos_exp.pipeline.stages import run_stages
from cosmos_exp.runs.load import Run, load_run
from cosmos_exp.scene.types import Scene
from cosmos_exp.sensors.camera import Rig

if TYPE_CHECKING:
    from cosmos_exp.metrics.types import GeneratedClip

Overrides = Sequence[str] | DictConfig


def run(config: Overrides = (), folder: Path | str | None = None) -> Run:
    """One run of the whole pipeline, as `cosmos-exp OVERRIDE ...` does it.

    config: overrides, or what `compose` returned. folder: of the run; None: `<paths.outputs>/runs/<name>`. Raises
    UserError before any work where the config cannot run.
    """
    cfg = compose(config) if not isinstance(config, DictConfig) else config
    with composing():
        path = Path(folder) if folder else Path(cfg.paths.outputs) / "runs" / cfg.name
        pipeline_run.run(cfg, path)
    if not isinstance(config, DictConfig):
        write_bytes(path / ".hydra" / "overrides.yaml", OmegaConf.to_yaml(list(config)).encode())
    return load_run(path)


class LoadedModel:
    """A video model with its config, for scenes made in Python. What it loads stays in this process.

    cfg: what `compose` returned; its `scene` group counts only for `weather`.
    """

    def __init__(self, cfg: DictConfig):
        self.cfg = cfg
        self.spec = RunSpec(check(cfg))

    @property
    def contract(self) -> Contract:
        """What it can make."""
        return self.spec.contract

    @property
    def fps(self) -> float:
        return self.spec.fps

    def generate(
        self, scene: Scene, rig: Rig | None = None, *, cache: Path | str | None = None
    ) -> dict[str, GeneratedClip]:
        """{style: the generated clip}, with the renders of the scene beside it, as `evaluate` takes it.

        rig: cameras named as the views of the config; None: those of the config. cache: folder in which renders,
        latents and videos are kept for the next call; None: nothing is kept. Raises UserError where the scene is
        shorter than the clip.
        """
        with TemporaryDirectory() as temporary:
            results = Results(self.spec, StageCache(cache or temporary), reporter=ProgressBars())
            given = LoadedScene(self.spec, results.cache, scene, rig or rig_of(self.cfg, scene))
            context = RunContext(self.spec, results, scene=given)
            run_stages(context, without=("videos", "metrics"))
            return {style: context.measured(style).clip for style in self.spec.styles}


def load_model(name: str = "nano", overrides: Sequence[str] = ()) -> LoadedModel:
    """A video model by the name of its option. overrides: further ones of the main config, such as
    `["views=single", "captions.styles=[Rainy]", "sampler.guidance=1"]`."""
    return LoadedModel(compose([f"model={name}", "previews=none", *overrides]))


class ProgressBars:
    """Shows the stages as a run does, and writes nothing."""

    def stage(self, name: str, label: str = "") -> AbstractContextManager[Tick]:
        return steps(label or name)
