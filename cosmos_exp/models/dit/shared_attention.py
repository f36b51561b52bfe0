"""Self-attention among the views in which two guidance passes agree, computed once.

Where the texts of the passes differ in some views only, so do the tokens after the first block, and in the second block
the attention of the other views' tokens to each other is the same in both passes. Each pass then adds what differs:
attention over two sets of keys is the mean of both results, weighted by the sums of their exponentials.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import torch
from torch import Tensor

from cosmos_exp.models.kernels.attention import attend, attend_with_logsumexp
from cosmos_exp.models.kernels.fused import Fused

KERNELS = ("auto", "cudnn")  # of `speed.attention`, beside which `attend_with_logsumexp` is the same kernel
PASSES = 2


class SharedAttention:
    """Of one stack's second block in one evaluation of two passes; each calls it once.

    views: of all tokens, in order. differing: those in which the passes' texts differ, neither none nor all of them.
    """

    def __init__(self, views: int, differing: Sequence[int]):
        self.views = views
        self.differing = list(differing)
        self.agreeing = [view for view in range(views) if view not in differing]
        self._lock = Lock()
        self._among: tuple[Tensor, Tensor] | None = None

    def attend(self, query: Tensor, key: Tensor, value: Tensor, kernel: str, fused: Fused) -> Tensor:
        """Attention [B, heads, L, head_dim] like the arguments, by one of KERNELS."""
        same = [self._of(x, self.agreeing) for x in (query, key, value)]
        among = self._once(*same)
        beside = attend_with_logsumexp(same[0], *(self._of(x, self.differing) for x in (key, value)))
        merged = fused.attended_to_both(*among, *beside)
        del among, beside
        result = torch.empty_like(query.transpose(1, 2), memory_format=torch.contiguous_format).transpose(1, 2)
        self._put(result, self.agreeing, merged)
        del merged
        self._put(result, self.differing, attend(self._of(query, self.differing), key, value, kernel))
        return result

    def _once(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """By the first pass that comes, and forgotten after the second."""
        with self._lock:
            if self._among is not None:
                among, self._among = self._among, None
                return among
            self._among = attend_with_logsumexp(query, key, value)
            return self._among

    def _put(self, result: Tensor, views: Sequence[int], part: Tensor) -> None:
        """Write what `_of` would return."""
        by_view = result.unflatten(2, (self.views, -1))
        for view, of_view in zip(views, part.unflatten(2, (len(views), -1)).unbind(2), strict=True):
            by_view[:, :, view] = of_view

    def _of(self, x: Tensor, views: Sequence[int]) -> Tensor:
        """Of x [B, heads, L, head_dim], the tokens of these views; without a copy where they are neighbours."""
        first, count = views[0], len(views)
        by_view = x.unflatten(2, (self.views, -1))
        if list(views) == list(range(first, first + count)):
            return by_view.narrow(2, first, count).flatten(2, 3)
        return by_view[:, :, list(views)].flatten(2, 3)


def differing_views(texts: Sequence[tuple[Tensor, Tensor]], views: int) -> list[int]:
    """In which views the texts of two passes differ. texts: keys and values [B*V, heads, S, head_dim] in one block."""
    pairs = [tuple(part.unflatten(0, (-1, views)) for part in parts) for parts in zip(*texts, strict=True)]
    return [view for view in range(views) if not all(torch.equal(own[:, view], other[:, view]) for own, other in pairs)]
