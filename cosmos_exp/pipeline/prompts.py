"""The caption of the scene, and the prompts that it becomes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cosmos_exp.captions.describe import describe
from cosmos_exp.captions.rewrite import rewrite
from cosmos_exp.captions.views import view_prompt
from cosmos_exp.common.progress import Tick
from cosmos_exp.common.stored_arrays import load_json
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.pipeline.cached_results import Results
from cosmos_exp.pipeline.model_captions import ModelCaptions
from cosmos_exp.pipeline.scene_loading import LoadedScene


@dataclass(frozen=True)
class Caption:
    """clip: its name. description: the sentence that every style's prompt is built from. seconds: length of the scene.
    notes: of the scene, what the user should know."""

    clip: str
    description: str
    seconds: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Prompts:
    """models: what a language model writes; None where all is by template."""

    spec: RunSpec
    scene: LoadedScene
    results: Results
    models: ModelCaptions | None = None

    def caption(self) -> Caption:
        """What is known of the scene once it was loaded."""

        def compute() -> dict[str, Any]:
            scene = self.scene.scene
            known = {"clip": scene.clip_id, "description": describe(scene)}
            return known | {"seconds": scene.duration, "notes": list(scene.notes)}

        facts = load_json(self.results.get("captions", {}, [self.scene.key], compute))
        description = self.spec.config.captions.prompt or facts["description"]
        return Caption(facts["clip"], description, facts["seconds"], tuple(facts["notes"]))

    def described(self, description: str) -> str:
        """The description of the scene, or what a model sees instead."""
        return self._seen(self.spec.views[0], description)

    def prepare(self, description: str, tick: Tick) -> None:
        """Ask for all that a model has to write, several texts at a time."""
        if self.models:
            texts = [
                (text, style, view) for view, text in self._texts(description).items() for style in self.spec.styles
            ]
            self.models.prepare([own for own in texts if own[0]], tick)

    def of_front(self, description: str) -> dict[str, str]:
        """{style: prompt} of the front view."""
        front = self.spec.views[0]
        own = self._given(front) or description
        return {style: self._styled(own, style, front) for style in self.spec.styles}

    def of_views(self, style: str, description: str) -> dict[str, str]:
        """{view: prompt}, each with the sentence that says which way its camera looks."""
        texts = self._texts(description)
        return {v: view_prompt(v, self._styled(text, style, v) if text else "") for v, text in texts.items()}

    def _texts(self, description: str) -> dict[str, str]:
        """{view: text about the scene}, empty where the view has none."""
        front = self.spec.views[0]
        bare = self.spec.config.captions.other_views != "same"
        return {v: self._given(v) or self._other(v, description, bare and v != front) for v in self.spec.views}

    def _other(self, view: str, description: str, bare: bool) -> str:
        if bare:
            return ""
        own = self.models is not None and self.models.has_own_views and view != self.spec.views[0]
        return self._seen(view, description) if own else description

    def _seen(self, view: str, description: str) -> str:
        return self.models.described(view, description) if self.models and self.models.describes else description

    def _given(self, view: str) -> str | None:
        return asdict(self.spec.config.captions.view_prompts)[view]

    def _styled(self, text: str, style: str, view: str) -> str:
        if self.models:
            return self.models.styled(text, style, view)
        captions = self.spec.config.captions
        return rewrite(text, style, captions.variant) if captions.add_style else text
