"""First-block caching: a step whose first residual barely changed reuses the residual of the other blocks.

What the blocks after the first self-attention add to the hidden state changes slowly over the noise levels. An
evaluation whose first self-attention adds nearly the same as in the last full evaluation reuses the cached remainder.
The criterion does not depend on the text, so all branches of guidance decide alike. Follows the first-block cache of
ParaAttention and diffusers (which use the whole first block).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.dit.parallel import SequenceGroup


class StepCache:
    """State of one clip's sampling. threshold: largest relative change at which the cache is reused.

    The change is the mean absolute difference to the last full evaluation, over that evaluation's mean magnitude.
    sequence: the ranks that hold the clip's other tokens; the change is averaged over them, so all decide alike.
    full, reused: numbers of evaluations so far.
    """

    def __init__(self, threshold: float, sequence: SequenceGroup | None = None):
        if not 0 <= threshold < 1:
            raise UserError(f"cache threshold {threshold:g}: must be 0 or more and less than 1; usual are 0.05 to 0.2")
        self.threshold = threshold
        self.sequence = sequence
        self.full = self.reused = 0
        self._first: Tensor | None = None
        self._remainders: dict[int, Tensor] = {}

    def reset(self) -> None:
        """Compute the next evaluation in full."""
        self._first = None
        self._remainders = {}

    def reuse(self, first: Tensor, prompts: Sequence[object]) -> list[Tensor] | None:
        """The cached remainders [B, L, D] of the prompts, if the first attention's residual [B, L, D] barely changed.

        Otherwise None: compute them and `keep` each.
        """
        known = [self._remainders[id(prompt)] for prompt in prompts if id(prompt) in self._remainders]
        if self._first is not None and len(known) == len(prompts) and self._change(first, self._first) < self.threshold:
            self.reused += 1
            return known
        self.full += 1
        self.reset()
        self._first = first
        return None

    def keep(self, prompt: object, remainder: Tensor) -> None:
        self._remainders[id(prompt)] = remainder

    def _change(self, first: Tensor, cached: Tensor) -> float:
        sizes = torch.stack([x.abs().mean(dtype=torch.float32) for x in (first - cached, cached)])
        difference, size = sizes if self.sequence is None else self.sequence.mean(sizes)
        return (difference / size).item()
