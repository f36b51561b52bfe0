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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_module

from benchmarks.random_model import CONTROL, RandomModel, evaluate
from cosmos_exp.common import gpu_memory
from cosmos_exp.config import schema
from cosmos_exp.models.checkpoints.released import released_config
from cosmos_exp.models.dit.memory import Memory
from cosmos_exp.models.kernels.speed import Speed
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.models.transfer1.nano import nano_config
from cosmos_exp.models.transfer1.tokenizer import latent_frame_count

USABLE = {"gpu": 78.0, "gpu_48gb": 44.0, "gpu_24gb": 22.0}  # GiB of the smallest cards sold as 80, 48 and 24 GB
VIEWS = {"single": ("single_view",), "six": ("multi_view",), "both": ("single_view", "multi_view")}
PROMPT = "The video is captured from a camera mounted on a car. It snows on a street with parked cars and a few people."


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
