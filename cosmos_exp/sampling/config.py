"""The `sampler` group."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from cosmos_exp.sampling.sampler_params import DEFAULT_STEPS, SIGMA_MAX, SIGMA_MIN


@dataclass
class SamplerConfig:
    """How the noise is removed: guidance, steps, noise levels, seed."""

    guidance: float = 1.0
    """g in cond + g * (cond - uncond): 0 is no guidance; the scale of the other convention is g + 1."""
    num_steps: int | None = None
    """Solver steps; the network is evaluated once more than this. null takes the model's own: 4 of nano, that of a
    distilled one, 8 of the others."""
    sigma_max: float = SIGMA_MAX
    """Initial noise level; with an init video, of the front view alone."""
    sigma_min: float | None = None
    """Noise level at the end; null takes the model's own: 0.002 of the released models, more of nano and nano_fast."""
    input: str | None = None
    """Init video of the front view: rgb, the render in scene.weather; a video file; null: pure noise."""
    first_frames: str | None = None
    """Given first frames of all views, where the multi-view network continues videos: rgb, the renders in
    scene.weather; a folder with a video per view; null: only the front view is given."""
    seed: int = 0
    """Of the initial noise; the same seed gives the same noise at every guidance and weight."""
    best_of: int = 1
    """Candidates of each style, of which `filter` keeps one: the first has this seed, the others seeds derived from it.
    1: no choice."""


@dataclass(frozen=True)
class OwnSampling:
    """What a model takes where the sampler's config has null."""

    num_steps: int = DEFAULT_STEPS
    sigma_min: float = SIGMA_MIN


@dataclass
class BoundSampler(SamplerConfig):
    """The same as a model takes it: what the config leaves to the model has the model's value."""

    num_steps: int = DEFAULT_STEPS
    sigma_min: float = SIGMA_MIN

    @classmethod
    def of(cls, sampler: SamplerConfig, own: OwnSampling) -> BoundSampler:
        """own: of the model's contract."""
        values = {entry.name: getattr(sampler, entry.name) for entry in fields(SamplerConfig)}
        return cls(**values | {key: value for key, value in asdict(own).items() if values[key] is None})
