"""A whole run at the released sizes: random weights in the published files' layout, converted, and sampled to videos.

python -m benchmarks.dry_run FOLDER [OVERRIDES...]      # one GPU; FOLDER needs 53 GB, its parent twice that for a while

Everything after the first step is what a user types: `cosmos-exp convert checkpoint`, then `cosmos-exp`.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from benchmarks.full_size import random_network
from cosmos_exp.models.checkpoints.released import released_config, released_files
from cosmos_exp.models.transfer1.config import DiTConfig
from cosmos_exp.models.transfer1.control import ControlEncoder
from cosmos_exp.models.transfer1.text import TextEncoder
from cosmos_exp.models.transfer1.tokenizer import VideoTokenizer
from cosmos_exp.models.transfer1.transformer import DiT

MODEL, CONTROLS = "single2multiview_t2w", ("hdmap",)
WORDS = ["a", "car", "city", "drives", "on", "road", "street", "the", "with"]  # of the made-up vocabulary
SETTINGS = (  # what random weights ask for: no judgement of the picture, nothing logged
    *(f"model={MODEL}", "views=six", "controls=hdmap", "previews=none", "hardware=gpu"),
    *("sampler.num_steps=35", "sampler.guidance=5", "metrics.names=[]", "metrics.gate=false", "tracking=disabled"),
)


def published_writers():
    """The tests' writers of files in the published layout."""
    path = Path(__file__).parents[1] / "tests" / "helpers" / "published.py"
    spec = importlib.util.spec_from_file_location("published", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def timed(what: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    print(f"{what:<52} {time.perf_counter() - start:>7.1f} s", flush=True)


def part_of(name: str, device: str) -> nn.Module:
    """A part of the model with random weights."""
    config = released_config(MODEL, CONTROLS)
    if name == "tokenizer":
        tokenizer = VideoTokenizer(config["tokenizer"]["vae"], config["tokenizer"]["stat_frames"])
        return tokenizer
    if name == "text_encoder":
        return random_network(lambda: TextEncoder(config["text_encoder"], 512), device, torch.float32)
    stage = config["multi_view" if name.startswith("multiview_") else "single_view"]
    control = name.partition("control_")[2]
    sizes = DiTConfig.from_dict(stage["controls"][control] if control else stage["base"])
    return random_network(lambda: ControlEncoder(sizes) if control else DiT(sizes), device, torch.bfloat16)


def write_published(name: str, root: Path, device: str) -> None:
    """The published files of one part."""
    published = published_writers()
    repository, files = released_files(MODEL, CONTROLS)[name]
    folder = root / repository
    folder.mkdir(parents=True, exist_ok=True)
    part = part_of(name, device)
    if name == "tokenizer":
        published.write_tokenizer(folder, part)
    elif name == "text_encoder":
        published.write_text_encoder(folder, part.to("cpu"), WORDS)
    else:
        state = {key: value.cpu() for key, value in published.published_network(part).items()}
        torch.save(state, folder / files[0])
    del part
    gc.collect()
    torch.cuda.empty_cache()


def command(*arguments: str) -> None:
    print("cosmos-exp", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "cosmos_exp", *arguments], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--published", type=Path, help="where the published files are written and removed again")
    parser.add_argument("--weights-only", action="store_true", help="write and convert, and stop")
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_intermixed_args()
    published, weights = arguments.published or arguments.folder / "published", arguments.folder / MODEL
    for name in () if (weights / "model.json").is_file() else released_files(MODEL, CONTROLS):
        with timed(f"write published {name}"):
            write_published(name, published, "cuda")
    if published.is_dir():
        with timed("convert"):
            options = ("--model", MODEL, "--controls", ",".join(CONTROLS))
            command("convert", "checkpoint", str(published), "-o", str(weights), *options)
        shutil.rmtree(published)
    if arguments.weights_only:
        return
    paths = (f"paths.outputs={arguments.folder}", f"paths.cache={arguments.folder}/cache", "name=dry_run")
    with timed("run"):
        command(*SETTINGS, f"model.weights={weights}", *paths, *arguments.overrides)
    run = arguments.folder / "runs" / "dry_run"
    status = json.loads((run / "status.json").read_text())
    print(json.dumps({key: status.get(key) for key in ("seconds", "gpu_memory")}, indent=1))
    for path in sorted(run.rglob("*.mp4")):
        print(f"{path.relative_to(run)}  {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
