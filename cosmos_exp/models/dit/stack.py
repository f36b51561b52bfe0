"""Blocks in a row, as the base nets and the control encoders of all families have them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from cosmos_exp.models.dit.block import Block, Modulation, TextKeys
from cosmos_exp.models.dit.offload import Offload
from cosmos_exp.models.dit.positions import Positions
from cosmos_exp.models.dit.shared_attention import SharedAttention
from cosmos_exp.models.kernels import float8
from cosmos_exp.models.kernels.speed import Speed


class StepInputs(NamedTuple):
    """Modulation of a network at one noise level. blocks: self-attention, cross-attention and MLP of each block."""

    blocks: tuple[tuple[Modulation, Modulation, Modulation], ...]
    head: tuple[Tensor, Tensor] | None  # shift and scale [B, 1, D]; None in a control encoder


PromptKeys = tuple[TextKeys, ...] | None  # one per block; None: all-zero text, whose cross-attention is exactly zero


class BlockStack(nn.Module):
    """`transformer_blocks`, run one by one: the first one's self-attention alone, then each for all prompts."""

    transformer_blocks: nn.ModuleList
    offload: Offload | None = None

    def apply_speed(self, speed: Speed, device: torch.device | str) -> None:
        """Choose the kernels and number formats of a loaded network. Weights are quantized on `device`, one by one."""
        for block in self.blocks:
            block.apply_speed(speed, device)

    @property
    def blocks(self) -> list[Block]:
        return [as_block(module) for module in self.transformer_blocks]

    def start(self, tokens: Tensor, step: StepInputs, positions: Positions) -> Tensor:
        """Tokens [B, L, D] after the first block's self-attention, which do not depend on the text."""
        block = self.loaded_block(0)
        return block.attend_tokens(tokens, step.blocks[0][0], positions).total(block.fused)

    def block(
        self,
        i: int,
        hidden: Tensor,
        prompts: tuple[PromptKeys, ...],
        step: StepInputs,
        positions: Positions,
        shared: SharedAttention | None = None,
    ) -> Tensor:
        """Block i on hidden [n*B, L, D], n branches with a prompt each; block 0 continues from `start`.

        shared: the self-attention of block 1 with another pass.
        """
        texts = tuple(prompt and prompt[i] for prompt in prompts)
        own = shared if i == 1 else None
        return self.loaded_block(i)(hidden, texts, step.blocks[i], positions, attended=i == 0, shared=own)

    def loaded_block(self, i: int) -> Block:
        """Block i, with its weights on the device."""
        block = as_block(self.transformer_blocks[i])
        if self.offload is not None:
            self.offload.load(block)
        return block

    def offload_to(self, offload: Offload) -> None:
        """Offload the large weights of the blocks."""
        offload.register(self.blocks, float8.LARGE_LINEARS)
        self.offload = offload


def first_residual(start: Tensor, tokens: Tensor, positions: Positions) -> Tensor:
    """What the first self-attention has added: [B, L, D] of `BlockStack.start` less its input."""
    added = start - tokens
    return added if positions.extra is None else added - positions.extra


def as_block(module: nn.Module) -> Block:
    """An element of `transformer_blocks`."""
    assert isinstance(module, Block)
    return module
