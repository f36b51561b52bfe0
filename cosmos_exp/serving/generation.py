"""A job as a call of the model seam: a request checked, its files as cache entries, videos as files."""

from __future__ import annotations

import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from cosmos_exp import __version__
from cosmos_exp.captions.views import view_prompt
from cosmos_exp.common.cache import StageCache
from cosmos_exp.common.errors import UserError, ValidationErrors, attempt, unknown_name
from cosmos_exp.common.files import file_sha256, write_atomic
from cosmos_exp.common.gpu_memory import GIB, device_properties
from cosmos_exp.common.progress import Tick
from cosmos_exp.common.typed_config import identity
from cosmos_exp.common.video import compose_grid, resize, write_video
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.config.schema import Config
from cosmos_exp.config.validate import request_problems
from cosmos_exp.guardrails.videos import video_guards
from cosmos_exp.models.base import GeneratedVideos, GenerationRequest
from cosmos_exp.models.registry import contract_of
from cosmos_exp.pipeline.cached_results import Results
from cosmos_exp.pipeline.guarding import STAGE as GUARDING
from cosmos_exp.pipeline.guarding import Guarding, texts_of
from cosmos_exp.pipeline.out_of_memory import out_of_memory_explained
from cosmos_exp.remote.wire import FRONT, JobRequest, ModelInfo, ResultFile, ResultManifest
from cosmos_exp.serving.blobs import BlobStore
from cosmos_exp.serving.job_config import SAMPLER_KEYS, STYLE, job_config
from cosmos_exp.serving.job_inputs import JobInputs, aspect_of

PREPARED, GENERATED = 0.05, 0.95
"""Progress of a job, 0 to 1, when its inputs are read, and when its videos are made."""

GRID_WIDTH = 1920
"""Most pixels of the video with all views."""

Report = Callable[[float, str], None]
"""Is told the progress, 0 to 1, and what goes on. Raises where the job is to stop."""


@dataclass(frozen=True)
class Job:
    """A request that can run."""

    spec: RunSpec
    inputs: JobInputs
    request: JobRequest

    @property
    def prompts(self) -> dict[str, str]:
        """{view: prompt}, each with the sentence that says where its camera looks."""
        own = self.request.extra.view_prompts
        return {view: view_prompt(view, own.get(view, self.request.prompt)) for view in self.spec.views}

    @property
    def texts(self) -> dict[str, str]:
        """{what: text} of everything that the model reads."""
        views = {f"the prompt of {view}": prompt for view, prompt in self.prompts.items()}
        return texts_of(self.spec.config, {"the prompt": self.request.prompt, **views})

    def generation_request(self, results: Results) -> GenerationRequest:
        renders = self.inputs.renders(results)
        targets = self.inputs.targets(results)
        return GenerationRequest(
            clip=self.request.extra.clip,
            prompts={STYLE: self.request.prompt},
            view_prompts={STYLE: self.prompts},
            renders=renders,
            targets={STYLE: targets} if targets else {},
            controls=self.inputs.controls(results, renders),
        )


def job_of(config: Config, request: JobRequest, blobs: BlobStore, folder: Path) -> Job:
    """A request as a job. config: of the server. folder: gets links to the files that config values name.

    Raises ValidationErrors with everything that is wrong with it: values, the model's contract, files.
    """

    def place(sha256: str, ending: str | None, where: Path) -> Path:
        if not blobs.path(sha256).is_file():
            raise UserError(f"no file {sha256} was uploaded")
        path = blobs.materialise(sha256, folder / where.parent / f"{where.name}.file", ending)
        named = folder / where.parent / f"{where.name}{path.suffix}"
        path.replace(named)
        return named

    own, errors = job_config(config, request, place)
    contract, _ = attempt(lambda: contract_of(own.model))
    aspect = aspect_of(request, blobs) if contract and len(contract.all_sizes) > 1 else None
    errors += [error.replace(f"{folder}/", "") for error in request_problems(own, aspect)]
    spec = RunSpec(own, aspect)
    inputs = JobInputs(spec, request, blobs)
    errors += inputs.faults()
    if attempt(lambda: spec.model.videos)[0]:
        errors += inputs.problems()
        for view in request.extra.view_prompts:
            if view not in spec.views:
                errors.append(f"extra.view_prompts: {unknown_name('view of this request', view, spec.views)}")
    if errors:
        raise ValidationErrors(dict.fromkeys(errors))
    return Job(spec, inputs, request)


def check_request(config: Config, request: JobRequest, blobs: BlobStore, scratch: Path) -> list[str]:
    """Everything that is wrong with a request; nothing where it can run. scratch: a folder on the disk of the blobs."""
    with TemporaryDirectory(dir=scratch) as folder:
        return attempt(lambda: job_of(config, request, blobs, Path(folder)))[1]


@dataclass
class StageReporter:
    """The `Reporter` of a job: its stages as progress between `PREPARED` and `GENERATED`, their seconds."""

    stages: tuple[str, ...]
    report: Report
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def stage(self, name: str, label: str = "") -> Iterator[Tick]:
        begun = time.monotonic()
        at = self.stages.index(name) if name in self.stages else 0
        count, label = max(1, len(self.stages)), (label or name).replace(f" {STYLE}", "")

        def tick(done: int, total: int) -> None:
            share = (at + done / max(1, total)) / count
            told = f"{label}: {done} of {total}" if total > 1 else label
            self.report(PREPARED + (GENERATED - PREPARED) * share, told)

        tick(0, 1)
        try:
            yield tick
        finally:
            self.seconds[name] += time.monotonic() - begun


@dataclass(frozen=True)
class Generator:
    """Runs the jobs of one server config. What a model loads stays in the process for the next job. device: of this
    process, such as cuda:1; None: that of the config."""

    config: Config
    device: str | None = None

    def load(self, tick: Tick) -> None:
        """What jobs need of the model, so that the first one need not wait for it. Raises UserError where the memory is
        too small or the weights are not what they should be."""
        config = self._own()
        with out_of_memory_explained(config):
            RunSpec(config).model.load(tick)

    def run(self, job_id: str, request: JobRequest, blobs: BlobStore, folder: Path, report: Report) -> ResultManifest:
        """The videos of a request as files in `<folder>/result`, beside them `manifest.json`.

        Of every view there is a playable video and, `_lossless`, the same frames bit for bit; of several, `grid.mp4`
        with all of them. Raises ValidationErrors as `job_of` does, Blocked where a guard stops the clip, UserError
        where the memory is too small or a file turns out to be damaged.
        """
        report(0.0, "read the inputs")
        job = job_of(self._own(), request, blobs, folder / "inputs")
        spec = job.spec
        stages = [*spec.model.stages, *([GUARDING] if video_guards(spec.config.guardrails) else ())]
        reporter = StageReporter(tuple(stages), report)
        results = Results(spec, StageCache(spec.config.paths.cache), reporter=reporter)
        guarding = Guarding(spec.config, results)
        guarding.require_safe(job.texts)
        seconds = reporter.seconds
        with _timed(seconds, "inputs"):
            asked = job.generation_request(results)
        with out_of_memory_explained(spec.config):
            (made,) = spec.model.generate(asked, results)
            made = guarding.guarded(made)
        with _timed(seconds, "videos"):
            files = list(_written(made, job, folder / "result", report))
        manifest = ResultManifest(
            job=job_id,
            backend=request.backend,
            request=request.model_dump(mode="json"),
            fps=spec.fps,
            files=files,
            worker={
                **facts(spec),
                "checkpoints": spec.model.files(results),
                "guardrails": guarding.record(),
            },
            timings={name: round(value, 3) for name, value in seconds.items()},
        )
        write_atomic(folder / "result" / "manifest.json", manifest.model_dump_json(indent=1).encode())
        return manifest

    def _own(self) -> Config:
        if self.device is None:
            return self.config
        return replace(self.config, hardware=replace(self.config.hardware, device=self.device))


def _written(made: GeneratedVideos, job: Job, folder: Path, report: Report) -> Iterator[ResultFile]:
    videos, tiles = {FRONT: made.front, **made.views}, dict[str, np.ndarray]()
    for number, (view, video) in enumerate(videos.items()):
        report(GENERATED + (1 - GENERATED) * number / len(videos), f"write {view}")
        frames = video.read()
        if view in made.views:
            tiles[view] = _tile(frames)
        yield _file(_lossless(folder, view, frames, job.spec.fps), view, "lossless")
        if frames.shape[1] % 2 == 0 == frames.shape[2] % 2:  # as players need it
            yield _file(write_video(folder / f"{view}.mp4", frames, job.spec.fps), view, "video")
    if tiles:
        yield _file(write_video(folder / "grid.mp4", compose_grid(tiles), job.spec.fps), None, "grid")
    write_atomic(folder / "prompt.txt", job.request.prompt.encode("utf-8", "replace"))
    yield _file(folder / "prompt.txt", None, "prompt")


def _tile(frames: np.ndarray) -> np.ndarray:
    """Of the grid: an even number of pixels each way, as players need it."""
    _, height, width, _ = frames.shape
    scale = min(1.0, GRID_WIDTH / (3 * width))
    return resize(frames, round(height * scale / 2) * 2, round(width * scale / 2) * 2)


def _lossless(folder: Path, view: str, frames: np.ndarray, fps: float) -> Path:
    return write_video(folder / f"{view}_lossless.mp4", frames, fps, lossless=True)


def _file(path: Path, view: str | None, kind: str) -> ResultFile:
    return ResultFile(name=path.name, sha256=file_sha256(path), size=path.stat().st_size, view=view, kind=kind)


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    begun = time.monotonic()
    try:
        yield
    finally:
        seconds[name] += time.monotonic() - begun


def facts(spec: RunSpec) -> dict[str, Any]:
    """What of the worker a result may follow from."""
    hardware = spec.config.hardware
    known: dict[str, Any] = {
        "model": spec.config.model.name,
        "stages": dict(spec.model.stages),
        "device": hardware.device,
        "dtype": hardware.dtype,
        "versions": {"cosmos-exp": __version__} | {name: version(name) for name in ("torch", "numpy")},
        "python": platform.python_version(),
    }
    if hardware.on_gpu:
        properties = device_properties(hardware.device)
        known["gpu"] = f"{properties.name}, {properties.total_memory / GIB:.0f} GiB"
    return known


def model_info(config: Config) -> ModelInfo:
    """The model of a server: its contract, what its results follow from, and what a request may leave out."""
    spec = RunSpec(config)
    results = Results(spec, StageCache(config.paths.cache))
    defaults = {f"sampler.{key}": getattr(spec.model.config.sampler, key) for key in SAMPLER_KEYS}
    for group in ("model", "speed", "hardware"):
        defaults |= {f"{group}.{key}": value for key, value in identity(getattr(config, group)).items()}
    if config.guardrails.changes_result:
        defaults |= {f"guardrails.{key}": value for key, value in identity(config.guardrails).items()}
    for name, control in config.controls.items():
        own = {key: value for key, value in identity(control).items() if key not in ("weight", "file")}
        defaults |= {f"controls.{name}.{key}": value for key, value in own.items()}
    if config.captions.negative_prompt is not None:
        defaults["captions.negative_prompt"] = config.captions.negative_prompt
    return ModelInfo(
        id=config.model.name,
        contract=spec.contract.to_dict(),
        reads_targets=spec.model.reads_targets,
        may_read=list(spec.model.may_read),
        reads_controls=any(spec.model.control_requests(name) for name in spec.contract.controls),
        checkpoints=spec.model.files(results),
        versions=results.versions,
        defaults=defaults,
    )
