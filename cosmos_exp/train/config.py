"""Typed configuration of the training program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cosmos_exp.models.transfer1.nano import NanoNetworks
from cosmos_exp.train.clips import ClipSize
from cosmos_exp.train.conditioning import Conditioning
from cosmos_exp.train.diffusion import NoiseParams
from cosmos_exp.train.evaluator import EvaluatorConfig
from cosmos_exp.train.loop import LoopParams
from cosmos_exp.train.rewriter import RewriterConfig
from cosmos_exp.train.tokenizer import TokenizerLoss

STAGES = (
    "render", "tokenizer", "encode", "single_view", "fronts", "multi_view", "evaluate", "evaluator", "rewriter"
)  # fmt: skip


@dataclass
class ClipsConfig:
    """num_clips scenes with seeds from first_seed on, num_styles of the eight styles each.

    start_at: training on them begins when so many are encoded, and goes on while the others are rendered; null waits
    for all, so that a repetition draws the same batches.
    world: `streets`, the five kinds of street that a seed samples, with ordinary traffic; or `wide`, all kinds of road,
    with traffic near the ego in half of the scenes, the layout of towns in a third, and cameras mounted a little
    differently in each. Another world needs another folder, as clips on disk are not rendered again.
    """

    num_clips: int = 1600
    num_styles: int = 3
    first_seed: int = 0
    start_at: int | None = None
    world: str = "streets"


@dataclass
class TokenizerConfig:
    """Training of the tokenizer; its loss is explained in `train/tokenizer.py`.

    crop: side in pixels of the square cut out of each batch, 0 for whole frames.
    max_videos bounds the videos held on the device; training starts when min_clips clips are rendered, and goes on
    while others are. multi_view_share: of the clips, those that show all views. train_encoder: without it the decoder
    alone is trained, and latents and the networks trained on them stay good. compile: torch.compile the encoder and the
    decoder.
    """

    loop: LoopParams = field(default_factory=lambda: LoopParams(num_steps=10000, batch_size=16, lr=8e-4))
    loss: TokenizerLoss = field(default_factory=TokenizerLoss)
    crop: int = 128
    max_videos: int = 12000
    min_clips: int = 64
    multi_view_share: float = 0.2
    train_encoder: bool = True
    compile: bool = False


@dataclass
class SingleViewConfig:
    """Training of the text encoder, the base net and all control encoders.

    object_weight: how much more a position counts in the loss where road users, lights or signs fill it.
    train_text: without it the text encoder stays as it is, and so does what a multi-view net makes of its output.
    """

    loop: LoopParams = field(default_factory=lambda: LoopParams(num_steps=5500, batch_size=192, lr=1e-3))
    noise: NoiseParams = field(default_factory=NoiseParams)
    conditioning: Conditioning = field(default_factory=Conditioning)
    object_weight: float = 0.0
    train_text: bool = True
    shuffle_captions: bool = False


@dataclass
class MultiViewConfig:
    """Training of the multi-view net; the text encoder stays as the single-view stage left it.

    front_noise: largest standard deviation of noise on true front views. generated_fronts: share of the samples whose
    front view is that of the stage `fronts`, where it has run. views_per_step: views in each batch, the front among
    them. short_clips: share of the batches that are of 9 frames alone, of twice as many clips, at half the time of the
    others or less. object_weight: as of the single view. from_single_view: start from the single-view weights.
    """

    loop: LoopParams = field(default_factory=lambda: LoopParams(num_steps=4000, batch_size=48, lr=1e-3))
    noise: NoiseParams = field(default_factory=NoiseParams)
    conditioning: Conditioning = field(default_factory=Conditioning)
    front_noise: float = 0.1
    generated_fronts: float = 0.5
    views_per_step: int = 6
    short_clips: float = 0.0
    object_weight: float = 0.0
    from_single_view: bool = True


@dataclass
class FrontsConfig:
    """Front views of the multi-view clips as the single-view net generates them from the HD map."""

    num_steps: int = 8
    guidance: float = 0.0
    batch_size: int = 64


@dataclass
class EvaluateConfig:
    """Held-out validation: num_scenes procedural scenes of seeds that training never uses.

    measures: which of `evaluate.MEASURES` to take, None for all; those of an earlier report are kept. world: as that of
    the clips. weights: controls of the style measurements. shuffled_model: model folder of a run with
    `single_view.shuffle_captions`, to compare with.
    """

    measures: list[str] | None = None
    world: str = "streets"
    num_scenes: int = 8
    num_multi_view_scenes: int = 4
    num_classifier_scenes: int = 16
    weights: dict[str, float] = field(default_factory=lambda: {"hdmap": 0.5, "seg": 0.5})
    shuffled_model: str | None = None
    num_steps: int = 8
    guidance: float = 1.0
    guidances: list[float] = field(default_factory=lambda: [0.0, 1.0, 3.0])
    hdmap_weights: list[float] = field(default_factory=lambda: [0.25, 0.5, 1.0])


@dataclass
class TrainConfig:
    """folder receives rendered clips, latents, checkpoints, logs and, in `model/`, the model after every stage.

    networks: their sizes; a model in the folder must have them. start_from: models that ship, by name, or folders: each
    network starts with the weights of the first that has it in these sizes, or with fewer blocks of the base net, the
    others with random ones. keep_clips: keep the clips' pixels after encoding. compile: torch.compile the transformer
    blocks. attention: kernel of the diffusion networks' attention, one of `kernels.attention.KERNELS`, the next fastest
    where it cannot; null: torch's choice.
    """

    folder: str = "outputs/train/nano"
    stages: list[str] = field(default_factory=lambda: list(STAGES))
    seed: int = 0
    device: str = "auto"
    compile: bool = False
    attention: str | None = None
    num_workers: int = 2
    keep_clips: bool = False
    start_from: list[str] = field(default_factory=list)
    networks: NanoNetworks = field(default_factory=NanoNetworks)
    size: ClipSize = field(default_factory=lambda: ClipSize(num_frames=25, fps=24.0, height=144, width=256))
    single_view_clips: ClipsConfig = field(default_factory=ClipsConfig)
    multi_view_clips: ClipsConfig = field(
        default_factory=lambda: ClipsConfig(num_clips=800, num_styles=2, first_seed=500_000)
    )
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    single_view: SingleViewConfig = field(default_factory=SingleViewConfig)
    fronts: FrontsConfig = field(default_factory=FrontsConfig)
    multi_view: MultiViewConfig = field(default_factory=MultiViewConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    evaluator: EvaluatorConfig = field(default_factory=EvaluatorConfig)
    rewriter: RewriterConfig = field(default_factory=RewriterConfig)
    sensors: Any = None
