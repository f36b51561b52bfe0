"""Samples of either command of NVIDIA's for Cosmos-Transfer2.5: read, changed, and what counts otherwise here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cosmos_exp.models.transfer25 import general_file, spec_file
from cosmos_exp.models.transfer25.general_file import GeneralSample
from cosmos_exp.models.transfer25.sample_json import read_with, without_nulls
from cosmos_exp.models.transfer25.spec_file import Sample

AnySample = Sample | GeneralSample
SETTABLE = tuple(dict.fromkeys((*spec_file.SETTABLE, *general_file.SETTABLE)))
"""What the originals' command lines may give in place of the files' values."""


def read_samples(paths: Sequence[Path]) -> list[AnySample]:
    """Of all files, in their order; each is of the command whose keys it has. Paths are relative to a file's folder.

    ValidationErrors with every mistake: unknown keys, wrong types and ranges, files that do not exist, names that two
    samples have.
    """
    return list[AnySample](read_with(paths, _parsed))


def _parsed(values: Any, folder: Path, problems: list[str]) -> Any:
    own = {"video_path", *general_file.CONTROLS}
    if isinstance(values, dict) and not own.isdisjoint(without_nulls(values, own)):
        return general_file.read_sample(values, folder, problems)
    return spec_file.read_sample(values, folder, problems)


def changed(sample: AnySample, values: Mapping[str, Any]) -> AnySample:
    """The same with other values, checked; as the options of the originals' command lines override every sample."""
    if isinstance(sample, Sample):
        return spec_file.with_values(sample, **values)
    return general_file.with_values(sample, **values)


def notes(sample: AnySample) -> Iterator[str]:
    """What counts here and not in the original."""
    if isinstance(sample, Sample) and sample.negative_prompt is not None:
        yield f"{sample.name}: negative_prompt counts; NVIDIA's command ignores it and takes the model's own"
