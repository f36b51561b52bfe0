"""What a batch is conditioned on: which controls, how much of each, which caption.

A control alone has its full weight, so that a smaller one means less of it: networks trained on all weights undo the
weight. Batches without a control are what weight 0 asks for, several controls share the weight as in sampling, and
weight maps have each control in a part of the picture.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor


@dataclass
class Conditioning:
    """Shares of batches, but text_dropout: of samples, which see the negative prompt or no text.

    no_control: without a control. two, three: with so many. maps: of those with a control, with weights that are maps.
    guided: with the loss of the guided prediction, the guidance from 0 to most_guidance; their batches have half the
    size, since both passes are computed. Without them guidance adds contrast that no training has seen.
    """

    text_dropout: float = 0.15
    no_control: float = 0.1
    two: float = 0.25
    three: float = 0.1
    maps: float = 0.15
    guided: float = 0.25
    most_guidance: float = 3.0

    def draw_controls(self, names: list[str], generator: torch.Generator) -> list[str]:
        """The controls of one batch, the HD map more often than the others."""
        u = uniform(generator)
        thresholds = list(accumulate((self.no_control, self.two, self.three)))
        wanted = (0, 2, 3, 1)[bisect_right(thresholds, u)]
        order = torch.randperm(len(names), generator=generator, device=generator.device).tolist()
        picked = [names[i] for i in order]
        if "hdmap" in picked and uniform(generator) < 0.4:
            picked.sort(key=lambda name: name != "hdmap")
        return sorted(picked[: min(wanted, len(names))])

    def draw_weights(
        self, names: list[str], batch: int, grid: tuple[int, int, int], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Weights of the controls of a batch, [B] each, or maps [B,1,T,h,w] on the patch grid (T,h,w).

        One control: 1. Several: on the simplex. As maps: the first control inside of a box and the others outside of
        it, a lone one on a random side.
        """
        weights = draw_weights(names, batch, generator)
        if not names or uniform(generator) >= self.maps:
            return weights
        inside = draw_boxes(batch, grid, generator)
        if len(names) == 1:
            flip = torch.rand(batch, 1, 1, 1, 1, generator=generator, device=generator.device) < 0.5
            return {names[0]: torch.where(flip, 1 - inside, inside)}
        first, *others = names
        rest = sum(weights[name] for name in others)
        maps = {name: (weights[name] / rest)[:, None, None, None, None] * (1 - inside) for name in others}
        return {first: inside, **maps}


def draw_weights(names: list[str], batch: int, generator: torch.Generator) -> dict[str, Tensor]:
    """{control: [B]}: 1 for a control alone, on the simplex for several, none below a share of about a tenth."""
    u = torch.rand(len(names), batch, generator=generator, device=generator.device)
    w = torch.ones_like(u) if len(names) == 1 else (0.1 + u) / (0.1 + u).sum(dim=0)
    return dict(zip(names, w))


def draw_boxes(batch: int, grid: tuple[int, int, int], generator: torch.Generator) -> Tensor:
    """[B,1,T,h,w] of zeros, ones within a box that spans all frames and a quarter to all of each side."""
    frames, rows, columns = grid
    device = generator.device
    share, start = torch.rand(2, 2, batch, generator=generator, device=device)
    found = []
    for size, part, place in zip((rows, columns), 0.25 + 0.75 * share, start):
        first = place * (1 - part) * size
        at = torch.arange(size, device=device) + 0.5
        found.append((at >= first[:, None]) & (at < (first + part * size)[:, None]))
    inside = (found[0][:, :, None] & found[1][:, None, :]).float()
    return inside[:, None, None].expand(-1, 1, frames, -1, -1).contiguous()


def uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator, device=generator.device))
