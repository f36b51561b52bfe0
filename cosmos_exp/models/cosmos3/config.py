"""The `model` group of the family `cosmos3`."""

from __future__ import annotations

from dataclasses import dataclass, field

from cosmos_exp.common.typed_config import NO_EFFECT
from cosmos_exp.models.remote.config import ServerConfig
from cosmos_exp.remote.cosmos3_request import TRAINED_FRAMES

CONTROL = "wsm"
"""The control that the model reads: World Scenario maps."""


@dataclass
class Cosmos3Config(ServerConfig):
    """Cosmos3-Nano-Transfer-Auto on a server with vLLM-Omni's interface for videos."""

    in_flight: int = field(default=2, metadata=NO_EFFECT)
    """Styles of a run that may be on the server at the same time; each result takes up to 4 GB of memory."""
    resolution: str = "480"
    """480 or 720: the sizes of videos to choose from, by the shape of the front camera's picture."""
    chunk_frames: int = TRAINED_FRAMES
    """Frames of one request, 1 + 4k; longer clips are continued, request by request. The default is the length that the
    model was trained on."""
    given_frames: int = 5
    """First frames of each view that sampler.first_frames=rgb gives, 1 + 4k."""
    flow_shift: float = 10.0
    """Shift of the noise levels to the high ones."""
    control_guidance: float = 1.0
    """Scale of the guidance by the World Scenario map; 1 is none."""
    emphasize_control: bool = True
    """Let the server add to each prompt that the map is to be followed."""
    served_model: str | None = None
    """Name under which the server runs the model; null: whatever it runs. Results are kept under this name."""
    attempts: int = field(default=2, metadata=NO_EFFECT)
    """How often a request is made in all where its job fails on the server, or is lost there."""
    cancel: bool = field(default=False, metadata=NO_EFFECT)
    """Cancel the jobs on the server where the run ends before them; false: they go on, and the next run with the same
    requests takes their results."""
