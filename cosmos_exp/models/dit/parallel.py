"""Sampling one clip on several GPUs: guidance parallelism, and sequence parallelism over frames.

The first factor of two goes to the two passes of guidance, which are gathered once a step. The rest splits the
sequence: every rank holds the tokens of some frames of each view, so that all but self-attention is local.
Self-attention runs with heads split over the ranks (Ulysses, Jacobs et al. 2023, arXiv:2309.14509): an all-to-all
exchanges tokens for heads, and each rank sees all tokens in heads/n heads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from cosmos_exp.models.dit.layout import Layout, check_fits, layout
from cosmos_exp.models.kernels.float8 import Attended

COLLECTIVE_TIMEOUT = timedelta(minutes=30)

T = TypeVar("T")


@dataclass(frozen=True)
class SequenceGroup:
    """The ranks that hold the frames of a clip. This one holds part `rank` of `size` equal parts of each view."""

    rank: int
    size: int
    views: int
    group: dist.ProcessGroup = field(repr=False)

    def local(self, x: Tensor, dim: int) -> Tensor:
        """This rank's part of x, which has the frames of all views, or their tokens, along `dim`."""
        return x.unflatten(dim, (self.views, self.size, -1)).select(dim + 1, self.rank).flatten(dim, dim + 1)

    def gather(self, x: Tensor, dim: int) -> Tensor:
        """The inverse of `local`, on every rank."""
        parts = all_gather(x, self.group, self.size)
        return torch.stack([part.unflatten(dim, (self.views, -1)) for part in parts], dim + 1).flatten(dim, dim + 2)

    def mean(self, x: Tensor) -> Tensor:
        """Mean of x over the ranks."""
        total = x.clone()
        dist.all_reduce(total, group=self.group)
        return total / self.size

    def attend(
        self, attend: Callable[[Tensor, Tensor, Tensor], Tensor | Attended], query: Tensor, key: Tensor, value: Tensor
    ) -> Tensor:
        """Attention of the local tokens to all tokens, [B, heads, L, head_dim] like the arguments.

        attend: computes it for [B, heads/n, n*L, head_dim], tokens in the order of the ranks.
        """
        attended = attend(*self.to_heads(query, key, value))
        if isinstance(attended, Attended):  # its scale and mean are those of the local heads
            attended = attended.total(query.dtype)
        return self.to_tokens(attended)

    def to_heads(self, *projections: Tensor) -> tuple[Tensor, ...]:
        """[B, heads, L, head_dim] of local tokens -> [B, heads/n, n*L, head_dim] of all tokens, in one all-to-all.

        Tokens are the outermost dimension in memory, so that the result needs no copy.
        """
        packed = torch.stack([x.unflatten(1, (self.size, -1)).permute(1, 3, 0, 2, 4) for x in projections], dim=2)
        tokens = self.all_to_all(packed).flatten(0, 1)
        return tuple(x.permute(1, 2, 0, 3) for x in tokens.unbind(1))

    def to_tokens(self, attended: Tensor) -> Tensor:
        """The inverse: [B, heads/n, n*L, head_dim] -> [B, heads, L, head_dim], heads innermost in memory."""
        packed = attended.permute(2, 0, 1, 3).contiguous().unflatten(0, (self.size, -1))
        return self.all_to_all(packed).permute(2, 1, 0, 3, 4).flatten(2, 3).transpose(1, 2)

    def all_to_all(self, packed: Tensor) -> Tensor:
        """packed [n, ...], contiguous: entry i is sent to rank i; entry i of the result is received from it."""
        received = torch.empty_like(packed)
        dist.all_to_all_single(received, packed, group=self.group)
        return received


@dataclass(frozen=True)
class RankPartition:
    """The part of a clip that one rank computes; by default all of it.

    branch: index of its guidance pass, None for all. branches: the group that gathers the passes.
    """

    branch: int | None = None
    branches: dist.ProcessGroup | None = None
    sequence: SequenceGroup | None = None

    def local_passes(self, passes: Sequence[T]) -> Sequence[T]:
        """Of one item for each pass, those of the passes that this rank evaluates."""
        return passes if self.branch is None else passes[self.branch : self.branch + 1]

    def local_frames(self, x: Tensor) -> Tensor:
        """The local frames of a map [B or 1, 1, V*T, h, w]; other tensors are returned as they are."""
        return self.sequence.local(x, dim=2) if self.sequence and x.ndim == 5 else x

    def gather_passes(self, x0s: list[Tensor]) -> list[Tensor]:
        """The predictions of all passes, from those of `local_passes`."""
        return x0s if self.branches is None else all_gather(x0s[0], self.branches, 2)


def all_gather(x: Tensor, group: dist.ProcessGroup, size: int) -> list[Tensor]:
    """x of every rank of the group."""
    parts = [torch.empty(x.shape, dtype=x.dtype, device=x.device) for _ in range(size)]
    dist.all_gather(parts, x.contiguous(), group=group)
    return parts


class ParallelContext:
    """The ranks of torch.distributed's default group, which sample every clip together; this is number `rank`.

    All must call the same methods in the same order. device: of this rank.
    """

    def __init__(self, device: torch.device | str):
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.device = torch.device(device)
        self._groups: dict[Layout, tuple[dist.ProcessGroup, dist.ProcessGroup]] = {}

    @classmethod
    def from_environment(cls, device: str = "cuda") -> ParallelContext:
        """The processes that torchrun started. device: "cuda" for one GPU per process, or "cpu"."""
        dist.init_process_group("gloo")
        return cls(rank_device(device, dist.get_rank()))

    def partition(self, passes: int, views: int, frames: int, heads: int) -> RankPartition:
        """This rank's part of a clip. passes: of guidance. frames: latent, of one view.

        Raises UserError where frames and attention heads cannot be split evenly.
        """
        check_fits(self.size, passes, frames, heads)
        branches, sequence = layout(self.size, passes)
        branch, part = divmod(self.rank, sequence)
        branch_group, sequence_group = self._groups_of(Layout(branches, sequence))
        return RankPartition(
            branch if branches > 1 else None,
            branch_group if branches > 1 else None,
            SequenceGroup(part, sequence, views, sequence_group) if sequence > 1 else None,
        )

    def abort(self) -> None:
        """Abort NCCL collectives that wait for a rank that has exited; their results are errors or garbage."""
        if self.device.type == "cuda":
            for group in {group for pair in self._groups.values() for group in pair}:
                with contextlib.suppress(RuntimeError):  # a communicator that was never used
                    group.abort()

    def _groups_of(self, layout: Layout) -> tuple[dist.ProcessGroup, dist.ProcessGroup]:
        """This rank's groups in a layout: all branches of its part, all parts of its branch."""
        if layout not in self._groups:
            ranks = torch.arange(self.size).reshape(layout)
            backend = "nccl" if self.device.type == "cuda" else "gloo"
            groups = []
            for members in (ranks.T.tolist(), ranks.tolist()):
                group, _ = dist.new_subgroups_by_enumeration(members, timeout=COLLECTIVE_TIMEOUT, backend=backend)
                groups.append(group)
            branches, sequence = groups
            self._groups[layout] = (branches, sequence)
        return self._groups[layout]


def rank_device(device: str, rank: int) -> torch.device:
    """The device of a rank on one machine; makes it the current one."""
    if device != "cuda":
        return torch.device(device)
    torch.cuda.set_device(rank)
    return torch.device("cuda", rank)
