"""The `guardrails` group."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class GuardrailsConfig:
    """What stops a clip. An error of a guard stops the run: it is never taken for "safe"."""

    words: bool = True
    """Whether prompts, negative and regional prompts, and answers of language models, are looked through for words of
    the blocklist."""
    lists: list[str] = field(default_factory=list)
    """More lists of blocked words, files or folders of files, one entry a line, such as those of Cosmos-Guardrail1."""
    allowed: list[str] = field(default_factory=list)
    """More words and phrases in which a blocked word counts for nothing, as in `median strip`."""
    text_model: str | None = None
    """Llama Guard 3 or Qwen3Guard by the name that the server at `endpoint` has for it, to judge the same texts; null:
    none."""
    text_answers: str | None = None
    """How `text_model` answers: llama_guard_3 or qwen3guard; null: by its name."""
    endpoint: str | None = None
    """URL of an OpenAI-compatible server, such as http://localhost:8000/v1."""
    key_variable: str | None = None
    """Environment variable that holds the server's key."""
    controversial: bool = False
    """Whether a text passes that Qwen3Guard calls controversial."""
    faces: bool = False
    """Whether faces in generated videos are pixelated, before metrics, files and W&B see them."""
    face_threshold: float = 0.5
    """What CenterFace must score to count as a face, 0 to 1."""
    face_size: int = 20
    """Pixels: smaller faces are left as they are."""
    safety: bool = False
    """Whether the frames of generated videos are judged, before anything of them is written."""
    safety_model: str = "open_nsfw"
    """open_nsfw: nudity alone; siglip: SigLIP with the classifier of Cosmos-Guardrail1."""
    safety_threshold: float = 0.5
    """open_nsfw: what a frame must score to be unsafe, 0 to 1."""
    safety_share: float = 0.0
    """A clip is blocked where more than this share of a view's frames is unsafe; Cosmos-Transfer2.5 has 0.1."""
    violence: bool = False
    """siglip: whether frames of its class violence are unsafe. They are not in Cosmos-Transfer, because driving scenes
    are often taken for it; their share is recorded."""
    weights: str = "checkpoints"
    """Where `cosmos-exp download` has put the networks."""

    @property
    def changes_result(self) -> bool:
        """Of a clip that passes, whether its videos are others."""
        return self.faces
