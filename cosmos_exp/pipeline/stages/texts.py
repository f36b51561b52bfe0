"""Captions of the scene, the prompts they become, and the prompts' embeddings."""

from __future__ import annotations

from dataclasses import dataclass, field

from cosmos_exp.captions.describe import describe
from cosmos_exp.captions.rewrite import rewrite
from cosmos_exp.captions.views import view_prompt
from cosmos_exp.common.cache import Entry
from cosmos_exp.config.run_spec import Settings
from cosmos_exp.pipeline.cached_results import Arrays, Results, load_json
from cosmos_exp.pipeline.stages.loaded import Loaded


@dataclass(frozen=True)
class Texts:
    settings: Settings
    loaded: Loaded
    results: Results
    _embeddings: dict[str, Entry] = field(default_factory=dict, init=False)

    def caption(self) -> dict[str, str]:
        """`clip`: name of the clip; `description`: the sentence that every style's prompt is built from."""

        def compute() -> dict[str, str]:
            scene = self.loaded.scene
            return {"clip": scene.clip_id, "description": describe(scene)}

        facts = load_json(self.results.get("captions", {}, [self.loaded.scene_key], compute))
        return facts | {"description": self.settings.cfg["captions"]["prompt"] or facts["description"]}

    def prompts(self, description: str) -> dict[str, str]:
        """{style: prompt} of the front view."""
        settings = self.settings
        own = settings.cfg["captions"]["view_prompts"][settings.front] or description
        return {style: self._styled(own, style) for style in settings.styles}

    def view_prompts(self, style: str, description: str) -> dict[str, str]:
        """{view: prompt}, each with the sentence that says which way its camera looks."""
        captions, front = self.settings.cfg["captions"], self.settings.front
        given, others = captions["view_prompts"], description if captions["other_views"] == "same" else None
        texts = {view: given[view] or (description if view == front else others) for view in self.settings.views}
        return {view: view_prompt(view, self._styled(text, style) if text else "") for view, text in texts.items()}

    def _styled(self, text: str, style: str) -> str:
        return rewrite(text, style, self.settings.cfg["captions"]["variant"])

    def embedding(self, prompt: str) -> Entry:
        """`text` float32 [S,D]; looked up once a run."""

        def compute() -> Arrays:
            return {"text": self.loaded.model.encode_text(prompt).cpu().numpy()}

        if prompt not in self._embeddings:
            dtype = self.settings.cfg["hardware"]["text_encoder_dtype"]
            config = {"prompt": prompt} | ({} if dtype == "float32" else {"dtype": dtype})
            inputs = [self.loaded.weights_identity("text_encoder")]
            self._embeddings[prompt] = self.results.get("text", config, inputs, compute)
        return self._embeddings[prompt]
