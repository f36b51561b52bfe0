"""The network of `evaluator=nano`: a small U-Net with heads for classes, depth, paint and objects.

Objects are found as CenterNet does (Zhou et al. 2019, arXiv:1904.07850): a heat map per class, whose maxima are
centres, and the distances from a centre to the four sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosmos_exp.evaluators.types import OBJECT_CLASSES, PAINT_CLASSES, SEMANTIC_CLASSES

WIDTHS = (24, 40, 80, 160)
BLOCKS = (0, 1, 2, 2)
STRIDE = 2  # pixels per cell of depth and objects
MULTIPLE = 16  # height and width are padded to multiples of it


@dataclass(frozen=True)
class Prediction:
    """Of B pictures of H x W pixels, in cells of STRIDE x STRIDE pixels, h x w of them.

    semantic_cells, paint_cells: logits [B,C*STRIDE^2,h,w], as `pixel_shuffle` takes them; the first class of paint is
    none. log_depth: [B,h,w] of metres. heat: logits [B,K,h,w]. sides: [B,4,h,w] pixels from the centre of the cell to
    left, top, right and bottom. features: [B,D], the mean of the coarsest ones.
    """

    semantic_cells: Tensor
    paint_cells: Tensor
    log_depth: Tensor
    heat: Tensor
    sides: Tensor
    features: Tensor

    @property
    def semantic(self) -> Tensor:
        """Logits [B,C,H,W]."""
        return F.pixel_shuffle(self.semantic_cells, STRIDE)

    @property
    def paint(self) -> Tensor:
        """Logits [B,1+P,H,W]."""
        return F.pixel_shuffle(self.paint_cells, STRIDE)


def pointwise(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """A 1x1 convolution as one matrix product per picture: on a CPU in half the time of that of a channels-last tensor,
    and the result is contiguous."""
    weight, bias = conv.weight.flatten(1).expand(len(x), -1, -1), conv.bias
    assert bias is not None
    return torch.baddbmm(bias[:, None].expand(len(x), -1, 1), weight, x.flatten(2)).unflatten(2, x.shape[2:])


def most_likely(cells: Tensor) -> Tensor:
    """uint8 [B,H,W]: the class of the largest logit. cells: as of Prediction."""
    logits = cells.contiguous().unflatten(1, (-1, STRIDE * STRIDE))
    best, found = logits[:, 0], torch.zeros(logits[:, 0].shape, dtype=torch.uint8, device=cells.device)
    for index in range(1, logits.shape[1]):  # argmax along a dimension that is not the last is ten times slower
        found.masked_fill_(logits[:, index] > best, index)
        best = torch.maximum(best, logits[:, index])
    return F.pixel_shuffle(found, STRIDE)[:, 0]


class Block(nn.Module):
    """x + conv(relu(conv(relu(x))))."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(F.relu(x))))


class PerceptionNet(nn.Module):
    """frames [B,3,H,W] in [-1,1] -> Prediction. H and W are multiples of MULTIPLE."""

    def __init__(self) -> None:
        super().__init__()
        fine, sizes = STRIDE * STRIDE, list(pairwise(WIDTHS))
        self.stem = nn.Conv2d(3, WIDTHS[0], 5, stride=2, padding=2)
        self.down = nn.ModuleList([nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in sizes])
        self.encoder = nn.ModuleList(
            [nn.Sequential(*(Block(width) for _ in range(number))) for width, number in zip(WIDTHS, BLOCKS)]
        )
        self.up = nn.ModuleList([nn.Conv2d(b, a, 1) for a, b in sizes])
        self.decoder = nn.ModuleList([nn.Conv2d(WIDTHS[0], WIDTHS[0], 3, padding=1), *map(Block, WIDTHS[1:-1])])
        self.split = (len(SEMANTIC_CLASSES) * fine, (1 + len(PAINT_CLASSES)) * fine, 1, len(OBJECT_CLASSES), 4)
        self.head = nn.Conv2d(WIDTHS[0], sum(self.split), 1)
        assert self.head.bias is not None
        nn.init.constant_(self.head.bias.split(self.split)[3], -4.6)  # objects are rare: a probability of 1 %

    def forward(self, frames: Tensor) -> Prediction:
        x, skips = self.stem(frames), []
        for level, blocks in enumerate(self.encoder):
            x = blocks(x)
            skips.append(x)
            if level < len(self.down):
                x = self.down[level](F.relu(x))
        features = x.mean(dim=(2, 3))
        x = skips.pop()
        for level in reversed(range(len(self.up))):
            x = F.interpolate(self.up[level](x), scale_factor=2, mode="nearest") + skips[level]
            x = self.decoder[level](x)
        semantic, paint, log_depth, heat, sides = pointwise(self.head, F.relu(x)).split(self.split, dim=1)
        return Prediction(semantic, paint, log_depth[:, 0], heat, sides.exp(), features)
