"""What a size of the nano model costs: core seconds of six views, by part, with random weights.

python -m benchmarks.frontier [--only TEXT] [--markdown]

A row is a size of picture and networks: width x height, channels x blocks / patch of the single-view and the multi-view
net, steps of both. Seconds are of one core, two cores need about half: one encoded control of each view, guided steps
of the front view and of six views, decoding of six views. Quality needs trained weights: `cosmos-exp train` with
`networks` and `size` trains a row, and its stage `evaluate` measures it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.network import guided_step, seconds
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.models.transfer1.nano import NanoNetworks, TransformerSize, nano_config

VIEWS, REPEATS = 6, 2


class Size(NamedTuple):
    """width, height in pixels; single, multi: channels, blocks and patch of a transformer; steps of both samplers."""

    width: int
    height: int
    single: tuple[int, int, int] = (192, 8, 2)
    multi: tuple[int, int, int] = (192, 6, 2)
    steps: tuple[int, int] = (8, 8)

    def __str__(self) -> str:
        nets = [f"{channels}x{blocks}/{patch}" for channels, blocks, patch in (self.single, self.multi)]
        return f"{self.width}x{self.height} {' '.join(nets)} {self.steps[0]}+{self.steps[1]}"


SIZES = (
    Size(256, 144),
    Size(384, 208),
    Size(384, 208, (256, 10, 2), steps=(8, 5)),
    Size(384, 208, (256, 10, 2), (192, 4, 2), (8, 5)),
    Size(384, 208, (256, 10, 2), (256, 6, 2), (8, 4)),
    Size(416, 224, (256, 10, 2), (256, 8, 4), (8, 8)),
    Size(416, 224, (256, 10, 2), (384, 8, 4), (8, 8)),
    Size(416, 224, (256, 10, 2), (512, 8, 4), (8, 8)),
    Size(416, 224, (192, 8, 2), (320, 8, 4), (8, 8)),
)


def core_seconds(call: Callable[[], object]) -> float:
    return seconds(call, REPEATS, time.process_time)


@torch.inference_mode()
def measured(size: Size) -> dict[str, float]:
    """Megabytes of the weights in bfloat16, and core seconds by part."""
    torch.manual_seed(0)
    networks = NanoNetworks(single_view=TransformerSize(*size.single), multi_view=TransformerSize(*size.multi))
    model = WorldModel.build(nano_config(networks, height=size.height, width=size.width))
    frames = model.contract.frames.most
    video = torch.rand(1, 3, frames, size.height, size.width) * 2 - 1
    latents = model.tokenizer.encode(video)
    rows = model.contract.text_tokens
    found = {}
    for name, denoiser, steps in (
        ("front view", model.single_view(["hdmap"]), size.steps[0]),
        ("six views", model.multi_view(), size.steps[1]),
    ):
        _, sampling, _ = guided_step(denoiser, frames, size.height, size.width, ("hdmap",), rows)
        found[name] = (steps + 1) * core_seconds(sampling)
    found["encode"] = VIEWS * core_seconds(lambda: model.tokenizer.encode(video))
    found["decode"] = VIEWS * core_seconds(lambda: model.tokenizer.decode(latents))
    parts = (model.tokenizer, model.text_encoder, model.single_view().net, model.multi_view().net)
    weights = sum(p.numel() for part in parts for p in part.parameters())
    return {"MB": 2e-6 * weights, **found, "in all": sum(found.values())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="sizes whose names hold this text")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table, printed = None, []
    for size in SIZES:
        if options.only not in str(size):
            continue
        row = measured(size)
        table = table or Table("size", *row)
        printed = printed or [["size", *row], ["---"] * (len(row) + 1)]
        cells = [str(size), *(f"{value:.1f}" for value in row.values())]
        table.add_row(*cells)
        printed.append(cells)
        if options.markdown:
            print("| " + " | ".join(cells) + " |", flush=True)
    if table and not options.markdown:
        Console().print(table)


if __name__ == "__main__":
    main()
