"""The `sampler` group."""

from __future__ import annotations

from dataclasses import dataclass

from cosmos_exp.sampling.sampler_params import SIGMA_MAX, SIGMA_MIN


@dataclass
class SamplerConfig:
    guidance: float = 1.0
    """g in cond + g * (cond - uncond): 0 is no guidance; the scale of the other convention is g + 1."""
    num_steps: int = 8
    """Solver steps; the network is evaluated once more than this."""
    sigma_max: float = SIGMA_MAX
    """Noise level at the start; with an input below 80, of the front view alone."""
    sigma_min: float = SIGMA_MIN
    """Noise level at the end."""
    input: str | None = None
    """What the front view departs from: rgb, the scene's picture in scene.weather; a video file; null: noise alone."""
    first_frames: str | None = None
    """What all views begin with, where the multi-view network continues videos: rgb, the scene's pictures in
    scene.weather; a folder with a video per view; null: nothing but the front view is given."""
    seed: int = 0
    """Of the initial noise; the same seed gives the same noise at every guidance and weight."""
