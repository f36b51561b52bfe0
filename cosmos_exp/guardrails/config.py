"""The `guardrails` group."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from cosmos_exp.common.typed_config import NO_EFFECT


@dataclass
class GuardrailsConfig:
    """What stops a clip. An error of a guard stops the run: it is never taken for "safe"."""

    COUNTS_WHERE: ClassVar[str] = "where guardrails.faces is true"

    words: bool = field(default=True, metadata=NO_EFFECT)
    """Whether prompts, negative and regional prompts, and answers of language models, are looked through for words of
    the blocklist."""
    lists: list[str] = field(default_factory=list, metadata=NO_EFFECT)
    """More lists of blocked words, files or folders of files, one entry a line, such as those of Cosmos-Guardrail1."""
    allowed: list[str] = field(default_factory=list, metadata=NO_EFFECT)
    """More words and phrases in which a blocked word counts for nothing, as in `median strip`."""
    text_model: str | None = field(default=None, metadata=NO_EFFECT)
    """Llama Guard 3 or Qwen3Guard by the name that the server at `endpoint` has for it, to judge the same texts; null:
    none."""
    text_answers: str | None = field(default=None, metadata=NO_EFFECT)
    """How `text_model` answers: llama_guard_3 or qwen3guard; null: by its name."""
    endpoint: str | None = field(default=None, metadata=NO_EFFECT)
    """URL of an OpenAI-compatible server, such as http://localhost:8000/v1."""
    key_variable: str | None = field(default=None, metadata=NO_EFFECT)
    """Environment variable that holds the server's key."""
    controversial: bool = field(default=False, metadata=NO_EFFECT)
    """Whether a text passes that Qwen3Guard calls controversial."""
    faces: bool = False
    """Whether faces in generated videos are pixelated, before metrics, files and W&B see them."""
    face_threshold: float = 0.5
    """What CenterFace must score to count as a face, 0 to 1."""
    face_size: int = 20
    """Pixels: smaller faces are left as they are."""
    safety: bool = field(default=False, metadata=NO_EFFECT)
    """Whether the frames of generated videos are judged, before anything of them is written."""
    safety_model: str = field(default="open_nsfw", metadata=NO_EFFECT)
    """open_nsfw: nudity alone; siglip: SigLIP with the classifier of Cosmos-Guardrail1."""
    safety_threshold: float = field(default=0.5, metadata=NO_EFFECT)
    """open_nsfw: what a frame must score to be unsafe, 0 to 1."""
    safety_share: float = field(default=0.0, metadata=NO_EFFECT)
    """A clip is blocked where more than this share of a view's frames is unsafe; Cosmos-Transfer2.5 has 0.1."""
    violence: bool = field(default=False, metadata=NO_EFFECT)
    """siglip: whether frames of its class violence are unsafe. They are not in Cosmos-Transfer, because driving scenes
    are often taken for it; their share is recorded."""
    weights: str = field(default="checkpoints", metadata=NO_EFFECT)
    """Where `cosmos-exp download` has put the networks."""

    @property
    def changes_result(self) -> bool:
        """Of a clip that passes, whether its videos are others."""
        return self.faces
