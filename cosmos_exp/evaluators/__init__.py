"""Perception networks that say what a generated video shows, and the labels of the scene that their output is compared
with. Imports `common`, `sensors`, `scene` and `rendering`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cosmos_exp.common.errors import attempt, unknown_name
from cosmos_exp.common.weights_files import check_weights
from cosmos_exp.evaluators.config import EVALUATORS, MODELS, EvaluatorConfig
from cosmos_exp.evaluators.types import Evaluator


def evaluator_problems(config: EvaluatorConfig) -> Iterator[str]:
    """What is wrong with a config, one message per problem."""
    if config.name not in EVALUATORS:
        yield f"evaluator.name: {unknown_name('evaluator', config.name, EVALUATORS)}"
    for key in ("every", "batch"):
        if (value := getattr(config, key)) < 1:
            yield f"evaluator.{key}={value}: must be 1 or more"
    if config.weights is not None and config.name != "nano":
        yield f"evaluator.weights={config.weights}: only evaluator=nano reads it"
    elif config.weights is not None and not Path(config.weights).is_file():
        yield f"evaluator.weights: no file {config.weights!r}"
    elif config.weights is not None:
        path = Path(config.weights)
        yield from (f"evaluator.weights: {problem}" for problem in attempt(lambda: check_weights(path))[1])
    models = {key: getattr(config, key) for key in MODELS}
    if config.name == "transformers" and not any(models.values()):
        yield "evaluator=transformers needs evaluator.segmentation, evaluator.depth or evaluator.detection"
    if config.name != "transformers":
        for key, value in models.items():
            if value is not None:
                yield f"evaluator.{key}={value}: only evaluator=transformers reads it"


def load_evaluator(config: EvaluatorConfig, device: str) -> Evaluator | None:
    """None for `none`. config: without problems. device: where networks run."""
    if config.name == "none":
        return None
    if config.name == "transformers":
        from cosmos_exp.evaluators.huggingface import TransformersEvaluator

        return TransformersEvaluator(config, device)
    from cosmos_exp.evaluators.nano import NanoEvaluator

    return NanoEvaluator(config, device)
