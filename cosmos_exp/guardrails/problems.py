"""What is wrong with the `guardrails` group, said before a run begins: a guard that cannot work is no guard."""

from __future__ import annotations

from collections.abc import Iterator

from cosmos_exp.common.errors import attempt, unknown_name
from cosmos_exp.guardrails.config import GuardrailsConfig
from cosmos_exp.guardrails.networks import CENTERFACE, OPEN_NSFW, problem
from cosmos_exp.guardrails.safety import SiglipClassifier
from cosmos_exp.guardrails.text_model import parser_name
from cosmos_exp.guardrails.texts import llm_config, word_guard
from cosmos_exp.guardrails.videos import SAFETY_MODELS
from cosmos_exp.llm.config import llm_problems


def guardrail_problems(config: GuardrailsConfig, here: bool = True) -> Iterator[str]:
    """One message per problem. here: whether on this machine, so that the networks must be there."""
    yield from attempt(lambda: word_guard(config))[1]
    if not config.words and (config.lists or config.allowed):
        yield "guardrails.lists and guardrails.allowed: are of the blocklist, which guardrails.words=false turns off"
    yield from _text_model_problems(config, here)
    for key in ("face_threshold", "safety_threshold"):
        if not 0 < getattr(config, key) <= 1:
            yield f"guardrails.{key}={getattr(config, key):g}: must be above 0, and 1 at most"
    if not 0 <= config.safety_share < 1:
        yield f"guardrails.safety_share={config.safety_share:g}: must be 0 (no frame) to below 1"
    if config.face_size < 1:
        yield f"guardrails.face_size={config.face_size}: must be 1 pixel or more"
    if config.safety_model not in SAFETY_MODELS:
        yield f"guardrails.safety_model: {unknown_name('network', config.safety_model, SAFETY_MODELS)}"
    elif here:
        yield from _network_problems(config)


def _text_model_problems(config: GuardrailsConfig, here: bool) -> Iterator[str]:
    if config.text_model is None:
        for key in ("text_answers", "endpoint", "key_variable"):
            if (value := getattr(config, key)) is not None:
                yield f"guardrails.{key}={value!r}: is of guardrails.text_model, which is not given"
        return
    yield from attempt(lambda: parser_name(config.text_model or "", config.text_answers))[1]
    for told in llm_problems(llm_config(config), here):
        yield (
            told.replace("llm.model", "guardrails.text_model")
            .replace("llm=endpoint", "guardrails.text_model")
            .replace("llm.", "guardrails.")
        )


def _network_problems(config: GuardrailsConfig) -> Iterator[str]:
    if config.faces and (said := problem(CENTERFACE, config.weights)):
        yield said
    if config.safety and config.safety_model == "open_nsfw" and (said := problem(OPEN_NSFW, config.weights)):
        yield said
    if config.safety and config.safety_model == "siglip":
        for path in SiglipClassifier(config.weights, config.violence).files:
            if not path.is_file():
                yield (
                    f"guardrails.weights={config.weights!r}: no file at {str(path)!r}: "
                    f"`cosmos-exp download guardrail siglip --alone --to {config.weights}` fetches it"
                )
