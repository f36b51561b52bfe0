"""What a run says about its config as it begins: what it chose, normalised, or does not follow as it stands."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.controls.class_filter import find_filter
from cosmos_exp.metrics.captured_scene import sentences
from cosmos_exp.models.base import Notice
from cosmos_exp.models.checkpoints.released import MODELS as RELEASED
from cosmos_exp.sensors.carla_yaml import read_carla_sensors

log = logging.getLogger(__name__)


def log_notices(spec: RunSpec, not_measured: Mapping[str, Mapping[str, str]]) -> None:
    """not_measured: {style: {metric: why it has no value}}."""
    for sentence in sentences(not_measured):
        log.info("%s", sentence)
    for notice in (*_notices_of_files(spec), *_notices_of_guards(spec), *spec.model.notices()):
        log.log(notice.level, "%s", notice.message)


def _notices_of_guards(spec: RunSpec) -> Iterator[Notice]:
    """Where a released model makes videos that nobody looks at."""
    guards, model = spec.config.guardrails, spec.config.model.name
    if model in RELEASED and not (guards.faces and guards.safety):
        lacks = " and ".join(name for name in ("faces", "safety") if not getattr(guards, name))
        yield Notice(
            logging.WARNING,
            f"{model} was released with guards of videos, and this run goes without {lacks}: guardrails=full has them",
        )


def _notices_of_files(spec: RunSpec) -> Iterator[Notice]:
    """What CARLA's files say that is not followed as it stands."""
    if file := spec.config.sensors.file:
        for note in read_carla_sensors(file).notes:
            yield Notice(logging.INFO, f"sensors.file: {note}")
    controls = spec.config.controls
    for name in dict.fromkeys((controls.edge.class_filter, controls.seg.class_filter)):
        for note in find_filter(name).notes:
            yield Notice(logging.INFO, f"class filter {name}: {note}")
