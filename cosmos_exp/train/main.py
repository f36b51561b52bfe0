"""`cosmos-exp train`: renders scenes and trains the parts of the nano model in resumable stages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.core.config_store import ConfigStore
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.files import write_json
from cosmos_exp.evaluators.nano import channels_last, save_network
from cosmos_exp.evaluators.network import PerceptionNet
from cosmos_exp.models.transfer1.edm import Denoiser
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.models.transfer1.nano import nano_config
from cosmos_exp.models.transfer1.tokenizer import VideoTokenizer, to_signed
from cosmos_exp.models.transfer1.weights_folder import SHIPPED_WEIGHTS
from cosmos_exp.sensors.camera import Rig
from cosmos_exp.sensors.rigs import build_rig
from cosmos_exp.sweeps.callbacks import past_hydra
from cosmos_exp.train.clips import ClipSpec
from cosmos_exp.train.config import STAGES, ClipsConfig, TrainConfig
from cosmos_exp.train.diffusion import MultiViewObjective, SingleViewObjective, networks, start_from_single_view
from cosmos_exp.train.evaluator import PictureBank, render_pictures, train_evaluator
from cosmos_exp.train.latents import LatentSet, encode_clips
from cosmos_exp.train.loop import StepProgress, run_loop
from cosmos_exp.train.rendering import WORLDS, render_clips
from cosmos_exp.train.rewriter import (
    ConversationBank,
    Conversations,
    held_out_loss,
    new_network,
    save_rewriter,
    train_rewriter,
    write_conversations,
)
from cosmos_exp.train.tokenizer import VideoBank, latent_statistics, train_tokenizer

log = logging.getLogger(__name__)

ConfigStore.instance().store(name="base_train", node=TrainConfig)


class Training:
    """One training folder and the stages that work on it."""

    def __init__(self, config: TrainConfig, rig: Rig):
        self.config = config
        self.rig = rig
        self.folder = Path(config.folder)
        self.device = torch.device(pick_device(config.device))
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
        torch.manual_seed(config.seed)  # the initial weights; batches have generators of their own
        if (self.folder / "model" / "model.json").exists():
            self.model = WorldModel.from_folder(self.folder / "model", device=self.device)
        else:
            self.model = WorldModel.build(nano_config(), device=self.device)
        self.views = self.model.contract.views
        self.controls = self.model.contract.controls

    def single_view_specs(self) -> Iterator[ClipSpec]:
        return self._specs(self.config.single_view_clips, self.views[:1], self.controls)

    def multi_view_specs(self) -> Iterator[ClipSpec]:
        return self._specs(self.config.multi_view_clips, self.views, ("hdmap",))

    def render(self) -> None:
        """All clips, which later stages otherwise render on demand; may run in parallel to the tokenizer stage."""
        for specs, folder in ((self.single_view_specs(), "clips"), (self.multi_view_specs(), "multi_view_clips")):
            progress = counter(f"rendered into {folder}")
            for number, _ in enumerate(self._rendered(specs, self.folder / folder), 1):
                progress(number)

    def tokenizer(self) -> None:
        settings = self.config.tokenizer
        bank = VideoBank(self.folder / "clips", settings.max_videos, self.device)
        bank.refresh()
        if bank.num_clips < settings.min_clips:
            needed = islice(self.single_view_specs(), settings.min_clips)
            for _ in self._rendered(needed, self.folder / "clips"):
                pass
        vae = self.model.tokenizer.vae.train()
        if settings.compile:
            vae.encoder.compile()
            vae.decoder.compile()
        finished = train_tokenizer(
            vae,
            bank,
            settings.loop,
            self.folder / "tokenizer",
            settings.loss,
            crop=settings.crop,
            progress=report("tokenizer"),
        )
        self.model.tokenizer.set_statistics(*latent_statistics(vae.eval(), bank, min(1024, 4 * len(bank))))
        self._save("tokenizer", finished)

    def encode(self) -> None:
        """Latents of all clips, which the next stages otherwise encode when they need them."""
        self._single_view_latents()
        self._multi_view_latents()

    def _single_view_latents(self) -> Path:
        path = self.folder / "single_view.safetensors"
        if not path.exists():
            paths = self._rendered(self.single_view_specs(), self.folder / "clips")
            encode_clips(paths, self._encode, self.views[:1], self.controls, progress=counter("encoded")).save(path)
        return path

    def _multi_view_latents(self) -> Path:
        path = self.folder / "multi_view.safetensors"
        if not path.exists():
            paths = self._rendered(self.multi_view_specs(), self.folder / "multi_view_clips")
            discard = not self.config.keep_clips
            encode_clips(
                paths, self._encode, self.views, ("hdmap",), discard=discard, progress=counter("encoded")
            ).save(path)
        return path

    def single_view(self) -> None:
        latents = LatentSet.load(self._single_view_latents(), self.device)
        settings = self.config.single_view
        denoiser = self.model.single_view()
        self._compile(denoiser)
        objective = SingleViewObjective(
            self.model.text_encoder,
            denoiser,
            latents,
            negative_prompt=self.model.contract.negative_prompt,
            noise=settings.noise,
            batch_size=settings.loop.batch_size,
            text_dropout=settings.text_dropout,
            shuffle_captions=settings.shuffle_captions,
        ).train()
        finished = run_loop(
            objective, objective, settings.loop, self.folder / "single_view", progress=report("single view")
        )
        self._save("single view", finished)

    def multi_view(self) -> None:
        settings = self.config.multi_view
        latents = LatentSet.load(self._multi_view_latents(), self.device)
        denoiser = self.model.multi_view()
        if settings.from_single_view:
            start_from_single_view(denoiser.net, self.model.single_view().net)
        self._compile(denoiser)
        objective = MultiViewObjective(
            self.model.text_encoder,
            denoiser,
            latents,
            views=self.views,
            noise=settings.noise,
            batch_size=settings.loop.batch_size,
            text_dropout=settings.text_dropout,
            front_noise=settings.front_noise,
            views_per_step=settings.views_per_step,
        ).train()
        finished = run_loop(
            objective, objective, settings.loop, self.folder / "multi_view", progress=report("multi view")
        )
        self._save("multi view", finished)

    def evaluate(self) -> None:
        from cosmos_exp.train.evaluate import evaluate

        evaluate(self.model, self.rig, self.config, self.folder / "validation")

    def evaluator(self) -> None:
        """The perception network that `evaluator=nano` scores videos with, in `evaluator.safetensors`."""
        settings, pictures = self.config.evaluator, self.folder / "evaluator_pictures"
        seeds = range(settings.first_seed, settings.first_seed + settings.num_scenes)
        progress = counter("rendered into evaluator_pictures")
        for number, _ in enumerate(render_pictures(seeds, self.rig, settings, pictures, self.config.num_workers), 1):
            progress(number)
        tokenizer = self._trained_model().tokenizer
        net = channels_last(PerceptionNet().to(self.device))
        finished = train_evaluator(
            net,
            PictureBank(pictures, self.device),
            settings.loop,
            self.folder / "evaluator",
            soften=partial(self._softened, tokenizer),
            progress=report("evaluator"),
        )
        weights = self.folder / "evaluator.safetensors"
        save_network(net, weights)
        log.info("evaluator: %s; network in %s", "finished" if finished else "stopped at its time limit", weights)

    def rewriter(self) -> None:
        """The language model that `llm=nano` rewrites captions with, in the folder `rewriter_model`."""
        settings = self.config.rewriter
        seeds = range(settings.first_seed, settings.first_seed + settings.num_pairs)
        paths = write_conversations(seeds, self.folder / "rewriter_pairs", self.config.num_workers)
        bank = ConversationBank([Conversations.load(path) for path in paths], self.device)
        torch.manual_seed(self.config.seed)
        network = new_network(settings).to(self.device)
        if self.config.compile:
            for layer in network.model.layers:
                layer.compile()
        finished = train_rewriter(network, bank, settings.loop, self.folder / "rewriter", progress=report("rewriter"))
        save_rewriter(network, self.folder / "rewriter_model")
        held_out = held_out_loss(network, settings.num_held_out, self.device)
        write_json(self.folder / "rewriter" / "held_out.json", held_out)
        state = "finished" if finished else "stopped at its time limit"
        log.info("rewriter: %s; held out %s; model in %s", state, held_out, self.folder / "rewriter_model")

    def _trained_model(self) -> WorldModel:
        """That of this folder, or the nano model of the package where none was trained here."""
        if (self.folder / "model" / "model.json").exists():
            return self.model
        return WorldModel.from_folder(SHIPPED_WEIGHTS / "nano", device=self.device)

    @torch.no_grad()
    def _softened(self, tokenizer: VideoTokenizer, pictures: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Through the tokenizer, with noise of this standard deviation [B] on the latents. pictures: [B,3,H,W]."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            latents = tokenizer.encode(pictures[:, :, None])
            latents = latents + noise[:, None, None, None, None] * torch.randn_like(latents)
            return tokenizer.decode(latents)[:, :, 0].float()

    @torch.no_grad()
    def _encode(self, videos: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            parts = [self.model.tokenizer.encode(to_signed(v.to(self.device))) for v in videos.split(16)]
        return torch.cat(parts).float()

    def _compile(self, denoiser: Denoiser) -> None:
        if self.config.compile:
            for net in networks(denoiser.net).values():
                for block in net.transformer_blocks:
                    block.compile()

    def _specs(self, clips: ClipsConfig, views: tuple[str, ...], controls: tuple[str, ...]) -> Iterator[ClipSpec]:
        for seed in range(clips.first_seed, clips.first_seed + clips.num_clips):
            yield ClipSpec(seed, tuple(views), clips.num_styles, tuple(controls), self.config.size, clips.world)

    def _rendered(self, specs: Iterator[ClipSpec], folder: Path) -> Iterator[Path]:
        return render_clips(specs, self.rig, folder, self.config.num_workers)

    def _save(self, stage: str, finished: bool) -> None:
        self.model.save(self.folder / "model")
        state = "finished" if finished else "stopped at its time limit; run the same command to go on"
        log.info("%s: %s; model in %s", stage, state, self.folder / "model")


def pick_device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"device={name}: no CUDA device here; use device=cpu or device=auto")
    return name


def report(stage: str) -> StepProgress:
    def progress(step: int, total: int, row: dict[str, float]) -> None:
        log.info("%s %d/%d %s", stage, step, total, " ".join(f"{k} {v:.4f}" for k, v in row.items()))

    return progress


def counter(what: str) -> Callable[[int], None]:
    def progress(number: int) -> None:
        if number % 100 == 0:
            log.info("%s %d clips", what, number)

    return progress


def check_stages(stages: list[str]) -> None:
    for stage in stages:
        if stage not in STAGES:
            raise UserError(unknown_name("training stage", stage, STAGES))


def check_worlds(config: TrainConfig) -> None:
    for key in ("single_view_clips", "multi_view_clips", "evaluate", "evaluator"):
        world = getattr(config, key).world
        if world not in WORLDS:
            raise UserError(f"{key}.world: {unknown_name('world', world, WORLDS)}")


def checked(cfg: DictConfig) -> tuple[TrainConfig, Rig]:
    """The config with its types, and its cameras. UserError where they cannot be trained with."""
    sensors = OmegaConf.to_container(cfg.sensors, resolve=True)
    if not isinstance(sensors, dict):
        raise UserError(f"sensors={sensors}: training needs the cameras of a rig, such as sensors=six_views")
    values = {k: v for k, v in cfg.items() if k not in ("sensors", "hydra")}
    config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(TrainConfig), values))
    assert isinstance(config, TrainConfig)
    rig = build_rig(sensors["name"], sensors["cameras"], size=(config.size.width, config.size.height))
    check_stages(config.stages)
    check_worlds(config)
    pick_device(config.device)
    return config, rig


def run(cfg: DictConfig) -> None:
    config, rig = checked(cfg)
    training = Training(config, rig)
    for stage in config.stages:
        log.info("stage %s on %s", stage, training.device)
        getattr(training, stage)()


class CheckFirst(Callback):
    """Of Hydra: a training that is refused leaves no folder."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        with past_hydra():
            checked(config)


@hydra.main(config_path="pkg://cosmos_exp.conf", config_name="train", version_base="1.3")
def main(cfg: DictConfig) -> None:
    run(cfg)


if __name__ == "__main__":
    main()
