"""What the stages of one run share: its spec, where results are looked up, and what the stages have made so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.progress import Tick
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.metrics import READS_TARGETS
from cosmos_exp.metrics.captured_scene import not_measured
from cosmos_exp.models.base import ByRequest, GeneratedVideos, GenerationRequest, RenderRequest, views_of
from cosmos_exp.models.render_model import rendered_videos
from cosmos_exp.pipeline.cached_results import Results
from cosmos_exp.pipeline.foreign_scene import ForeignScene
from cosmos_exp.pipeline.guarding import Guarding, texts_of
from cosmos_exp.pipeline.measuring import Measured, StyleResult
from cosmos_exp.pipeline.model_captions import ModelCaptions
from cosmos_exp.pipeline.prompts import Prompts
from cosmos_exp.pipeline.references import References
from cosmos_exp.pipeline.renders import Renders
from cosmos_exp.pipeline.scene_loading import LoadedScene
from cosmos_exp.pipeline.scores import Scores, scored
from cosmos_exp.runs.run_folder import RunFolder


@dataclass
class PipelineState:
    """What the stages have made so far, as cache entries. clip: its name. notes: of the scene."""

    clip: str = ""
    description: str = ""
    notes: tuple[str, ...] = ()
    prompts: dict[str, str] = field(default_factory=dict)  # by style
    renders: dict[str, dict[RenderRequest, Entry]] = field(default_factory=dict)  # by weather
    controls: dict[str, dict[RenderRequest, Entry]] = field(default_factory=dict)  # by control
    shown: dict[str, dict[str, Entry]] = field(default_factory=dict)  # encoded videos of both, by view and name
    made: dict[str, GeneratedVideos] = field(default_factory=dict)  # by style, as the model made them
    generated: dict[str, GeneratedVideos] = field(default_factory=dict)  # by style, as the guards let them pass

    def results(self) -> dict[str, list[Entry]]:
        """{what: its entries}, in the order of the pipeline; of a view rendered at two sizes, both."""
        found: dict[str, list[Entry]] = {}
        for kind, made in (("render", self.renders), ("control", self.controls)):
            for name, by_request in made.items():
                for request, entry in by_request.items():
                    found.setdefault(f"{kind}/{name}/{request.view}", []).append(entry)
        found |= {f"single_view/{style}": list(videos.front.entries) for style, videos in self.generated.items()}
        for style, videos in self.generated.items():
            if videos.views:
                views = (entry for video in videos.views.values() for entry in video.entries)
                found[f"multi_view/{style}"] = list(dict.fromkeys(views))
        return found


class RunContext:
    """folder: None where nothing is written, as in a dry run. scene: None loads that of the config."""

    def __init__(
        self, spec: RunSpec, results: Results, folder: RunFolder | None = None, *, scene: LoadedScene | None = None
    ):
        self.spec = spec
        self.results = results
        self.folder = folder
        self.state = PipelineState()
        self.scene = scene or LoadedScene(spec, results.cache)
        self.renders = Renders(spec, self.scene, results)
        by_model = spec.config.captions.source != "template"
        models = ModelCaptions(spec, results, self.renders, lambda: self.state.clip) if by_model else None
        self.prompts = Prompts(spec, self.scene, results, models)
        self.foreign_scene = ForeignScene(self.scene)
        self.guarding = Guarding(spec.config, results, folder)

    @property
    def target_styles(self) -> tuple[str, ...]:
        """Styles that the scene is rendered in beside its weather: as targets of metrics, or for the model."""
        spec = self.spec
        measured = not self.scene.has_pictures and (spec.references or not READS_TARGETS.isdisjoint(spec.metrics))
        if not (measured or spec.model.reads_targets):
            return ()
        return tuple(style for style in spec.styles if style != spec.weather)

    def not_measured(self, style: str) -> dict[str, str]:
        """{metric: why it has no value}, of those of the config."""
        if not self.scene.has_pictures:
            return {}
        return not_measured(self.spec.metrics, own_weather=style == self.spec.weather)

    def metrics(self, style: str) -> tuple[str, ...]:
        """Those of the config that have a value in this style."""
        return tuple(name for name in self.spec.metrics if name not in self.not_measured(style))

    def scene_renders(self) -> ByRequest:
        """In the scene's weather."""
        return self.state.renders[self.spec.weather]

    def renders_of_view(self, request: RenderRequest) -> dict[str, Entry]:
        """{view: render} of all views that a weight map may look at beside this one."""
        if request == self.spec.model.front:
            return views_of(self.scene_renders(), [request])
        return views_of(self.scene_renders(), self.spec.model.views.values())

    def view_prompts(self) -> dict[str, dict[str, str]]:
        """{style: {view: prompt}}."""
        return {style: self.prompts.of_views(style, self.state.description) for style in self.spec.styles}

    def require_safe_texts(self) -> None:
        """Blocked where a guard stops a text that the model would read, or an answer that is kept beside them."""
        state = self.state
        texts = {"the description": state.description}
        texts |= {f"the prompt of {style}": prompt for style, prompt in state.prompts.items()}
        for style, views in self.view_prompts().items():
            texts |= {f"the prompt of {style}, {view}": text for view, text in views.items()}
        if self.prompts.models:
            texts |= self.prompts.models.rejected()
        self.guarding.require_safe(texts_of(self.spec.config, texts))

    def generation_request(self) -> GenerationRequest:
        state, spec = self.state, self.spec
        used = spec.config.controls.used
        return GenerationRequest(
            clip=state.clip,
            prompts=state.prompts,
            view_prompts=self.view_prompts(),
            renders=self.scene_renders(),
            targets={style: state.renders[style] for style in spec.styles if style in state.renders},
            controls={
                name: {request: state.controls[name][request] for request in spec.model.control_requests(name)}
                for name in state.controls
                if name in used
            },
        )

    def measured(self, style: str) -> Measured:
        state = self.state
        targets = self.scene_renders() if self.scene.has_pictures else state.renders.get(style, {})
        result = StyleResult(state.prompts[style], state.generated[style], self.scene_renders(), targets)
        return Measured(self.spec, self.scene, self.results, result)

    def scores(self, measured: Measured, tick: Tick) -> Scores:
        """The metrics of the config, with ceilings and floors where it wants them."""
        limits = self._references(measured) if self.spec.references else None
        return scored(measured, limits, self.metrics(measured.style.videos.style), tick)

    def _references(self, measured: Measured) -> References:
        style = measured.style.videos.style
        videos = rendered_videos(self.spec.model, style, measured.style.targets)
        rendered = Measured(self.spec, self.scene, self.results, replace(measured.style, videos=videos))
        return References(rendered, Renders(self.spec, self.foreign_scene, self.results))
