"""`cosmos-exp train`: renders scenes and trains the parts of the nano model in resumable stages."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from itertools import chain
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
from cosmos_exp.models.kernels.attention import training_attention
from cosmos_exp.models.transfer1.description import read_description
from cosmos_exp.models.transfer1.edm import Denoiser
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.models.transfer1.nano import nano_config
from cosmos_exp.models.transfer1.tokenizer import VideoTokenizer, to_signed
from cosmos_exp.models.transfer1.weights_folder import SHIPPED_WEIGHTS
from cosmos_exp.sensors.camera import Rig
from cosmos_exp.sensors.rigs import build_rig
from cosmos_exp.sweeps.callbacks import past_hydra
from cosmos_exp.train import ranks
from cosmos_exp.train.clips import ClipSpec
from cosmos_exp.train.config import STAGES, ClipsConfig, TrainConfig
from cosmos_exp.train.diffusion import MultiViewObjective, SingleViewObjective, networks, start_from_single_view
from cosmos_exp.train.evaluator import PictureBank, render_pictures, train_evaluator
from cosmos_exp.train.fronts import generated_fronts
from cosmos_exp.train.latents import LatentParts, LatentSet
from cosmos_exp.train.loop import LoopParams, StepProgress, is_finished, run_loop
from cosmos_exp.train.rendering import WORLDS, ClipFeed, render_clips
from cosmos_exp.train.rewriter import (
    ConversationBank,
    Conversations,
    held_out_loss,
    new_network,
    save_rewriter,
    train_rewriter,
    write_conversations,
)
from cosmos_exp.train.start_weights import NETWORKS, encoder_hash, take_weights
from cosmos_exp.train.tokenizer import VideoBank, latent_statistics, train_tokenizer

log = logging.getLogger(__name__)

AHEAD = 256
"""Clips that are rendered ahead of being encoded, at most."""
RECOMPILE_LIMIT = 64
"""All blocks share compiled code, one for each shape and set of arguments."""
REFRESH = 100
"""Steps between two looks for new latents."""

STAGES_OF_RANKS = ("tokenizer", "encode", "single_view", "fronts", "multi_view")
"""What all ranks take part in; the other stages are rank 0's."""

ConfigStore.instance().store(name="base_train", node=TrainConfig)


class Training:
    """One training folder and the stages that work on it."""

    def __init__(self, config: TrainConfig, rig: Rig):
        self.config = config
        self.rig = rig
        self.folder = Path(config.folder)
        self.clips = self.folder / "clips"
        self.device = torch.device(ranks.local_device(pick_device(config.device)))
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
        torch.manual_seed(config.seed)  # the initial weights; batches have generators of their own
        self.model = self._start()
        self.views = self.model.contract.views
        self.controls = self.model.contract.controls

    def single_view_specs(self) -> Iterator[ClipSpec]:
        return self._specs(self.config.single_view_clips, self.views[:1], self.controls)

    def multi_view_specs(self) -> Iterator[ClipSpec]:
        return self._specs(self.config.multi_view_clips, self.views, ("hdmap",))

    def tokenizer_specs(self) -> Iterator[ClipSpec]:
        """Of both sets, in their shares, as many as the bank holds."""
        settings, number, videos = self.config.tokenizer, 0, 0
        sets = (self.single_view_specs(), self.multi_view_specs())
        share = settings.multi_view_share
        while videos < settings.max_videos:
            spec = next(sets[int((number + 1) * share) > int(number * share)], None)
            if spec is None:
                return
            yield spec
            number += 1
            videos += spec.num_videos

    def _start(self) -> WorldModel:
        """That of the folder; else random weights, but for those of `start_from`."""
        size, folder = self.config.size, self.folder / "model"
        wanted = nano_config(self.config.networks, height=size.height, width=size.width, frames=size.num_frames)
        if not (folder / "model.json").exists():
            model = WorldModel.build(wanted, device=self.device)
            if self.config.start_from:
                take_weights(model, self.config.start_from, self.device)
            return model
        there = read_description(folder)
        wanted = json.loads(json.dumps(wanted))
        other = [part for part in NETWORKS if there.get(part) != wanted[part]]
        if other:
            raise UserError(
                f"{folder} has other sizes than networks gives, in {', '.join(other)}: give those that it was made "
                "with, or train into another folder"
            )
        return WorldModel({**wanted, "name": there["name"]}, folder=folder, device=self.device)

    def render(self) -> None:
        """All clips, which later stages otherwise render while they need them."""
        progress = counter("rendered")
        specs = chain(self.single_view_specs(), self.multi_view_specs())
        for number, _ in enumerate(render_clips(specs, self.rig, self.clips, self.config.num_workers), 1):
            progress(number)

    def tokenizer(self) -> None:
        settings = self.config.tokenizer
        if is_finished(self.folder / "tokenizer", settings.loop):
            log.info("tokenizer: finished before")
            return
        bank = VideoBank(self.clips, settings.max_videos, self.device)
        vae = self.model.tokenizer.vae.train()
        if settings.compile:
            vae.encoder.compile()
            vae.decoder.compile()
        with closing(self._feed(self.tokenizer_specs(), ahead=settings.max_videos)) as feed:

            def refresh() -> int:
                feed.take(wait=False)
                return bank.refresh()

            while bank.num_clips < settings.min_clips and not feed.finished:
                feed.take(wait=True)
                bank.refresh()
            ranks.wait()
            bank.refresh()
            if not len(bank):
                raise UserError("no clips to train the tokenizer on: num_clips of both sets is 0")
            finished = train_tokenizer(
                vae,
                bank,
                settings.loop,
                self.folder / "tokenizer",
                settings.loss,
                crop=settings.crop,
                encoder=settings.train_encoder,
                progress=report("tokenizer"),
                refresh=refresh,
            )
        vae.eval()
        if settings.train_encoder:
            self.model.tokenizer.set_statistics(*latent_statistics(vae, bank, min(1024, 4 * len(bank))))
        self._save("tokenizer", finished)

    def encode(self) -> None:
        """Latents of all clips, which the next stages otherwise encode while they need them."""
        for parts in (self._single_view_latents(), self._multi_view_latents()):
            with parts:
                parts.first(None)

    def single_view(self) -> None:
        settings = self.config.single_view
        with self._single_view_latents() as parts:
            denoiser = self.model.single_view()
            self._compile(denoiser)
            objective = SingleViewObjective(
                self.model.text_encoder,
                denoiser,
                parts.first(self.config.single_view_clips.start_at).to(self.device),
                negative_prompt=self.model.contract.negative_prompt,
                noise=settings.noise,
                batch_size=settings.loop.batch_size,
                conditioning=settings.conditioning,
                object_weight=settings.object_weight,
                train_text=settings.train_text,
                shuffle_captions=settings.shuffle_captions,
            ).train()
            finished = self._trained(objective, parts, settings.loop, "single_view")
        self._save("single view", finished)

    def fronts(self) -> None:
        """Front views of the multi-view clips, as generated, into their latents.

        With `start_at` of the clips that are there; the stage `multi_view` goes on with those that come.
        """
        progress, done = counter("generated front views of"), 0
        with self._multi_view_latents() as parts:
            parts.first(self.config.multi_view_clips.start_at)
            for path in parts.paths() if ranks.rank() == 0 else ():
                part = LatentSet.load(path)
                if part.fronts is None:
                    replace(part, fronts=self._fronts_of(part)).save(path)
                done += len(part)
                progress(done)

    def _fronts_of(self, latents: LatentSet) -> torch.Tensor:
        return generated_fronts(self.model, latents, self.config.fronts)

    def multi_view(self) -> None:
        settings = self.config.multi_view
        with self._multi_view_latents() as parts:
            denoiser = self.model.multi_view()
            if settings.from_single_view:
                start_from_single_view(denoiser.net, self.model.single_view().net)
            self._compile(denoiser)
            objective = MultiViewObjective(
                self.model.text_encoder,
                denoiser,
                parts.first(self.config.multi_view_clips.start_at).to(self.device),
                views=self.views,
                noise=settings.noise,
                batch_size=settings.loop.batch_size,
                conditioning=settings.conditioning,
                front_noise=settings.front_noise,
                generated_fronts=settings.generated_fronts,
                views_per_step=settings.views_per_step,
                short_clips=settings.short_clips,
                object_weight=settings.object_weight,
            ).train()
            finished = self._trained(objective, parts, settings.loop, "multi_view")
        self._save("multi view", finished)

    def _trained(
        self, objective: SingleViewObjective | MultiViewObjective, parts: LatentParts, loop: LoopParams, stage: str
    ) -> bool:
        """Trains on what there is and on what comes. True when all steps are done."""
        steps = 0

        def loss(generator: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            nonlocal steps
            if steps % REFRESH == 0:
                for latents in parts.new():
                    objective.extend(latents)
            steps += 1
            return objective(generator)

        with training_attention(self.config.attention):
            return run_loop(objective, loss, loop, self.folder / stage, progress=report(stage.replace("_", " ")))

    def _single_view_latents(self) -> LatentParts:
        clips = self.config.single_view_clips
        return self._latents("single_view_latents", clips, self.single_view_specs(), self.views[:1], self.controls)

    def _multi_view_latents(self) -> LatentParts:
        clips = self.config.multi_view_clips
        return self._latents("multi_view_latents", clips, self.multi_view_specs(), self.views, ("hdmap",))

    def _latents(
        self,
        name: str,
        clips: ClipsConfig,
        specs: Iterator[ClipSpec],
        views: tuple[str, ...],
        controls: tuple[str, ...],
    ) -> LatentParts:
        made_of = {
            "size": asdict(self.config.size),
            "world": clips.world,
            "num_styles": clips.num_styles,
            "views": list(views),
            "controls": list(controls),
            "objects": "largest share",
            "encoder": encoder_hash(self.model.tokenizer),
        }
        return LatentParts(
            self.folder / name,
            lambda there: self._feed(spec for spec in specs if spec.seed not in there),
            self._encode,
            tuple(views),
            tuple(controls),
            made_of=made_of,
            keep_clips=self.config.keep_clips,
            fronts=self._fronts_of,
            progress=counter("encoded"),
        )

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
        """That of this folder, or the smallest of the package where none was trained here."""
        if (self.folder / "model" / "model.json").exists():
            return self.model
        return WorldModel.from_folder(SHIPPED_WEIGHTS / "nano_fast", device=self.device)

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
            torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT
            for net in networks(denoiser.net).values():
                for block in net.transformer_blocks:
                    block.compile(dynamic=False)

    def _specs(self, clips: ClipsConfig, views: tuple[str, ...], controls: tuple[str, ...]) -> Iterator[ClipSpec]:
        for seed in range(clips.first_seed, clips.first_seed + clips.num_clips):
            yield ClipSpec(seed, tuple(views), clips.num_styles, tuple(controls), self.config.size, clips.world)

    def _feed(self, specs: Iterable[ClipSpec], ahead: int = AHEAD) -> ClipFeed:
        """Of these clips on rank 0, of none elsewhere."""
        return ClipFeed(specs if ranks.rank() == 0 else (), self.rig, self.clips, self.config.num_workers, ahead)

    def _save(self, stage: str, finished: bool) -> None:
        if ranks.rank():
            return
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


def check_ranks(stages: list[str]) -> None:
    alone = [stage for stage in stages if stage in ("evaluator", "rewriter")]
    if alone and ranks.number() > 1:
        raise UserError(f"stages={','.join(alone)} train in one process: start them without torchrun")


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
    check_ranks(config.stages)
    check_worlds(config)
    pick_device(config.device)
    training_attention(config.attention)
    return config, rig


def run(cfg: DictConfig) -> None:
    config, rig = checked(cfg)
    ranks.join()
    if ranks.rank():
        logging.getLogger("cosmos_exp").setLevel(logging.WARNING)
    training = Training(config, rig)
    for stage in config.stages:
        log.info("stage %s on %s", stage, training.device)
        if ranks.rank() == 0 or stage in STAGES_OF_RANKS:
            getattr(training, stage)()
        ranks.wait()


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
