"""The road from a scene to a logged run: every stage in order, and the run folder they fill."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

import cv2
from omegaconf import DictConfig, OmegaConf

from cosmos_exp.captions.files import write_captions, write_prompts
from cosmos_exp.common import gpu, torchrun
from cosmos_exp.common.cache import Entry, StageCache
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import write_atomic, write_bytes, write_json
from cosmos_exp.common.progress import Tick
from cosmos_exp.common.single_entry_cache import Kept
from cosmos_exp.common.video import compose_grid, write_video
from cosmos_exp.config import config_notices as remarks
from cosmos_exp.config.run_spec import Settings, Take
from cosmos_exp.config.schema import run_id
from cosmos_exp.config.validate import check
from cosmos_exp.models.transfer1.clip_shapes import Video
from cosmos_exp.pipeline.cached_results import Results, load_arrays, load_json, load_render
from cosmos_exp.pipeline.provenance import provenance, result_digests
from cosmos_exp.pipeline.stages import Stages
from cosmos_exp.runs import gpu_leases as leases
from cosmos_exp.runs import summary
from cosmos_exp.runs.cost_history import REST, Cost
from cosmos_exp.runs.report import Report, only_run_in
from cosmos_exp.runs.run_folder import RunFolder, Status

log = logging.getLogger(__name__)

_found = Kept()  # what the metrics of a clip have found out about its truth

UPLOAD_TIMEOUT = 600  # seconds that a finished run waits for W&B

ByTake = dict[Take, Entry]
Chunks = list[Entry]  # of one video


@dataclass
class Made:
    """What the stages have made so far, as cache entries. clip: its name."""

    clip: str = ""
    description: str = ""
    prompts: dict[str, str] = field(default_factory=dict)  # by style
    pictures: dict[str, ByTake] = field(default_factory=dict)  # renders by weather
    controls: dict[str, ByTake] = field(default_factory=dict)  # by control
    shown: dict[str, dict[str, Entry]] = field(default_factory=dict)  # encoded videos of both, by view and name
    hints: dict[str, Chunks] = field(default_factory=dict)  # of the single view, by control
    multi_hints: dict[str, dict[str, Chunks]] = field(default_factory=dict)  # by control and view
    negative: Entry | None = None
    single_views: dict[str, Chunks] = field(default_factory=dict)  # by style
    multi_views: dict[str, Chunks] = field(default_factory=dict)  # by style

    def results(self) -> dict[str, list[Entry]]:
        """{what: its entries}, in the order of the pipeline; of a view drawn for both networks, both."""
        found: dict[str, list[Entry]] = {}
        for kind, made in (("render", self.pictures), ("control", self.controls)):
            for name, takes in made.items():
                for take, entry in takes.items():
                    found.setdefault(f"{kind}/{name}/{take.view}", []).append(entry)
        for kind, chunks in (("single_view", self.single_views), ("multi_view", self.multi_views)):
            found |= {f"{kind}/{style}": entries for style, entries in chunks.items()}
        return found


def run(cfg: DictConfig, folder: Path, *, sweep: str | None = None) -> Status:
    """One run of the whole pipeline into `folder`. sweep: name of the sweep that this run is a cell of.

    Raises ValidationErrors before any work where the config cannot run.
    """
    hold_gpus(cfg)
    check(cfg)
    plain = OmegaConf.to_container(cfg, resolve=True)
    with only_run_in(folder):
        cell = f"#{folder.name.partition('_')[0]} " if sweep else ""
        report = Report(RunFolder(folder), run_id(cfg), prefix=cell, device=plain["hardware"]["device"])
        started = time.monotonic()
        with report.until_done():
            write_atomic(report.folder.config, OmegaConf.to_yaml(cfg, resolve=True).encode())
            cache = StageCache(plain["paths"]["cache"])
            cache.remove_leftovers()
            settings = Settings(plain)
            cv2.setNumThreads(settings.threads)
            stages = Stages(settings, Results(settings, cache, report.hits, report.misses))
            record = provenance(stages, report.status.run_id)
            write_json(report.folder.provenance, record)
            road = Pipeline(stages, report)
            with gpu.out_of_memory_explained(plain):
                road.run()
            record |= {"noise": settings.noise_seeds(road.made.clip), "results": result_digests(road.made.results())}
            write_json(report.folder.provenance, record)
            with report.stage("tracking"):
                _track(plain["tracking"]["mode"], report.folder)
        _remember_cost(stages, report.folder.path, time.monotonic() - started)
    if not sweep:
        summary.show(report.folder)
    return report.status


def hold_gpus(cfg: DictConfig) -> None:
    """Lease the GPUs of a run to this process, unless torchrun has given it one."""
    hardware = cfg.hardware
    if torchrun.processes() is None:
        leases.hold(hardware.device, max(1, hardware.processes or 1), max(1, hardware.jobs_per_gpu))


class Pipeline:
    """Each method is a stage and reads what those before it left in `self.made`."""

    def __init__(self, stages: Stages, report: Report):
        self.stages = stages
        self.settings = stages.settings
        self.report = report
        self.folder = report.folder
        self.weather: str = stages.settings.cfg["scene"]["weather"]
        self.made = Made()

    def run(self) -> None:
        self.folder.metrics.unlink(missing_ok=True)
        self.report.status.weights = self.settings.effective_weights
        remarks.say_what_counts(self.settings)
        self.describe()
        write_captions(self.folder.captions(self.made.clip), self.made.prompts)
        self.render()
        self.make_controls()
        self.show_controls()
        self.write_control_videos()
        self.encode()
        for style in self.settings.styles:
            self.generate(style)
            self.write_videos(style)
        self.measure()

    def describe(self) -> None:
        with self.report.stage("captions"):
            caption = self.stages.texts.caption()
            self.made.clip, self.made.description = caption["clip"], caption["description"]
            self.made.prompts = self.stages.texts.prompts(self.made.description)

    def render(self) -> None:
        """The outputs in the scene's weather, and where PSNR is asked for, the picture in each style."""
        settings = self.settings
        wanted = {self.weather: settings.outputs}
        if "psnr" in settings.cfg["metrics"]["names"]:
            wanted |= {style: ("rgb",) for style in settings.styles if style != self.weather}
        with self.report.stage("render") as tick:
            for i, (weather, outputs) in enumerate(wanted.items()):
                self.made.pictures[weather] = {}
                for j, take in enumerate(settings.takes, 1):
                    self.made.pictures[weather][take] = self.stages.drawing.render(take, weather, outputs)
                    tick(i * len(settings.takes) + j, len(wanted) * len(settings.takes))

    def make_controls(self) -> None:
        settings, names = self.settings, self.settings.controls
        remarks.say_how_files_are_read(settings.cfg)
        if ready := [name for name in names if settings.is_ready(name)]:
            log.info("%s from files: metrics still compare with the pictures of the scene", ", ".join(ready))
        with self.report.stage("controls") as tick:
            for i, name in enumerate(names, 1):
                self.made.controls[name] = {take: self._control(name, take) for take in settings.control_takes(name)}
                tick(i, len(names))

    def _control(self, name: str, take: Take) -> Entry:
        if self.settings.is_ready(name):
            return self.stages.drawing.ready_control(name, take, self.made.clip)
        return self.stages.drawing.control(name, take, self.made.pictures[self.weather][take])

    def _renders(self, takes: Iterable[Take]) -> dict[str, Entry]:
        """{view: render} in the scene's weather."""
        return {take.view: self.made.pictures[self.weather][take] for take in takes}

    def show_controls(self) -> None:
        """Controls and previews of every view as encoded videos."""
        drawing = self.stages.drawing
        names = [n for n in self.settings.cfg["previews"]["names"] if n not in self.made.controls]
        files: dict[tuple[str, str], Callable[[], Entry]] = {}
        for view, take in self.settings.shown_takes.items():
            render = self.made.pictures[self.weather][take]
            files |= {(view, name): partial(drawing.preview_file, name, take, render) for name in names}
            made = {name: takes[take] for name, takes in self.made.controls.items() if take in takes}
            files |= {(view, name): partial(drawing.control_file, take, entry) for name, entry in made.items()}
        with self.report.stage("videos", "control videos") as tick:
            entries = self.stages.results.together(list(files.values()), tick)
        self.made.shown = {view: {} for view in self.settings.shown_takes}
        for (view, name), entry in zip(files, entries, strict=True):
            self.made.shown[view][name] = entry

    def write_control_videos(self) -> None:
        with self.report.stage("videos", "control videos"):
            for view, take in self.settings.shown_takes.items():
                for name, entry in self.made.shown[view].items():
                    write_bytes(self.folder.control(name, view, self.made.clip), load_arrays(entry)["mp4"].tobytes())
                for name, picture in self._weight_pictures(take).items():
                    write_video(self.folder.control(name, view, self.made.clip), picture, self.settings.fps)

    def _weight_pictures(self, take: Take) -> dict:
        """{folder name: uint8 [F,H,W,3]} of the weight maps that count in a view, as they are shared out there."""
        settings, front = self.settings, take == self.settings.front_take
        controls, takes = (
            (settings.weights, [take]) if front else (settings.multi_view_controls, settings.multi_takes.values())
        )
        pictures = self.stages.places.pictures(controls, take.view, self._renders(takes), take.shape)
        return {f"{name}_weight": picture for name, picture in pictures.items()}

    def encode(self) -> None:
        """Latents of the controls that have a weight, of all views where the multi-view net reads them too, and all
        prompts: the text encoder need not come back between the networks."""
        settings = self.settings
        if len(settings.views) > 1:
            remarks.say_what_guides(settings, self.stages.places)
        single, multi, takes = settings.videos.single_view, settings.videos.multi_view, settings.multi_takes
        total = len(settings.weights) * len(single.chunks)
        total += len(settings.multi_view_controls) * len(takes) * len(multi.chunks if multi else ())
        with self.report.stage("hints", "encode controls, prompts") as tick:
            done = count(1)

            def encoded(name: str, take: Take, video: Video) -> Chunks:
                control, entries = self.made.controls[name][take], []
                for chunk in video.chunks:
                    entries.append(self.stages.latents.hint(control, video, chunk))
                    tick(next(done), total)
                return entries

            self.made.hints = {name: encoded(name, settings.front_take, single) for name in settings.weights}
            self.made.multi_hints = {
                name: {view: encoded(name, take, multi) for view, take in takes.items()}
                for name in settings.multi_view_controls
            }
            if settings.negative_prompt is not None:
                self.made.negative = self.stages.texts.embedding(settings.negative_prompt)
            self.encode_prompts()

    def encode_prompts(self) -> None:
        """So that `generate` finds all of them in the cache."""
        texts, multi_view = self.stages.texts, self.settings.videos.multi_view
        prompts = [own for own, _ in self.stages.places.regions]
        for style, prompt in self.made.prompts.items():
            prompts.append(prompt)
            prompts += texts.view_prompts(style, self.made.description).values() if multi_view else ()
        for prompt in prompts:
            texts.embedding(prompt)

    def generate(self, style: str) -> None:
        self.generate_front(style)
        if self.settings.videos.multi_view:
            self.generate_views(style)

    def generate_front(self, style: str) -> None:
        stages, made = self.stages, self.made
        with self.report.stage("single_view", f"single view {style}") as tick:
            text, front = stages.texts.embedding(made.prompts[style]), made.single_views.setdefault(style, [])
            render = made.pictures[self.weather][self.settings.front_take]
            where = {"render": render, "regions": [stages.texts.embedding(own) for own, _ in stages.places.regions]}
            for chunk in (chunks := self.settings.videos.single_view.chunks):
                hints = {name: entries[chunk.index] for name, entries in made.hints.items()}
                part, before = _part(tick, chunk.index, len(chunks)), front[-1] if front else None
                start = stages.latents.start(render, chunk)
                inputs = (made.clip, chunk, hints, text, made.negative, start, before, part)
                front.append(stages.sampling.single_view(*inputs, **where))

    def generate_views(self, style: str) -> None:
        stages, made = self.stages, self.made
        with self.report.stage("multi_view", f"multi view {style}") as tick:
            prompts = stages.texts.view_prompts(style, made.description)
            texts = {view: stages.texts.embedding(prompt) for view, prompt in prompts.items()}
            renders = self._renders(self.settings.multi_takes.values())
            front, views = made.single_views[style], made.multi_views.setdefault(style, [])
            for chunk in (chunks := self.settings.videos.multi_view.chunks):
                hints = {
                    name: {view: entries[chunk.index] for view, entries in by_view.items()}
                    for name, by_view in made.multi_hints.items()
                }
                part, before = _part(tick, chunk.index, len(chunks)), views[-1] if views else None
                first = None if before else stages.latents.first_frames(renders)
                inputs = (made.clip, chunk, front, hints, texts, first, before, part)
                views.append(stages.sampling.multi_view(*inputs, renders=renders))

    def write_videos(self, style: str) -> None:
        settings, folder, clip = self.settings, self.folder, self.made.clip
        with self.report.stage("videos", f"videos {style}"):
            path = write_video(folder.single_view(clip, style), self._single_view(style), settings.fps)
            write_atomic(path.with_suffix(".txt"), self.made.prompts[style].encode())
            views = self._views(style)
            if not views:
                return
            for index, view in enumerate(settings.views):
                write_video(folder.view(clip, style, index), views[view], settings.fps)
            write_prompts(folder.prompt(clip, style), self.stages.texts.view_prompts(style, self.made.description))
            write_video(folder.grid(clip, style), compose_grid(views), settings.fps)

    def measure(self) -> None:
        """The sanity gate, then every metric of every style."""
        from cosmos_exp.metrics.gate import require_sane

        settings, values = self.settings, {}
        with self.report.stage("metrics") as tick:
            for i, style in enumerate(settings.styles, 1):
                if settings.cfg["metrics"]["gate"]:
                    require_sane({f"{style}, {v}": x for v, x in self._videos(style).items()})
                values[style] = load_json(self.metrics_of(style))
                tick(i, len(settings.styles))
            write_json(self.folder.metrics, values)

    def metrics_of(self, style: str) -> Entry:
        return self.stages.measuring.metrics(self._metric_inputs(style), lambda: self._clip(style))

    def _single_view(self, style: str):
        return self.stages.sampling.front_video(self.made.single_views[style])

    def _views(self, style: str) -> dict:
        """{view: uint8 [F,H,W,3]} of the multi-view net; empty where it did not run."""
        if style not in self.made.multi_views:
            return {}
        return self.stages.sampling.view_videos(self.made.multi_views[style])

    def _videos(self, style: str) -> dict:
        return self._views(style) | {"single view": self._single_view(style)}

    def _metric_inputs(self, style: str) -> list[str]:
        made = self.made
        entries = [*made.single_views[style], *made.multi_views.get(style, [])]
        entries += made.pictures[self.weather].values()
        entries += made.pictures.get(style, {}).values()
        return [style, *(entry.key for entry in entries)]

    def _clip(self, style: str):
        from cosmos_exp.metrics.types import GeneratedClip

        settings, loaded, made = self.settings, self.stages.loaded, self.made
        takes = settings.multi_takes or {settings.front: settings.front_take}
        renders, targets = made.pictures[self.weather], made.pictures.get(style, {})
        frames = takes[settings.front].shape.frames
        clip = GeneratedClip(
            style=style,
            prompt=made.prompts[style],
            generated=self._views(style),
            single_view=self._single_view(style),
            renders={view: load_render(renders[take], view) for view, take in takes.items()},
            cameras={view: loaded.camera(take) for view, take in takes.items()},
            rig_poses=loaded.scene.rig_trajectory.sample(loaded.times[:frames]),
            targets={view: load_arrays(targets[take])["rgb"] for view, take in takes.items() if take in targets},
        )
        clip.found.update(_found.get(tuple(renders[take].key for take in takes.values()), lambda: clip.found))
        return clip


def _remember_cost(stages: Stages, folder: Path, seconds: float) -> None:
    """Of what every run does, whatever is in the cache: reading it, videos, tracking."""
    stored = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    settings, results = stages.settings, stages.results
    rest = max(0.0, seconds - results.computed)
    results.history.add(Cost(REST, "", len(settings.styles) * settings.megapixels, 1, rest, stored))


def _part(tick: Tick, index: int, count: int) -> Tick:
    """The progress of one of several equal parts, as progress of the whole."""
    return lambda done, total: tick(index * total + done, count * total)


def _track(mode: str, folder: RunFolder) -> None:
    """Log the run folder to W&B. What cannot be sent now is no reason to fail a run whose results are on disk."""
    from cosmos_exp.tracking.wandb.folder import log_folder
    from cosmos_exp.tracking.wandb.upload import check_server, upload

    if mode == "disabled":
        return
    offline = log_folder(folder)
    if mode == "online":
        try:
            check_server()
            upload([offline], timeout=UPLOAD_TIMEOUT)
        except UserError as error:
            log.warning("%s; `cosmos-exp sync %s --online` sends the run later", error, folder.path)
