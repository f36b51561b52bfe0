"""What a run or a sweep would compute, found by walking the pipeline without computing.

The keys of all results follow from the config, so a walk finds what is in the cache, what cells share, and which of
them come to the same result. What is left is estimated from what such results have cost before.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from omegaconf import DictConfig

from cosmos_exp.common.errors import UserError
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.config.schema import Config, typed
from cosmos_exp.pipeline.dry_run import Wanted, dry_run
from cosmos_exp.runs.cost_history import REST, Cost, Estimate, History, estimate

LAST = "metrics"  # stage, whatever stages the models have before it


@dataclass
class PlannedCell:
    """wanted: {key: result}. stages: names of all that it may have, in their order. results: keys of its videos and
    metrics. new: those wanted that neither the cache nor an earlier cell has. same_as: number of the earlier cell with
    the same results. seconds: estimate; None where something was never measured. notes: of the scene. cost_note: of
    the model.
    """

    config: Config
    wanted: Mapping[str, Wanted]
    rest: Wanted
    stages: Sequence[str]
    results: tuple[str, ...]
    notes: tuple[str, ...]
    cost_note: str
    new: list[Wanted] = field(default_factory=list)
    same_as: int | None = None
    seconds: float | None = 0.0

    @property
    def gpus(self) -> int:
        return self.config.hardware.gpus


@dataclass(frozen=True)
class StagePlan:
    """One stage over all cells: results wanted, of these in the cache, shared with an earlier cell, and to be made.

    each: median estimate of one; None where it was never measured. seconds, gpu_seconds, bytes: of all to be made.
    """

    stage: str
    wanted: int
    cached: int
    shared: int
    to_make: int
    each: Estimate | None
    seconds: float | None
    gpu_seconds: float
    bytes: float


@dataclass
class Plan:
    cells: list[PlannedCell]
    costs: list[Cost]

    @cached_property
    def stages(self) -> list[StagePlan]:
        stages = dict.fromkeys(stage for cell in self.cells for stage in cell.stages if stage != LAST)
        return [self._stage(stage) for stage in (*stages, LAST, REST) if any(self._wanted(stage))]

    @property
    def notes(self) -> list[str]:
        """Of the scenes, what the user should know; each once."""
        return list(dict.fromkeys(note for cell in self.cells for note in cell.notes))

    @property
    def cost_notes(self) -> list[str]:
        """What the models say of their cost; each once."""
        return list(dict.fromkeys(cell.cost_note for cell in self.cells if cell.cost_note))

    @property
    def seconds(self) -> float | None:
        """Of all cells one after another; None where a stage was never measured."""
        return None if self.unknown else sum(stage.seconds or 0.0 for stage in self.stages)

    @property
    def gpu_seconds(self) -> float:
        return sum(stage.gpu_seconds for stage in self.stages)

    @property
    def bytes(self) -> float:
        return sum(stage.bytes for stage in self.stages)

    @property
    def unknown(self) -> list[str]:
        """Stages to be made that were never measured in this setting."""
        return [stage.stage for stage in self.stages if stage.seconds is None]

    def estimate(self, wanted: Wanted) -> Estimate | None:
        return estimate(self.costs, wanted.stage, wanted.setting, wanted.size, wanted.passes)

    def _wanted(self, stage: str) -> Iterator[tuple[PlannedCell, Wanted]]:
        for cell in self.cells:
            for wanted in (*cell.wanted.values(), cell.rest):
                if wanted.stage == stage:
                    yield cell, wanted

    def _stage(self, stage: str) -> StagePlan:
        all_wanted = list(self._wanted(stage))
        to_make = [(cell, w) for cell, w in all_wanted if w in cell.new or w is cell.rest]
        cached = sum(w.cached for _, w in all_wanted)
        estimates = [(cell, self.estimate(w)) for cell, w in to_make]
        known = [(cell, e) for cell, e in estimates if e]
        return StagePlan(
            stage,
            wanted=len(all_wanted),
            cached=cached,
            shared=len(all_wanted) - cached - len(to_make),
            to_make=len(to_make),
            each=max((e for _, e in known), key=lambda e: e.seconds, default=None),
            seconds=sum(e.seconds for _, e in known) if len(known) == len(to_make) else None,
            gpu_seconds=sum(e.seconds * cell.gpus for cell, e in known),
            bytes=sum(e.bytes for _, e in known),
        )


def make_plan(configs: Sequence[DictConfig]) -> Plan:
    """The plan of these cells, which must have passed `validate`; they share the cache of the first.

    Builds the scenes whose captions are not in the cache, because prompts follow from them; computes nothing else.
    Raises UserError for the first cell whose scene cannot be loaded or is too short.
    """
    cells = [_planned(typed(cfg), f"cell {i}: " if len(configs) > 1 else "") for i, cfg in enumerate(configs)]
    plan = Plan(cells, History(cells[0].config.paths.cache).costs())
    made: set[str] = set()
    first: dict[tuple[str, ...], int] = {}
    for number, cell in enumerate(cells):
        cell.new = [w for w in cell.wanted.values() if not w.cached and w.key not in made]
        made |= cell.wanted.keys()
        before = first.setdefault(cell.results, number)
        cell.same_as = before if before != number else None
        needed = (*cell.new, cell.rest)
        known = [e.seconds for w in needed if (e := plan.estimate(w))]
        cell.seconds = sum(known) if len(known) == len(needed) else None
    return plan


def _planned(config: Config, place: str) -> PlannedCell:
    """place: what a message begins with."""
    spec = RunSpec(config)
    try:
        dry = dry_run(spec)
    except UserError as error:
        raise UserError(f"{place}{error}") from error
    made = [entry.key for entry in dry.generated]
    made += [wanted.key for wanted in dry.wanted.values() if wanted.stage == LAST]
    rest = Wanted(REST, "", "", len(spec.styles) * spec.megapixels, 1, cached=False)
    return PlannedCell(config, dry.wanted, rest, list(dry.stages), tuple(made), dry.notes, spec.model.cost_note)


def free_bytes(folder: Path) -> int:
    """On the disk that a folder, made or not, lies on."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def swept_keys(overrides: Sequence[Sequence[str]]) -> list[dict[str, str]]:
    """Of each cell, the overrides that differ between the cells."""
    cells = [dict(text.lstrip("+").split("=", 1) for text in cell) for cell in overrides]
    values: dict[str, set] = defaultdict(set)
    for cell in cells:
        for key, value in cell.items():
            values[key].add(value)
    return [{key: value for key, value in cell.items() if len(values[key]) > 1} for cell in cells]
