"""The guards of a run: its texts before anything is written, its videos before anything reads them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.files import write_json
from cosmos_exp.common.progress import Tick
from cosmos_exp.common.stored_arrays import VALUES, Arrays, load_arrays, load_json
from cosmos_exp.config.schema import Config
from cosmos_exp.guardrails import faces, safety
from cosmos_exp.guardrails.faces import Face, pixelate
from cosmos_exp.guardrails.texts import TextGuards, text_guards
from cosmos_exp.guardrails.verdicts import Blocked
from cosmos_exp.guardrails.videos import VideoGuards, found_faces, video_guards
from cosmos_exp.llm.answers import Cached
from cosmos_exp.models.base import GeneratedVideos, StoredVideo
from cosmos_exp.pipeline.cached_results import Results
from cosmos_exp.runs.run_folder import RunFolder

log = logging.getLogger(__name__)

STAGE = "guardrails"


class Guarding:
    """folder: gets guardrails.json; None where nothing is written."""

    def __init__(self, config: Config, results: Results, folder: RunFolder | None = None):
        self.config = config
        self.results = results
        self.folder = folder
        self._texts: dict[str, Any] = {}
        self._videos: dict[str, Any] = {}

    @cached_property
    def text_guards(self) -> TextGuards:
        guards = text_guards(self.config.guardrails)
        if guards.model is None:
            return guards
        kept = Cached(guards.model.chat, self.results.cache.root)
        return replace(guards, model=replace(guards.model, chat=kept))

    @cached_property
    def video_guards(self) -> VideoGuards | None:
        return video_guards(self.config.guardrails, self.config.hardware.device)

    def require_safe(self, texts: Mapping[str, str]) -> None:
        """texts: by what they are. Blocked where one does not pass; UserError where a guard cannot judge."""
        with self._recorded():
            self._texts |= self.text_guards.require_safe(texts)

    def guarded(self, made: GeneratedVideos) -> GeneratedVideos:
        """The videos of a style, faces pixelated; those without faces are as they were. Blocked where frames are
        unsafe. In a dry run, what is not in the cache counts as without faces."""
        guards = self.video_guards
        if guards is None:
            return made
        with self._recorded(), self.results.stage(STAGE, f"{STAGE} {made.style}") as tick:
            front = self._guarded(guards, made.style, "", made.front, tick)
            views = {
                view: front if video is made.front else self._guarded(guards, made.style, view, video, tick)
                for view, video in made.views.items()
            }
        return replace(made, front=front, views=views)

    def _guarded(self, guards: VideoGuards, style: str, view: str, video: StoredVideo, tick: Tick) -> StoredVideo:
        """view: empty, the front view as it is made alone."""
        config = {"view": view, **guards.record()}
        inputs = [*(entry.key for entry in video.entries), *map(self.results.file_identity, guards.files)]
        entry = self.results.get(STAGE, config, inputs, lambda: guards.examine(video.read(), tick))
        if not (entry.path / VALUES).is_file():
            return video
        report, what = load_json(entry), f"{style}/{view or 'single view'}"
        found = found_faces(report)
        judged = report.get(safety.NAME)
        self._videos[what] = {faces.NAME: sum(map(bool, found))} if guards.faces and found else {}
        if judged:
            self._videos[what][safety.NAME] = {"passed": not judged["found"], **judged}
        if judged and judged["found"]:
            raise Blocked(f"stopped by guardrails.{safety.NAME}: {what}: {judged['found']}")
        if not any(found):
            return video
        return self._pixelated(config, entry, video, found)

    def _pixelated(
        self, config: dict[str, Any], entry: Entry, video: StoredVideo, found: list[list[Face]]
    ) -> StoredVideo:
        def compute() -> Arrays:
            return {"video": pixelate(video.read(), found)}

        made = self.results.get(STAGE, {**config, "pixelated": True}, [entry.key], compute)
        return StoredVideo((made,), partial(_video, made))

    @contextmanager
    def _recorded(self) -> Iterator[None]:
        """Write what the guards said, also where they stop the clip."""
        stopped = ""
        try:
            yield
        except Blocked as error:
            stopped = str(error)
            raise
        finally:
            if self.folder:
                write_json(self.folder.guardrails, self.record(stopped))

    def record(self, stopped: str = "") -> dict[str, Any]:
        """The guards, and what each has said, as plain values. stopped: why the clip is blocked."""
        guards = self.text_guards.record()
        if videos := self.video_guards:
            files = {path.name: self.results.file_identity(path) for path in videos.files}
            guards |= {**videos.record(), "files": files}
        return {"blocked": stopped, "guards": guards, "texts": self._texts, "videos": self._videos}


def _video(entry: Entry) -> Any:
    return load_arrays(entry)["video"]


def texts_of(config: Config, prompts: Mapping[str, str]) -> dict[str, str]:
    """{what: text} of everything that a model reads. prompts: {what: prompt} of the clip."""
    texts = dict(prompts)
    if config.captions.negative_prompt is not None:
        texts["the negative prompt"] = config.captions.negative_prompt
    regions = enumerate(config.captions.regions)
    return texts | {f"the regional prompt {number}": region.prompt for number, region in regions}


@contextmanager
def clip_removed_where_blocked(folder: RunFolder) -> Iterator[None]:
    """Of a clip that a guard stops, nothing stays that shows it."""
    try:
        yield
    except Blocked:
        folder.remove_clip()
        raise
