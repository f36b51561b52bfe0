"""The `model`, `views`, `speed` and `hardware` groups, and what of a run's config a model may depend on."""

from __future__ import annotations

from dataclasses import dataclass, field

from cosmos_exp.captions.config import CaptionsConfig
from cosmos_exp.common.typed_config import NO_EFFECT, REQUIRED
from cosmos_exp.controls.config import ControlsConfig
from cosmos_exp.sampling.config import BoundSampler


@dataclass
class ModelConfig:
    """What every video model has: its name, and the clip to make with it. A family's own keys stand in its subclass."""

    name: str = REQUIRED
    family: str = field(default=REQUIRED, metadata=NO_EFFECT)
    """Which registered family of models reads this config; follows from the option of the group."""
    num_frames: int | None = None
    """Frames of the front view, in chunks where the model can continue one; null takes the model's own number."""
    multi_view_frames: int | None = None
    """Frames of all views together; null takes as many of the front view's as the model makes of all."""
    overlap: int | None = None
    """Frames that a further chunk of a long video begins with; null takes the fewest that the model knows."""
    height: int | None = None
    """Pixels; null: of the sizes that the model makes, that nearest in shape to the front camera's picture."""
    width: int | None = None
    """Pixels; null as for height."""
    fps: float | None = None
    """Frames per second; null takes the rate the model was trained at."""


@dataclass
class ViewsConfig:
    """Which views are generated."""

    names: list[str] = REQUIRED
    """The first is the front view; several are generated together."""


@dataclass
class SpeedConfig:
    """How the networks are evaluated. All but `compile` change the result a little."""

    attention: str = "auto"
    """Kernel of the self-attention: auto, cudnn, flash, efficient or math; fp8: on 8-bit floats."""
    linears: str = "plain"
    """Large linear layers: plain, in hardware.dtype; fp8, on 8-bit floats; te, the same by Transformer Engine."""
    compile: bool | None = field(default=None, metadata=NO_EFFECT)
    """Fuse the element-wise work, which needs a C compiler; null: on a GPU."""
    guidance_interval: list[float] | None = None
    """[lowest, highest] noise level, noise over signal, with guidance; elsewhere the conditional pass stands alone.
    null: everywhere."""
    cache_threshold: float = 0.0
    """Evaluations whose first attention changed by less than this share reuse the later blocks; 0: none."""


@dataclass
class HardwareConfig:
    """What the networks run on, and in which precision."""

    device: str = field(default="cpu", metadata=NO_EFFECT)
    """cpu, cuda, or cuda:N."""
    dtype: str = "float32"
    """Of the networks: float32 or bfloat16."""
    threads: int | None = field(default=None, metadata=NO_EFFECT)
    """How much work goes on at the same time on the CPU; changes no result. null: as many as this process may use
    cores, by its affinity, the CPU quota of its control group and OMP_NUM_THREADS."""
    text_encoder: str = field(default="stay", metadata=NO_EFFECT)
    """swap: on the device while it works, evicted before the other parts are loaded; stay: always there; cpu: works
    there."""
    text_encoder_dtype: str | None = None
    """float32 or bfloat16; null: as in the original, float32 of Cosmos-Transfer1 and bfloat16 of Cosmos-Transfer2.5."""
    resident: str = field(default="all", metadata=NO_EFFECT)
    """Networks on the device: all, or one, which is evicted before the other is loaded."""
    offload: str = field(default="none", metadata=NO_EFFECT)
    """blocks: the networks' large weights wait in CPU memory and are copied one block ahead; none: on the device."""
    tokenizer_chunk: int | None = field(default=None, metadata=NO_EFFECT)
    """Latent frames that the tokenizer works on at a time; the result is the same. null: all."""
    memory_gb: float | None = field(default=None, metadata=NO_EFFECT)
    """GiB of the device's memory that this process may take; null: all."""
    jobs_per_gpu: int = field(default=1, metadata=NO_EFFECT)
    """How many runs of this machine may share a GPU; a run waits until one is free."""
    processes: int | None = field(default=None, metadata=NO_EFFECT)
    """That sample a clip together, on a GPU each with device=cuda; null: one, or those that torchrun started. More than
    one are in the keys of results, which differ by rounding, but in no run id."""

    @property
    def on_gpu(self) -> bool:
        return self.device != "cpu"

    @property
    def gpus(self) -> int:
        """That a run occupies."""
        return (self.processes or 1) if self.on_gpu else 0


@dataclass(frozen=True)
class GenerationConfig:
    """What of a run's config a video model may depend on.

    views: in the model's order, the front view first. aspect: width / height of the front camera as it is described;
    None: not known yet. threads: on the CPU, at least 1.
    """

    model: ModelConfig
    views: tuple[str, ...]
    controls: ControlsConfig
    captions: CaptionsConfig
    sampler: BoundSampler
    speed: SpeedConfig
    hardware: HardwareConfig
    threads: int
    aspect: float | None = None
