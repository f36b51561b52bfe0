"""First-block caching: a step whose first block says nothing new takes the other blocks' work from an earlier step.

What the blocks after the first attention add to the hidden state changes slowly over the noise levels. An evaluation in
which the first self-attention adds nearly the same as in the last full one reuses that remainder. The measure comes
before any text is read, so all branches of guidance decide alike. After first-block caching as in ParaAttention and in
diffusers (there on the whole first block).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.transfer1.parallel import SequenceGroup


class StepCache:
    """State of one clip's sampling. threshold: largest relative change that counts as nothing new.

    The change is the mean absolute difference to the last full evaluation, over that evaluation's mean magnitude.
    sequence: the processes that hold the clip's other tokens; the change is that of all tokens, so all decide alike.
    full, reused: evaluations so far.
    """

    def __init__(self, threshold: float, sequence: SequenceGroup | None = None):
        if not 0 <= threshold < 1:
            raise UserError(f"cache threshold {threshold:g}: must be 0 or more and less than 1; usual are 0.05 to 0.2")
        self.threshold = threshold
        self.sequence = sequence
        self.full = self.reused = 0
        self.reset()

    def reset(self) -> None:
        """Compute the next evaluation in full."""
        self._first: Tensor | None = None
        self._remainders: dict[int, Tensor] = {}

    def reuse(self, first: Tensor, prompts: Sequence[object]) -> list[Tensor] | None:
        """The remainders [B, L, D] of the prompts, if what the first attention adds, `first` [B, L, D], is nothing new.

        Otherwise None: compute them and `keep` each.
        """
        known = [self._remainders.get(id(prompt)) for prompt in prompts]
        if self._first is not None and all(each is not None for each in known) and self._change(first) < self.threshold:
            self.reused += 1
            return known
        self.full += 1
        self.reset()
        self._first = first
        return None

    def keep(self, prompt: object, remainder: Tensor) -> None:
        self._remainders[id(prompt)] = remainder

    def _change(self, first: Tensor) -> float:
        sizes = torch.stack([x.abs().mean(dtype=torch.float32) for x in (first - self._first, self._first)])
        difference, size = sizes if self.sequence is None else self.sequence.mean(sizes)
        return (difference / size).item()
