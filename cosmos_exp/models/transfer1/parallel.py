"""Sampling one clip on several GPUs: a guidance pass each, and within a pass a part of the frames each.

The first factor of two goes to the two passes of guidance, which meet once a step. The rest splits the sequence: every
process holds the tokens of some frames of each view, so that all but self-attention is local. For self-attention the
processes exchange tokens for heads (Ulysses, Jacobs et al. 2023, arXiv:2309.14509): each sees all tokens, in heads/n
heads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from cosmos_exp.models.kernels.fused import Float8
from cosmos_exp.models.transfer1.layout import Layout, check_fits, layout

PATIENCE = timedelta(minutes=30)  # how long a process waits for another within a step

T = TypeVar("T")


@dataclass(frozen=True)
class SequenceGroup:
    """The processes that hold the frames of a clip: of each of its views, part `rank` of `size` equal ones."""

    rank: int
    size: int
    views: int
    group: dist.ProcessGroup = field(repr=False)

    def own(self, x: Tensor, dim: int) -> Tensor:
        """This process's part of x, in which the frames of all views, or their tokens, lie along `dim`."""
        return x.unflatten(dim, (self.views, self.size, -1)).select(dim + 1, self.rank).flatten(dim, dim + 1)

    def whole(self, x: Tensor, dim: int) -> Tensor:
        """The inverse of `own`, on every process."""
        parts = gather(x, self.group, self.size)
        return torch.stack([part.unflatten(dim, (self.views, -1)) for part in parts], dim + 1).flatten(dim, dim + 2)

    def mean(self, x: Tensor) -> Tensor:
        """Mean of every process's x."""
        total = x.clone()
        dist.all_reduce(total, group=self.group)
        return total / self.size

    def attend(
        self, attend: Callable[[Tensor, Tensor, Tensor], Tensor | Float8], query: Tensor, key: Tensor, value: Tensor
    ) -> Tensor:
        """Attention of this process's tokens to the tokens of all, [B, heads, L, head_dim] like the arguments.

        attend: computes it for [B, heads/n, n*L, head_dim]; tokens are then in the order of the processes.
        """
        attended = attend(*self.to_heads(query, key, value))
        if isinstance(attended, Float8):  # in a scale of these heads alone
            attended = attended.restored(query.dtype)
        return self.to_tokens(attended)

    def to_heads(self, *projections: Tensor) -> tuple[Tensor, ...]:
        """[B, heads, L, head_dim] of own tokens -> [B, heads/n, n*L, head_dim] of all tokens, in one exchange.

        Tokens come first in memory, so that what arrives is used as it lies.
        """
        packed = torch.stack([x.unflatten(1, (self.size, -1)).permute(1, 3, 0, 2, 4) for x in projections], dim=2)
        tokens = self.exchanged(packed).flatten(0, 1)
        return tuple(x.permute(1, 2, 0, 3) for x in tokens.unbind(1))

    def to_tokens(self, attended: Tensor) -> Tensor:
        """The way back: [B, heads/n, n*L, head_dim] -> [B, heads, L, head_dim], heads innermost in memory."""
        packed = attended.permute(2, 0, 1, 3).contiguous().unflatten(0, (self.size, -1))
        return self.exchanged(packed).permute(2, 1, 0, 3, 4).flatten(2, 3).transpose(1, 2)

    def exchanged(self, packed: Tensor) -> Tensor:
        """packed [n, ...], contiguous: entry i goes to process i, and is replaced by what that one sends."""
        received = torch.empty_like(packed)
        dist.all_to_all_single(received, packed, group=self.group)
        return received


@dataclass(frozen=True)
class Share:
    """What one process computes of a clip; by default all of it.

    branch: the guidance pass it computes, None for all. branches: the processes that compute the others.
    """

    branch: int | None = None
    branches: dist.ProcessGroup | None = None
    sequence: SequenceGroup | None = None

    def passes(self, every: Sequence[T]) -> Sequence[T]:
        """Of something for each pass, what this process evaluates."""
        return every if self.branch is None else every[self.branch : self.branch + 1]

    def frames(self, x: Tensor) -> Tensor:
        """The own frames of a map [B or 1, 1, V*T, h, w]; what is no map stays."""
        return self.sequence.own(x, dim=2) if self.sequence and x.ndim == 5 else x

    def all_passes(self, x0s: list[Tensor]) -> list[Tensor]:
        """What all passes predicted, from what the own one did."""
        return x0s if self.branches is None else gather(x0s[0], self.branches, 2)


def gather(x: Tensor, group: dist.ProcessGroup, size: int) -> list[Tensor]:
    """x of every process of the group."""
    parts = [torch.empty(x.shape, dtype=x.dtype, device=x.device) for _ in range(size)]
    dist.all_gather(parts, x.contiguous(), group=group)
    return parts


class Team:
    """The processes of torch.distributed's default group, which sample every clip together; this is number `rank`.

    All must call the same methods in the same order. device: where this one computes.
    """

    def __init__(self, device: torch.device | str):
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.device = torch.device(device)
        self._groups: dict[Layout, tuple[Any, Any]] = {}

    @classmethod
    def from_environment(cls, device: str = "cuda") -> Team:
        """The processes that torchrun started. device: "cuda", a GPU of its own for each, or "cpu"."""
        dist.init_process_group("gloo")
        return cls(own_device(device, dist.get_rank()))

    def share(self, passes: int, views: int, frames: int, heads: int) -> Share:
        """What this process computes of a clip. passes: of guidance. frames: latent, of one view.

        Raises UserError where frames and attention heads cannot be shared out evenly.
        """
        check_fits(self.size, passes, frames, heads)
        branches, sequence = layout(self.size, passes)
        branch, part = divmod(self.rank, sequence)
        branch_group, sequence_group = self._groups_of(Layout(branches, sequence))
        return Share(
            branch if branches > 1 else None,
            branch_group if branches > 1 else None,
            SequenceGroup(part, sequence, views, sequence_group) if sequence > 1 else None,
        )

    def abort(self) -> None:
        """Let a GPU that waits for a process that is gone go on, with an error or with wrong numbers."""
        if self.device.type == "cuda":
            for group in {group for pair in self._groups.values() for group in pair}:
                with contextlib.suppress(RuntimeError):  # one that was never used
                    group.abort()

    def _groups_of(self, layout: Layout) -> tuple[dist.ProcessGroup, dist.ProcessGroup]:
        """The groups of a layout that this process is in: same part, all branches; same branch, all parts."""
        if layout not in self._groups:
            ranks = torch.arange(self.size).reshape(layout)
            backend = "nccl" if self.device.type == "cuda" else "gloo"
            options = {"timeout": PATIENCE, "backend": backend}
            across, _ = dist.new_subgroups_by_enumeration(ranks.T.tolist(), **options)
            along, _ = dist.new_subgroups_by_enumeration(ranks.tolist(), **options)
            self._groups[layout] = (across, along)
        return self._groups[layout]


def own_device(device: str, rank: int) -> torch.device:
    """The device of the process `rank` of one machine; makes it the current one."""
    if device != "cuda":
        return torch.device(device)
    torch.cuda.set_device(rank)
    return torch.device("cuda", rank)
