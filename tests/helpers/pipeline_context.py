"""The stages of a run step by step, without a run folder."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from cosmos_exp.common.cache import StageCache
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.models.transfer1.generation import Generation
from cosmos_exp.models.transfer1.video_model import Transfer1
from cosmos_exp.pipeline.cached_results import Results
from cosmos_exp.pipeline.context import RunContext
from cosmos_exp.pipeline.stages import STAGES, run_stages


def context_of(cfg: DictConfig, cache: Path) -> RunContext:
    spec = RunSpec.of(cfg)
    return RunContext(spec, Results(spec, StageCache(cache)))


def after(context: RunContext, last: str) -> RunContext:
    """The context when the stage `last` is done."""
    names = [stage.name for stage in STAGES]
    run_stages(context, without=names[names.index(last) + 1 :])
    return context


def transfer1(context: RunContext) -> Transfer1:
    assert isinstance(context.spec.model, Transfer1)
    return context.spec.model


def generation_of(context: RunContext) -> Generation:
    """Of a context whose controls are made."""
    return Generation(transfer1(context), context.generation_request(), context.results)
