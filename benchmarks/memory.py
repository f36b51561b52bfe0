"""Peak GPU memory of every part at the released sizes, under each hardware preset and its card's limit; random weights.

python -m benchmarks.memory                                   # on one GPU, of any size
python -m benchmarks.memory --presets gpu_24gb --views single
python -m benchmarks.memory --size nano                       # the same program on a CPU

One model goes through what a run does: prompts and control videos are encoded, then each network makes one guided
evaluation and the tokenizer decodes a view. Compilation is off, which only lowers the peaks.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_module
from torch import Tensor, nn

from cosmos_exp.common import gpu_memory
from cosmos_exp.config import schema
from cosmos_exp.models.checkpoints.checkpoint import load_strict, own_tensors
from cosmos_exp.models.checkpoints.released import released_config
from cosmos_exp.models.kernels.speed import Speed
from cosmos_exp.models.transfer1.denoise import guided
from cosmos_exp.models.transfer1.memory import Memory
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.models.transfer1.multi_view import front_condition
from cosmos_exp.models.transfer1.nano import nano_config
from cosmos_exp.models.transfer1.tokenizer import VideoTokenizer, latent_frame_count
from cosmos_exp.models.transfer1.view_layout import stack_views
from cosmos_exp.sampling.sampler_params import SamplerParams

USABLE = {"gpu": 78.0, "gpu_48gb": 44.0, "gpu_24gb": 22.0}  # GiB of the smallest cards sold as 80, 48 and 24 GB
VIEWS = {"single": ("single_view",), "six": ("multi_view",), "both": ("single_view", "multi_view")}
CONTROL = "hdmap"
PROMPT = "The video is captured from a camera mounted on a car. It snows on a street with parked cars and a few people."
SIGMA = 2.0


class RandomModel(WorldModel):
    """A model whose files hold random values: all tensors are views of one, mapped as files would be."""

    def __init__(self, config: Mapping[str, Any], **place: Any):
        config = dict(config)
        config["text_encoder"] = {k: v for k, v in config["text_encoder"].items() if k != "vocabulary"}
        super().__init__(config, folder=Path("random"), **place)
        self.values: dict[torch.dtype, Tensor] = {}

    def _load(self, name: str, make: Callable[[], nn.Module]) -> nn.Module:
        with torch.device("meta"):
            part = make()
        dtype = torch.float32 if name in ("tokenizer", "text_encoder") else self.dtype
        state = {key: self._drawn(tensor.shape, dtype) for key, tensor in own_tensors(part).items()}
        load_strict(part, state, name)
        if isinstance(part, VideoTokenizer):
            part.make_wavelets()
            part.mean, part.std = torch.zeros_like(part.mean), torch.ones_like(part.std)
        return part

    def _drawn(self, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        if dtype not in self.values or len(self.values[dtype]) < shape.numel():
            self.values[dtype] = torch.empty(shape.numel(), dtype=dtype).normal_(std=0.02)
        return self.values[dtype][: shape.numel()].view(shape)


def model_of(size: str, preset: str, device: str) -> RandomModel:
    with initialize_config_module("cosmos_exp.conf", version_base="1.3"):
        cfg = compose("config", overrides=[f"hardware={preset}"])
    hardware, speed = cfg.hardware, cfg.speed
    return RandomModel(
        released_config("single2multiview_t2w", [CONTROL]) if size == "7b" else nano_config(),
        device=device,
        dtype=getattr(torch, hardware.dtype),
        speed=Speed(attention=speed.attention, linears=speed.linears),
        memory=Memory(**{field.name: hardware[field.name] for field in fields(Memory)}),
    )


def pieces_of_work(model: WorldModel, stages: tuple[str, ...]) -> Iterator[tuple[str, Callable[[], object]]]:
    """(name, call), in the order of a run. Results go from call to call."""
    contract, made = model.contract, {}
    clips = {"single_view": contract, "multi_view": contract.multi_view_clip or contract}
    yield "text encoder, one prompt", lambda: made.update(text=model.encode_text(PROMPT))
    for stage in stages:
        clip, name = clips[stage], stage.replace("_", " ")
        frames = clip.frames.choices()[-1]
        shape = (16, latent_frame_count(frames), clip.height // 8, clip.width // 8)
        video = np.zeros((frames, clip.height, clip.width, 3), np.uint8)
        _ = model.tokenizer  # the text encoder has left by then
        yield f"{name}, encode a video", lambda video=video: model.encode_video(video)
        yield f"{name}, guided evaluation", lambda stage=stage, shape=shape: evaluate(model, stage, shape, made["text"])
        yield f"{name}, decode a view", lambda shape=shape: model.decode(torch.zeros(shape))


def evaluate(model: WorldModel, stage: str, shape: tuple[int, ...], text: Tensor) -> Tensor:
    """One guided evaluation with one control. shape: latents of a view. text: [S, channels]."""
    denoiser = getattr(model, stage)([CONTROL])
    views, device = denoiser.net.config.num_views, model.device
    x = stack_views(torch.randn(views, *shape, device=device))[None] * SIGMA
    condition = front_condition(torch.zeros(shape), views, None, device) if views > 1 else None
    with torch.inference_mode():
        clip = denoiser.prepare(x, {CONTROL: torch.zeros_like(x)}, condition=condition, fps=model.contract.fps)
    denoise = guided(
        denoiser,
        clip,
        text=text.repeat(views, 1)[None].to(device),
        negative_text=None if views > 1 else text[None, :].to(device),
        sampler=SamplerParams(num_steps=35, guidance=5.0),
        weights={CONTROL: 1.0},
        condition=condition,
    )
    return denoise(x, SIGMA)


def run(size: str, presets: Sequence[str], views: str, device: str) -> Iterator[dict[str, Any]]:
    """One row per preset and piece of work. peak: GiB, of `PeakMeter`; error: where the card is too small."""
    schema.register()
    for preset in presets:
        on_gpu = torch.device(device).type == "cuda"
        if on_gpu:
            torch.cuda.init()
            torch.cuda.empty_cache()
            gpu_memory.limit_memory(device, USABLE[preset])
        model = model_of(size, preset, device)
        for name, call in pieces_of_work(model, VIEWS[views]):
            meter, start, error = gpu_memory.PeakMeter(device), time.perf_counter(), ""
            try:
                call()
                if on_gpu:
                    torch.cuda.synchronize(device)
            except torch.OutOfMemoryError as full:
                error = str(full).split(".")[0]
            seconds = time.perf_counter() - start
            yield {"preset": preset, "what": name, "seconds": seconds, "peak": meter.peak() or {}, "error": error}
        del model, call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("7b", "nano"), default="7b")
    parser.add_argument("--presets", nargs="+", choices=tuple(USABLE), default=tuple(USABLE))
    parser.add_argument("--views", choices=tuple(VIEWS), default="both")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    asked = parser.parse_args()
    print(f"{'preset':<10} {'limit':>6} {'what':<30} {'seconds':>8} {'allocated':>10} {'reserved':>10}   GiB")
    for row in run(asked.size, asked.presets, asked.views, asked.device):
        found = row["error"] or " ".join(f"{row['peak'].get(key, '-'):>10}" for key in ("allocated", "reserved"))
        limit = USABLE[row["preset"]]
        print(f"{row['preset']:<10} {limit:>6} {row['what']:<30} {row['seconds']:>8.2f} {found}", flush=True)


if __name__ == "__main__":
    main()
