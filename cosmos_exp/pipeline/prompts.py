"""The caption of the scene, and the prompts that it becomes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cosmos_exp.captions.describe import describe
from cosmos_exp.captions.rewrite import rewrite
from cosmos_exp.captions.views import view_prompt
from cosmos_exp.common.stored_arrays import load_json
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.pipeline.cached_results import Results
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
    spec: RunSpec
    scene: LoadedScene
    results: Results

    def caption(self) -> Caption:
        """What is known of the scene once it was loaded."""

        def compute() -> dict[str, Any]:
            scene = self.scene.scene
            known = {"clip": scene.clip_id, "description": describe(scene)}
            return known | {"seconds": scene.duration, "notes": list(scene.notes)}

        facts = load_json(self.results.get("captions", {}, [self.scene.key], compute))
        description = self.spec.config.captions.prompt or facts["description"]
        return Caption(facts["clip"], description, facts["seconds"], tuple(facts["notes"]))

    def of_front(self, description: str) -> dict[str, str]:
        """{style: prompt} of the front view."""
        own = self._given(self.spec.views[0]) or description
        return {style: self._styled(own, style) for style in self.spec.styles}

    def of_views(self, style: str, description: str) -> dict[str, str]:
        """{view: prompt}, each with the sentence that says which way its camera looks."""
        front, views = self.spec.views[0], self.spec.views
        others = description if self.spec.config.captions.other_views == "same" else None
        texts = {view: self._given(view) or (description if view == front else others) for view in views}
        return {view: view_prompt(view, self._styled(text, style) if text else "") for view, text in texts.items()}

    def _given(self, view: str) -> str | None:
        return asdict(self.spec.config.captions.view_prompts)[view]

    def _styled(self, text: str, style: str) -> str:
        return rewrite(text, style, self.spec.config.captions.variant)
