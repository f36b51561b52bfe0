"""The road from a scene to a logged run: every stage in order, and the run folder they fill."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
from omegaconf import DictConfig, OmegaConf

from cosmos_exp import summary
from cosmos_exp.cache import Entry, StageCache, write_atomic, write_json
from cosmos_exp.captions.files import write_captions, write_prompts
from cosmos_exp.controls.class_filter import find_filter
from cosmos_exp.report import Report, only_run_in
from cosmos_exp.schema import run_id
from cosmos_exp.sensors.carla_yaml import read_carla_sensors
from cosmos_exp.stages import Stages, load_arrays, load_json, load_render
from cosmos_exp.tracking.cells import read_overrides, sweep_cells
from cosmos_exp.tracking.run_folder import RunFolder, Status
from cosmos_exp.validate import check
from cosmos_exp.video import compose_grid, write_video

log = logging.getLogger(__name__)

ByView = dict[str, Entry]


@dataclass
class Made:
    """What the stages have made so far, as cache entries. clip: its name."""

    clip: str = ""
    prompts: dict[str, str] = field(default_factory=dict)  # by style
    pictures: dict[str, ByView] = field(default_factory=dict)  # renders by weather
    controls: dict[str, ByView] = field(default_factory=dict)  # by control
    hints: dict[str, ByView] = field(default_factory=dict)  # by control
    negative: Entry | None = None
    single_views: ByView = field(default_factory=dict)  # by style
    multi_views: ByView = field(default_factory=dict)  # by style


def run(cfg: DictConfig, folder: Path, *, sweep: str | None = None) -> Status:
    """One run of the whole pipeline into `folder`. sweep: name of the sweep that this run is a cell of.

    Raises ValidationErrors before any work where the config cannot run.
    """
    check(cfg)
    plain = OmegaConf.to_container(cfg, resolve=True)
    with only_run_in(folder):
        cell = f"#{folder.name.partition('_')[0]} " if sweep else ""
        report = Report(RunFolder(folder), run_id(cfg), prefix=cell)
        with report.until_done():
            write_atomic(report.folder.config, OmegaConf.to_yaml(cfg, resolve=True).encode())
            cache = StageCache(plain["paths"]["cache"])
            cache.remove_leftovers()
            stages = Stages(plain, cache, report.hits, report.misses)
            cv2.setNumThreads(stages.threads)
            Pipeline(stages, report).run()
            with report.stage("tracking"):
                _track(plain, report.folder, sweep)
    if not sweep:
        summary.show(report.folder)
    return report.status


class Pipeline:
    """Each method is a stage and reads what those before it left in `self.made`."""

    def __init__(self, stages: Stages, report: Report):
        self.stages = stages
        self.report = report
        self.folder = report.folder
        self.weather: str = stages.cfg["scene"]["weather"]
        self.made = Made()

    def run(self) -> None:
        self.folder.metrics.unlink(missing_ok=True)
        self.describe()
        self.render()
        self.make_controls()
        self.write_control_videos()
        self.encode()
        for style in self.stages.styles:
            self.generate(style)
            self.write_videos(style)
        self.measure()

    def describe(self) -> None:
        with self.report.stage("captions"):
            caption = self.stages.caption()
            self.made.clip = caption["clip"]
            self.made.prompts = self.stages.prompts(caption["description"])
            write_captions(self.folder.captions(self.made.clip), self.made.prompts)

    def render(self) -> None:
        """The outputs in the scene's weather, and where PSNR is asked for, the picture in each style."""
        stages = self.stages
        wanted = {self.weather: stages.outputs}
        if "psnr" in stages.cfg["metrics"]["names"]:
            wanted |= {style: ("rgb",) for style in stages.styles if style != self.weather}
        with self.report.stage("render") as tick:
            for i, (weather, outputs) in enumerate(wanted.items()):
                self.made.pictures[weather] = {}
                for j, view in enumerate(stages.views, 1):
                    self.made.pictures[weather][view] = stages.render(view, weather, outputs)
                    tick(i * len(stages.views) + j, len(wanted) * len(stages.views))

    def make_controls(self) -> None:
        stages, renders = self.stages, self.made.pictures[self.weather]
        names = list(stages.controls)
        _say_how_files_are_read(stages.cfg)
        with self.report.stage("controls") as tick:
            for i, name in enumerate(names, 1):
                self.made.controls[name] = {v: stages.control(name, v, renders[v]) for v in stages.views}
                tick(i, len(names))

    def write_control_videos(self) -> None:
        from cosmos_exp.controls.previews import preview

        stages, names = self.stages, [n for n in self.stages.cfg["previews"]["names"] if n not in self.made.controls]
        params = {control: stages.control_params(control) for control in ("edge", "seg")}
        with self.report.stage("videos", "control videos") as tick:
            for i, view in enumerate(stages.views, 1):
                render = load_render(self.made.pictures[self.weather][view], view)
                videos = {name: preview(name, render, **params) for name in names}
                videos |= {name: load_arrays(views[view])["video"] for name, views in self.made.controls.items()}
                for name, video in videos.items():
                    write_video(self.folder.control(name, view, self.made.clip), video, stages.fps)
                tick(i, len(stages.views))

    def encode(self) -> None:
        """Latents of the controls that have a weight: of all views where the multi-view net reads them too."""
        stages = self.stages
        for_all = stages.multi_view_controls
        if len(stages.views) > 1:
            _say_what_guides(stages)
        needed = {name: stages.views if name in for_all else stages.views[:1] for name in stages.weights}
        total = sum(map(len, needed.values()))
        with self.report.stage("hints", "encode controls") as tick:
            for name, views in needed.items():
                self.made.hints[name] = {}
                for view in views:
                    self.made.hints[name][view] = stages.hint(self.made.controls[name][view])
                    tick(sum(map(len, self.made.hints.values())), total)
            if stages.negative_prompt is not None:
                self.made.negative = stages.text(stages.negative_prompt)

    def generate(self, style: str) -> None:
        stages, made = self.stages, self.made
        prompt = made.prompts[style]
        with self.report.stage("single_view", f"single view {style}") as tick:
            hints = {name: views[stages.front] for name, views in made.hints.items()}
            made.single_views[style] = stages.single_view(made.clip, hints, stages.text(prompt), made.negative, tick)
        if len(stages.views) == 1:
            return
        with self.report.stage("multi_view", f"multi view {style}") as tick:
            hints = {name: made.hints[name] for name in stages.multi_view_controls}
            texts = {view: stages.text(text) for view, text in stages.view_prompts(prompt).items()}
            made.multi_views[style] = stages.multi_view(made.clip, made.single_views[style], hints, texts, tick)

    def write_videos(self, style: str) -> None:
        stages, folder, clip = self.stages, self.folder, self.made.clip
        with self.report.stage("videos", f"videos {style}"):
            path = write_video(folder.single_view(clip, style), self._single_view(style), stages.fps)
            write_atomic(path.with_suffix(".txt"), self.made.prompts[style].encode())
            views = self._views(style)
            if not views:
                return
            for index, view in enumerate(stages.views):
                write_video(folder.view(clip, style, index), views[view], stages.fps)
            write_prompts(folder.prompt(clip, style), stages.view_prompts(self.made.prompts[style]))
            write_video(folder.grid(clip, style), compose_grid(views), stages.fps)

    def measure(self) -> None:
        """The sanity gate, then every metric of every style."""
        from cosmos_exp.metrics.gate import require_sane

        stages, values = self.stages, {}
        with self.report.stage("metrics") as tick:
            for i, style in enumerate(stages.styles, 1):
                if stages.cfg["metrics"]["gate"]:
                    require_sane({f"{style}, {v}": x for v, x in self._videos(style).items()})
                values[style] = load_json(stages.metrics(self._metric_inputs(style), lambda s=style: self._clip(s)))
                tick(i, len(stages.styles))
            write_json(self.folder.metrics, values)

    def _single_view(self, style: str):
        return load_arrays(self.made.single_views[style])["video"]

    def _views(self, style: str) -> dict:
        """{view: uint8 [F,H,W,3]} of the multi-view net; empty where it did not run."""
        if style not in self.made.multi_views:
            return {}
        arrays = load_arrays(self.made.multi_views[style])
        return {view: arrays[f"video/{view}"] for view in self.stages.views}

    def _videos(self, style: str) -> dict:
        return self._views(style) | {"single view": self._single_view(style)}

    def _metric_inputs(self, style: str) -> list[str]:
        made = self.made
        entries = [made.single_views[style], *([made.multi_views[style]] if style in made.multi_views else [])]
        entries += made.pictures[self.weather].values()
        entries += made.pictures.get(style, {}).values()
        return [style, *(entry.key for entry in entries)]

    def _clip(self, style: str):
        from cosmos_exp.metrics.types import GeneratedClip

        stages, made = self.stages, self.made
        targets = made.pictures.get(style, {})
        return GeneratedClip(
            style=style,
            prompt=made.prompts[style],
            generated=self._views(style),
            single_view=self._single_view(style),
            renders={view: load_render(entry, view) for view, entry in made.pictures[self.weather].items()},
            cameras={view: stages.rig.camera(view) for view in stages.views},
            rig_poses=stages.scene.rig_trajectory.sample(stages.times),
            targets={view: load_arrays(entry)["rgb"] for view, entry in targets.items()},
        )


def _say_how_files_are_read(cfg: dict) -> None:
    """What CARLA's files say that is not followed as it stands."""
    if cfg["sensors"]["file"]:
        for note in read_carla_sensors(cfg["sensors"]["file"]).notes:
            log.info("sensors.file: %s", note)
    for name in {cfg["controls"][control]["class_filter"] for control in ("edge", "seg")}:
        for note in find_filter(name).notes:
            log.info("class filter %s: %s", name, note)


def _say_what_guides(stages: Stages) -> None:
    """Weights that the multi-view net cannot use are nothing to pass over in silence."""
    read = ", ".join(stages.contract.multi_view_controls)
    if not stages.multi_view_controls:
        log.warning("no control guides the other views: the multi-view net reads %s, whose weight is 0", read)
    elif unread := [name for name in stages.weights if name not in stages.multi_view_controls]:
        log.info("%s guides the single view only: the multi-view net reads %s", ", ".join(unread), read)


def _track(cfg: dict, folder: RunFolder, sweep: str | None) -> None:
    """Log the run folder to W&B; in a sweep, as one of a group, with the swept values as axes."""
    from cosmos_exp.tracking.wandb_run import ComparisonRow, log_run

    tracking, used = cfg["tracking"], [name for name, control in cfg["controls"].items() if control["weight"] > 0]
    front = cfg["views"]["names"][0]
    videos, rows, prompts = {}, [], {}
    for clip in folder.clips():
        prompts = folder.read_captions(clip)
        controls = {name: folder.control(name, front, clip) for name in used}
        videos |= {f"control/{name}": path for name, path in controls.items()}
        for style in prompts:
            single_view, grid = folder.single_view(clip, style), folder.grid(clip, style)
            videos[f"single_view/{style}"] = single_view
            if grid.exists():
                videos[f"grid/{style}"] = grid
                videos |= {f"{v}/{style}": folder.view(clip, style, i) for i, v in enumerate(cfg["views"]["names"])}
            rows.append(ComparisonRow(clip, style, controls, single_view, grid if grid.exists() else None))
    log_run(
        folder.path,
        run_id=folder.read_status().run_id,
        project=tracking["project"],
        name=folder.path.name,
        mode=tracking["mode"],
        entity=tracking["entity"],
        group=tracking["group"] or sweep,
        tags=tracking["tags"],
        config=cfg,
        axes=swept_values(folder.path) if sweep else {},
        metrics=folder.read_metrics(),
        prompts=prompts,
        videos=videos,
        rows=rows,
    )


def swept_values(run: Path) -> dict[str, Any]:
    """{key: value} of what the sweep around this run folder varies."""
    own, cells = read_overrides(run), sweep_cells(run.parent)
    return {key: value for key, value in own.items() if any(cell.get(key) != value for cell in cells)}
