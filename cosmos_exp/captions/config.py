"""The `captions` group."""

from __future__ import annotations

from dataclasses import dataclass, field

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


@dataclass
class RegionConfig(AreaConfig):
    prompt: str = ""
    """Cross-attention in the area is half to this prompt, half to that of the whole picture."""


@dataclass
class CaptionsConfig:
    """The styles and the prompts."""

    styles: list[str] = REQUIRED
    """One generated clip per style."""
    variant: int = 0
    """Which phrasing of the styles."""
    prompt: str | None = None
    """Replaces the sentence that describes the scene; the style is still added to it."""
    view_prompts: ViewPromptsConfig = field(default_factory=ViewPromptsConfig)
    """In place of that sentence for some views, the style added too."""
    other_views: str = "same"
    """What the multi-view net reads of views without a text of their own, besides their camera's sentence: same, the
    scene's sentence in its style, or bare, nothing, as in Cosmos-Drive-Dreams."""
    regions: list[RegionConfig] = field(default_factory=list)
    """Regional prompts of the front view."""
    negative_prompt: str | None = None
    """Of the unconditional pass in the single view; null takes the model's own."""
