"""Offloading: large weights of blocks stay in CPU memory and are copied to the device only for their forward pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from cosmos_exp.common.errors import UserError

ALIGNMENT = 256  # bytes, of a tensor in a slot


class Offload:
    """Two device buffers for the blocks of all networks; while one block computes, the next is prefetched.

    A block must be `load`-ed before its large layers are used. On a GPU the copies overlap with the computation.
    """

    def __init__(self, device: torch.device | str):
        self.device = torch.device(device)
        self.stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        self._packed: dict[nn.Module, Packed] = {}
        self._next: dict[nn.Module, nn.Module] = {}
        self._slots = [Slot(self.device), Slot(self.device)]
        self._active = self._slots[0]

    def register(self, blocks: Sequence[nn.Module], layers: Sequence[str]) -> None:
        """Move the named layers of these blocks to CPU memory. blocks: in the order of the forward pass."""
        for block, following in zip(blocks, (*blocks[1:], blocks[0])):
            large = chain.from_iterable(tensors(block.get_submodule(name)) for name in layers)
            self._packed[block] = Packed(large, self.device)
            self._next[block] = following
        needed = max(len(packed.bytes) for packed in self._packed.values())
        if len(self._slots[0].bytes) < needed:
            for slot in self._slots:
                self._evict(slot)
                slot.bytes = torch.empty(needed, dtype=torch.uint8, device=self.device)
                if self.stream is not None:
                    slot.bytes.record_stream(self.stream)  # the allocator must not reuse it during a copy

    def unregister(self, blocks: Iterable[nn.Module]) -> None:
        """Drop registered blocks; they cannot be used again."""
        for block in blocks:
            for slot in self._slots:
                if slot.block is block:
                    self._evict(slot)
            del self._packed[block], self._next[block]
        if not self._packed:
            self._slots = [Slot(self.device), Slot(self.device)]
            self._active = self._slots[0]

    def load(self, block: nn.Module) -> None:
        """Make the block's weights available to kernels launched from now on, and prefetch those of the next block."""
        slot = self._slot_of(block) or self._fill(self._spare, block)
        if slot.ready is not None:
            torch.cuda.current_stream(self.device).wait_event(slot.ready)
        self._active = slot
        if self._slot_of(self._next[block]) is None:
            self._fill(self._spare, self._next[block])

    @property
    def _spare(self) -> Slot:
        first, second = self._slots
        return second if self._active is first else first

    def _slot_of(self, block: nn.Module) -> Slot | None:
        return next((slot for slot in self._slots if slot.block is block), None)

    def _fill(self, slot: Slot, block: nn.Module) -> Slot:
        self._evict(slot)
        packed = self._packed[block]
        if self.stream is None:
            slot.bytes[: len(packed.bytes)] = packed.bytes
        else:
            self.stream.wait_stream(torch.cuda.current_stream(self.device))  # for kernels that still read the slot
            with torch.cuda.stream(self.stream):
                slot.bytes[: len(packed.bytes)].copy_(packed.bytes, non_blocking=True)
                slot.ready = self.stream.record_event()
        packed.attach(slot.bytes)
        slot.block = block
        return slot

    def _evict(self, slot: Slot) -> None:
        if slot.block is not None:
            self._packed[slot.block].detach()
            slot.block = None


class Slot:
    """Device memory for one block. block: the one it holds. ready: event at the end of its copy, on a GPU."""

    def __init__(self, device: torch.device):
        self.bytes = torch.empty(0, dtype=torch.uint8, device=device)
        self.block: nn.Module | None = None
        self.ready: torch.cuda.Event | None = None


class Packed:
    """Tensors of a block, packed into one CPU buffer, pinned where the device is a GPU.

    The modules keep their tensor objects; only the storage of these changes.
    """

    def __init__(self, tensors: Iterable[Tensor], device: torch.device):
        self.tensors = list(tensors)
        self.sizes = [(tensor.shape, tensor.dtype) for tensor in self.tensors]
        self.empty = [torch.empty(0, dtype=tensor.dtype, device=device) for tensor in self.tensors]
        self.places, end = [], 0
        for tensor in self.tensors:
            self.places.append(slice(end, end + tensor.nbytes))
            end += -(-tensor.nbytes // ALIGNMENT) * ALIGNMENT
        self.bytes = cpu_buffer(end, pinned=device.type == "cuda")
        for tensor, place in zip(self.tensors, self.places):
            self.bytes[place] = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        self.detach()

    def detach(self) -> None:
        """Empty the tensors, so that none reads the values of another block."""
        for tensor, nothing in zip(self.tensors, self.empty):
            tensor.data = nothing

    def attach(self, memory: Tensor) -> None:
        """Point the tensors to this memory, laid out as `bytes`."""
        for tensor, place, (shape, dtype) in zip(self.tensors, self.places, self.sizes):
            tensor.data = memory[place].view(dtype).view(shape)


def cpu_buffer(size: int, *, pinned: bool) -> Tensor:
    """[size] uint8."""
    try:
        return torch.empty(size, dtype=torch.uint8, pin_memory=pinned)
    except RuntimeError as error:
        raise UserError(
            "hardware.offload=blocks: no CPU memory left to pin for the blocks' weights; less is needed by "
            "hardware.resident=one and by speed.linears=fp8"
        ) from error


def tensors(module: nn.Module) -> Iterator[Tensor]:
    return chain(module.parameters(), module.buffers())
