"""bfloat16 against float32: the networks on the inputs of golden tensors, relative error of their outputs.

python -m benchmarks.precision FOLDER      # of golden cases, as `cosmos-exp verify goldens` takes them
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch

from cosmos_exp.verify.goldens import GoldenCase, hints_and_weights, load_net, read_cases, relative_error
from cosmos_exp.verify.networks import golden_clip, network_results, runner


@torch.inference_mode()
def run(folder: Path) -> Iterator[tuple[str, float, float]]:
    """(case, error of the plain path, error of the sampling path) of every network case."""
    for case in read_cases(folder):
        if runner(case) is network_results:
            yield case.name, *errors(case)


def errors(case: GoldenCase) -> tuple[float, float]:
    net = load_net(case)
    hints, weights = hints_and_weights(case, net.controls)
    net.bfloat16()
    x, text = case.tensor("in.x").bfloat16(), case.tensor("in.crossattn_emb").bfloat16()
    clip = golden_clip(case, net, x, hints)
    timestep, golden = case.tensor("in.timesteps"), case.tensor("out.x")
    plain = net(x, timestep, text, clip, weights)
    sampled = net.branches(x, timestep, [net.prepare_text(text, clip)], clip, weights)[0]
    return relative_error(plain.float(), golden), relative_error(sampled.float(), golden)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    print(f"{'golden case':<32} {'plain':>9} {'sampling path':>14}")
    for name, plain, sampled in run(parser.parse_args().folder):
        print(f"{name:<32} {plain:>9.1e} {sampled:>14.1e}")


if __name__ == "__main__":
    main()
