"""Peak GPU memory of every part at the released sizes, under each hardware preset and its card's limit; random weights.

python -m benchmarks.memory                                   # on one GPU, of any size
python -m benchmarks.memory --presets gpu_24gb --views single
python -m benchmarks.memory --size nano                       # the same program on a CPU
python -m benchmarks.memory --size 2b                         # Cosmos-Transfer2.5 in place of Cosmos-Transfer1

One model goes through what a run does: prompts and control videos are encoded, then each network makes one guided
evaluation and the tokenizer decodes a view. Compilation, which only lowers the peaks, is off for Cosmos-Transfer1 and
as in a run for Cosmos-Transfer2.5.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from benchmarks.random_model import CONTROL, RandomModel, RandomViewsModel, evaluate
from benchmarks.transfer25_parts import Chunk, ClipSize, model_config
from cosmos_exp.common import gpu_memory
from cosmos_exp.config import schema
from cosmos_exp.models.checkpoints.released import released_config
from cosmos_exp.models.dit.memory import Memory
from cosmos_exp.models.dit.weights_folder import chosen_speed
from cosmos_exp.models.kernels.speed import Speed
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.models.transfer1.nano import nano_config
from cosmos_exp.models.transfer1.tokenizer import latent_frame_count
from cosmos_exp.models.transfer25.spec import TEXT_ENCODER_DTYPE

USABLE = {"gpu": 78.0, "gpu_48gb": 44.0, "gpu_24gb": 22.0}  # GiB of the smallest cards sold as 80, 48 and 24 GB
SIZES = ("7b", "nano", "2b", "2b_tiny")
VIEWS = {"single": ("single_view",), "six": ("multi_view",), "both": ("single_view", "multi_view")}  # of Transfer1
PROMPT = "The video is captured from a camera mounted on a car. It snows on a street with parked cars and a few people."


def model_of(size: str, preset: str, device: str) -> RandomModel | RandomViewsModel:
    with initialize_config_module("cosmos_exp.conf", version_base="1.3"):
        cfg = compose("config", overrides=[f"hardware={preset}"])
    hardware, speed = OmegaConf.to_object(cfg.hardware), OmegaConf.to_object(cfg.speed)
    dtype = getattr(torch, hardware.dtype)
    views = size in ("2b", "2b_tiny")
    place = {field.name: getattr(hardware, field.name) for field in fields(Memory)}
    place["text_encoder_dtype"] = place["text_encoder_dtype"] or (TEXT_ENCODER_DTYPE if views else "float32")
    if views:
        on_gpu = torch.device(device).type == "cuda"
        own = chosen_speed(speed, hardware) if on_gpu else Speed(linears=speed.linears)
        config = model_config(size == "2b_tiny")
        return RandomViewsModel(config, device=device, dtype=dtype, speed=own, memory=Memory(**place))
    return RandomModel(
        released_config("single2multiview_t2w", [CONTROL]) if size == "7b" else nano_config(),
        device=device,
        dtype=dtype,
        speed=Speed(attention=speed.attention, linears=speed.linears),
        memory=Memory(**place),
    )


def work_on_views(model: RandomViewsModel) -> Iterator[tuple[str, Callable[[], object]]]:
    """As `pieces_of_work`, of Cosmos-Transfer2.5. Random inputs: zeros would be faster."""
    size = ClipSize.of(model.config)
    rng = np.random.default_rng(0)
    video = rng.integers(0, 256, (size.frames, size.height, size.width, 3), dtype=np.uint8)
    latents = torch.randn(size.network.latent_channels, *size.latent)

    def evaluate_chunk() -> None:
        chunk = Chunk(size, str(model.device), model.dtype)
        evaluate = chunk.evaluation(model.network)
        chunk.texts.clear()  # as in a run, which keeps only what is made of them
        evaluate()

    yield "text encoder, one prompt", lambda: model.encode_text(PROMPT)
    _ = model.tokenizer  # the text encoder has left by then
    yield "all views, encode a view", lambda: model.encode_video(video)
    yield "all views, guided evaluation", evaluate_chunk
    yield "all views, decode a view", lambda: model.decode(latents)


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
    """One row per preset and piece of work. peak: GiB, of `PeakMeter`; error: where it failed, as on a small card."""
    schema.register()
    for preset in presets:
        on_gpu = torch.device(device).type == "cuda"
        if on_gpu:
            torch.cuda.init()
            torch.cuda.empty_cache()
            gpu_memory.limit_memory(device, USABLE[preset])
        model = model_of(size, preset, device)
        pieces = work_on_views(model) if isinstance(model, RandomViewsModel) else pieces_of_work(model, VIEWS[views])
        for name, call in pieces:
            meter, start, error = gpu_memory.PeakMeter(device), time.perf_counter(), ""
            try:
                call()
                if on_gpu:
                    torch.cuda.synchronize(device)
            except Exception as failed:  # the other presets go on
                error = f"{type(failed).__name__}: {str(failed).partition('. ')[0]}"
            seconds = time.perf_counter() - start
            yield {"preset": preset, "what": name, "seconds": seconds, "peak": meter.peak() or {}, "error": error}
        del model, pieces, call
        gc.collect()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="7b")
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
