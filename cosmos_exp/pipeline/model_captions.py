"""Captions that a language model writes for a run: looked up by what they follow from, or asked for and checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from cosmos_exp.captions.asking import TEMPLATE, Answered
from cosmos_exp.captions.config import RGB
from cosmos_exp.captions.fidelity import PROFILES, PROMPT_BYTES
from cosmos_exp.captions.folder import ORIGINAL, rewrite_identity
from cosmos_exp.captions.rewrite import rewrite
from cosmos_exp.captions.rewriting import RewriteSettings, rewrite_all
from cosmos_exp.captions.vlm import (
    UPSAMPLED_FRAMES,
    Frames,
    describe_frames,
    frames_of,
    uniform_frames,
    upsample,
)
from cosmos_exp.captions.vlm import VERSION as VLM_VERSION
from cosmos_exp.common.cache import Entry
from cosmos_exp.common.memo import Memo
from cosmos_exp.common.progress import Tick
from cosmos_exp.common.stored_arrays import load_arrays, load_json
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.llm.types import ChatModel
from cosmos_exp.pipeline.cached_results import Results
from cosmos_exp.pipeline.renders import Renders

STAGE = "rewrites"
DESCRIPTION = "description"


@dataclass(frozen=True)
class ModelCaptions:
    """records: {what: how it came about} of all texts that were looked up, a style or the description, with " of VIEW"
    where views have their own.

    In a dry run a text that is not in the cache is a stand-in that no other run has.
    """

    spec: RunSpec
    results: Results
    renders: Renders
    clip: Callable[[], str]
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    _memo: Memo = field(default_factory=Memo)

    @cached_property
    def chat(self) -> ChatModel:
        from cosmos_exp.llm.models import chat_model

        return chat_model(self.spec.config.llm)

    @property
    def settings(self) -> RewriteSettings:
        captions, llm = self.spec.config.captions, self.spec.config.llm
        return RewriteSettings(
            profile=PROFILES[profile_name(self.spec)],
            sampling=llm.sampling,
            attempts=captions.attempts,
            recolor=captions.recolor,
            together=captions.request == "all",
            variant=captions.variant,
        )

    @property
    def describes(self) -> bool:
        """Whether the description is written by the model too."""
        captions = self.spec.config.captions
        return captions.source == "vlm" and captions.vlm.mode == "caption"

    @property
    def has_own_views(self) -> bool:
        return self.spec.config.captions.source == "vlm" and self.spec.config.captions.vlm.views == "each"

    def described(self, view: str, instead: str) -> str:
        """The description of a view by its frames. instead: what stands in."""
        found = self._read(self._description(view, instead), DESCRIPTION, self._named(DESCRIPTION, view))
        return found or _stand_in(instead, self._description(view, instead))

    def styled(self, text: str, style: str, view: str) -> str:
        """A text about the scene in a style."""
        by_template = rewrite(text, style, self.spec.config.captions.variant)
        if (lookup := self._lookup(text, style, view)) is None:
            return by_template
        entry = lookup()
        return self._read(entry, style, self._named(style, view)) or _stand_in(by_template, entry)

    def prepare(self, texts: Sequence[tuple[str, str, str]], tick: Tick) -> None:
        """Ask for all of these (text, style, view), several at a time."""
        lookups = [lookup for text in texts if (lookup := self._lookup(*text))]
        self.results.together(lookups, tick)

    def by_template(self) -> list[str]:
        """What the template stands in for."""
        return [name for name, record in self.records.items() if record["source"] == TEMPLATE]

    def rejected(self) -> dict[str, str]:
        """{what: answer of the model} of those that were not taken."""
        return {
            f"answer {number} for {name}": answer["answer"]
            for name, record in self.records.items()
            for number, answer in enumerate(record["rejected"], 1)
        }

    def _named(self, name: str, view: str) -> str:
        return f"{name} of {view}" if self.has_own_views else name

    def _read(self, entry: Entry, what: str, name: str) -> str | None:
        """None in a dry run, of what is not in the cache."""
        if not self.results.is_known(entry):
            return None
        found = load_json(entry)[what]
        self.records[name] = found
        return found["caption"]

    def _lookup(self, text: str, style: str, view: str) -> Callable[[], Entry] | None:
        """None where the template writes the text."""
        captions = self.spec.config.captions
        if captions.source == "vlm" and captions.vlm.mode == "upsample":
            return partial(self._upsampled, text, style, view if self.has_own_views else self.spec.views[0])
        if style == ORIGINAL or (captions.source == "vlm" and not captions.vlm.rewrite):
            return None
        together = tuple(s for s in self.spec.styles if s != ORIGINAL)
        return partial(self._rewritten, text, together if self.settings.together else (style,))

    def _rewritten(self, text: str, styles: tuple[str, ...]) -> Entry:
        def compute() -> dict[str, Any]:
            made = rewrite_all({"": text}, styles, self.chat, self.settings)[""]
            return {style: _record(answered) for style, answered in made.items()}

        return self._get({"task": "rewrite", "caption": text, "styles": list(styles)}, [], compute)

    def _description(self, view: str, instead: str) -> Entry:
        seen = self._seen(view)

        def compute() -> dict[str, Any]:
            made = describe_frames(self._frames(seen), self.chat, self.settings, instead=instead)
            return {DESCRIPTION: _record(made)}

        return self._get({"task": "describe", "instead": instead, **self._frames_identity()}, [seen.key], compute)

    def _upsampled(self, text: str, style: str, view: str) -> Entry:
        seen, prompt = self._seen(view), rewrite(text, style, self.spec.config.captions.variant)

        def compute() -> dict[str, Any]:
            made = upsample(prompt, style, self._frames(seen), self.chat, self.settings)
            return {style: _record(made)}

        config = {"task": "upsample", "prompt": prompt, "style": style, **self._frames_identity()}
        return self._get(config, [seen.key], compute)

    def _get(self, config: dict[str, Any], inputs: list[str], compute: Callable[[], dict[str, Any]]) -> Entry:
        """Once for each text, whoever asks."""
        config = {**config, **rewrite_identity(self.chat, self.settings)}
        key = self.results.key(STAGE, config, inputs)
        return self._memo.once(key, lambda: self.results.get(STAGE, config, inputs, compute))

    def _seen(self, view: str) -> Entry:
        """What the model looks at: a render, or the video of a control."""
        spec, see = self.spec, self.spec.config.captions.vlm.see
        request = spec.shown_requests[view]
        if see != RGB and (file := spec.control_file(see)):
            return self.renders.user_control(see, file, request, self.clip())
        render = self.renders.render(request, spec.weather, spec.outputs)
        return render if see == RGB else self.renders.control(see, request, render)

    def _frames(self, seen: Entry) -> Frames:
        vlm = self.spec.config.captions.vlm
        video = load_arrays(seen)[RGB if vlm.see == RGB else "video"]
        upsampled = tuple(i for i in UPSAMPLED_FRAMES if i < len(video))
        indices = uniform_frames(len(video), vlm.frames) if vlm.mode == "caption" else upsampled
        return frames_of(video, indices, self.spec.fps, vlm.side)

    def _frames_identity(self) -> dict[str, Any]:
        vlm = self.spec.config.captions.vlm
        return {"frames": vlm.frames, "side": vlm.side, "see": vlm.see, "vlm_version": VLM_VERSION}


def profile_name(spec: RunSpec) -> str:
    """Of `captions.profile`; of auto, what the video model reads."""
    given = spec.config.captions.profile
    if given != "auto":
        return given
    return "nano" if 0 < spec.contract.text_tokens <= PROMPT_BYTES else "released"


def _record(answered: Answered) -> dict[str, Any]:
    return {"caption": answered.text, **answered.record()}


def _stand_in(text: str, entry: Entry) -> str:
    return f"{text} ({entry.key})"
