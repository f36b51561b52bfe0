"""The `captions` group."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from cosmos_exp.captions.rewrite import NUM_PHRASINGS
from cosmos_exp.common.errors import repeated, unknown_name
from cosmos_exp.common.styles import STYLES
from cosmos_exp.common.typed_config import REQUIRED
from cosmos_exp.controls.config import AreaConfig


@dataclass
class ViewPromptsConfig:
    """What is to be seen in a view; null: what `other_views` says."""

    front_wide_120fov: str | None = None
    cross_left_120fov: str | None = None
    cross_right_120fov: str | None = None
    rear_tele_30fov: str | None = None
    rear_left_70fov: str | None = None
    rear_right_70fov: str | None = None
    front_tele_30fov: str | None = None


@dataclass
class RegionConfig(AreaConfig):
    prompt: str = ""
    """Cross-attention in the area is half to this prompt, half to that of the whole picture."""


SOURCES = ("template", "rewrite", "vlm")
LENGTHS = ("auto", "nano", "released")
REQUESTS = ("each", "all")
MODES = ("caption", "upsample")
VLM_VIEWS = ("front", "each")
RGB = "rgb"
MOST_FRAMES = 32
MOST_ATTEMPTS = 20
SIDES = (64, 4096)


@dataclass
class VLMConfig:
    """Captions from frames, of captions.source=vlm."""

    mode: str = "caption"
    """caption: the scene is described by its frames, in place of its facts; upsample: every prompt is made longer by
    what the first two frames show, as Cosmos-Transfer1 does."""
    views: str = "front"
    """front: the frames of the front view, for all views; each: every view has a text by its own frames."""
    see: str = "rgb"
    """What the model looks at: rgb, the scene as rendered or captured, or the video of a control, such as hdmap."""
    frames: int = 8
    """Of mode caption: frames at most, evenly spread over the clip."""
    side: int = 640
    """Longer side of a frame in pixels, at most."""
    rewrite: bool = True
    """Of mode caption: the styles are written by the model too; false: by template."""


@dataclass
class CaptionsConfig:
    """The styles and the prompts."""

    source: str = "template"
    """Who writes the prompts. template: no model; rewrite: that of the group `llm` writes the styles; vlm: it looks at
    frames. Every answer is checked, and the template stands in for those that are not faithful."""
    styles: list[str] = REQUIRED
    """One generated clip per style."""
    variant: int = 0
    """Which phrasing of the styles, by template."""
    profile: str = "auto"
    """Length of a text by a model. nano: 256 bytes with the camera's sentence; released: 80 to 130 words; auto: as the
    video model reads; for a folder of captions released."""
    attempts: int = 3
    """Requests per text at most, before the template stands in."""
    request: str = "each"
    """each: a request per style; all: the first for all styles together."""
    recolor: bool = False
    """Give every vehicle another colour, as Cosmos-Drive-Dreams does; else the colours must stay."""
    vlm: VLMConfig = field(default_factory=VLMConfig)
    prompt: str | None = None
    """Replaces the sentence that describes the scene; the style is still added to it."""
    add_style: bool = True
    """Begin each prompt with the sentence of its style; false: the text alone is the prompt, of one style."""
    view_prompts: ViewPromptsConfig = field(default_factory=ViewPromptsConfig)
    """In place of that sentence for some views, the style added too."""
    other_views: str = "same"
    """What the multi-view net reads of views without a text of their own, besides their camera's sentence: same, the
    scene's sentence in its style, or bare, nothing, as in Cosmos-Drive-Dreams."""
    regions: list[RegionConfig] = field(default_factory=list)
    """Regional prompts of the front view."""
    negative_prompt: str | None = None
    """Of the unconditional pass in the single view; null takes the model's own."""


def captions_problems(config: CaptionsConfig, *, llm: str, used: Collection[str]) -> Iterator[str]:
    """One message per value that is out of range. llm: name of the language model. used: controls with a weight."""
    for style in config.styles:
        if style not in STYLES:
            yield f"captions.styles: {unknown_name('style', style, STYLES)}"
    if not config.styles:
        yield f"captions.styles is empty: give one or more of {', '.join(STYLES)}"
    yield from repeated("captions.styles", config.styles)
    if not 0 <= config.variant < NUM_PHRASINGS:
        yield f"captions.variant={config.variant}: must be 0 to {NUM_PHRASINGS - 1}"
    if config.prompt is not None and not config.prompt.strip():
        yield "captions.prompt is empty: write a sentence, or null to describe the scene"
    for key, given, allowed in (
        ("source", config.source, SOURCES),
        ("profile", config.profile, LENGTHS),
        ("request", config.request, REQUESTS),
        ("vlm.mode", config.vlm.mode, MODES),
        ("vlm.views", config.vlm.views, VLM_VIEWS),
        ("vlm.see", config.vlm.see, (RGB, *used)),
    ):
        if given not in allowed:
            yield f"captions.{key}: {unknown_name(key.rpartition('.')[2], given, allowed)}"
    for key, number, least, most in (
        ("attempts", config.attempts, 1, MOST_ATTEMPTS),
        ("vlm.frames", config.vlm.frames, 1, MOST_FRAMES),
        ("vlm.side", config.vlm.side, *SIDES),
    ):
        if not least <= number <= most:
            yield f"captions.{key}={number}: must be {least} to {most}; nearest: {min(max(number, least), most)}"
    if config.source == "vlm" and llm == "nano":
        yield "captions=vlm: llm=nano reads no pictures; give llm=endpoint or llm=vllm with a model that does"
    if config.source == "vlm" and config.vlm.mode == "caption" and config.prompt:
        yield "captions.prompt: is used in place of what captions=vlm describes; leave it out, or give captions=rewrite"
    if not config.add_style and config.source != "template":
        yield f"captions.add_style=false: captions={config.source} writes the style into the text; give template"
    if not config.add_style and len(config.styles) > 1:
        yield "captions.add_style=false: all styles would have the same prompt; give one of captions.styles"
    if config.recolor and config.source == "template":
        yield "captions.recolor=true: templates keep colours; give captions=rewrite"
