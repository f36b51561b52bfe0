"""Blocks whose large weights wait in CPU memory and are on the device only while they are at work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from cosmos_exp.common.errors import UserError

ALIGNMENT = 256  # bytes, of a tensor in a slot


class Offload:
    """Two slots on a device that the blocks of all its networks share; while one works, the next is copied.

    A block must be `bring`-ed before its large layers are used. On a GPU the copies run beside the computation.
    """

    def __init__(self, device: torch.device | str):
        self.device = torch.device(device)
        self.stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        self._waiting: dict[nn.Module, Packed] = {}
        self._next: dict[nn.Module, nn.Module] = {}
        self._slots = [Slot(self.device), Slot(self.device)]
        self._at_work = self._slots[0]

    def take(self, blocks: Sequence[nn.Module], layers: Sequence[str]) -> None:
        """Move the named layers of these blocks, which follow each other in this order, to CPU memory."""
        for block, following in zip(blocks, (*blocks[1:], blocks[0])):
            large = chain.from_iterable(tensors(block.get_submodule(name)) for name in layers)
            self._waiting[block] = Packed(large, self.device)
            self._next[block] = following
        needed = max(len(packed.bytes) for packed in self._waiting.values())
        if len(self._slots[0].bytes) < needed:
            for slot in self._slots:
                self._vacate(slot)
                slot.bytes = torch.empty(needed, dtype=torch.uint8, device=self.device)
                if self.stream is not None:
                    slot.bytes.record_stream(self.stream)  # so that it is not given away under a copy

    def drop(self, blocks: Iterable[nn.Module]) -> None:
        """Forget blocks that `take` was given; they cannot be used again."""
        for block in blocks:
            for slot in self._slots:
                if slot.block is block:
                    self._vacate(slot)
            del self._waiting[block], self._next[block]
        if not self._waiting:
            self._slots = [Slot(self.device), Slot(self.device)]
            self._at_work = self._slots[0]

    def bring(self, block: nn.Module) -> None:
        """The block's weights are on the device for what is computed from now on; the next block's are on their way."""
        slot = self._slot_of(block) or self._fill(self._spare, block)
        if slot.ready is not None:
            torch.cuda.current_stream(self.device).wait_event(slot.ready)
        self._at_work = slot
        if self._slot_of(self._next[block]) is None:
            self._fill(self._spare, self._next[block])

    @property
    def _spare(self) -> Slot:
        first, second = self._slots
        return second if self._at_work is first else first

    def _slot_of(self, block: nn.Module) -> Slot | None:
        return next((slot for slot in self._slots if slot.block is block), None)

    def _fill(self, slot: Slot, block: nn.Module) -> Slot:
        self._vacate(slot)
        packed = self._waiting[block]
        if self.stream is None:
            slot.bytes[: len(packed.bytes)] = packed.bytes
        else:
            self.stream.wait_stream(torch.cuda.current_stream(self.device))  # of what still reads the slot
            with torch.cuda.stream(self.stream):
                slot.bytes[: len(packed.bytes)].copy_(packed.bytes, non_blocking=True)
                slot.ready = self.stream.record_event()
        packed.enter(slot.bytes)
        slot.block = block
        return slot

    def _vacate(self, slot: Slot) -> None:
        if slot.block is not None:
            self._waiting[slot.block].leave()
            slot.block = None


class Slot:
    """Device memory for one block. block: the one it holds. ready: when its copy has ended, on a GPU."""

    def __init__(self, device: torch.device):
        self.bytes = torch.empty(0, dtype=torch.uint8, device=device)
        self.block: nn.Module | None = None
        self.ready: torch.cuda.Event | None = None


class Packed:
    """Tensors of a block, one behind the other in one piece of CPU memory, pinned where the device is a GPU.

    The tensors stay the objects that their modules hold; only what they point to changes.
    """

    def __init__(self, tensors: Iterable[Tensor], device: torch.device):
        self.tensors = list(tensors)
        self.sizes = [(tensor.shape, tensor.dtype) for tensor in self.tensors]
        self.empty = [torch.empty(0, dtype=tensor.dtype, device=device) for tensor in self.tensors]
        self.places, end = [], 0
        for tensor in self.tensors:
            self.places.append(slice(end, end + tensor.nbytes))
            end += -(-tensor.nbytes // ALIGNMENT) * ALIGNMENT
        self.bytes = waiting_room(end, pinned=device.type == "cuda")
        for tensor, place in zip(self.tensors, self.places):
            self.bytes[place] = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        self.leave()

    def leave(self) -> None:
        """The tensors are empty, so that nobody takes another block's values for theirs."""
        for tensor, nothing in zip(self.tensors, self.empty):
            tensor.data = nothing

    def enter(self, memory: Tensor) -> None:
        """The tensors are those that lie in this memory, laid out as `bytes`."""
        for tensor, place, (shape, dtype) in zip(self.tensors, self.places, self.sizes):
            tensor.data = memory[place].view(dtype).view(shape)


def waiting_room(size: int, *, pinned: bool) -> Tensor:
    """CPU memory, [size] uint8."""
    try:
        return torch.empty(size, dtype=torch.uint8, pin_memory=pinned)
    except RuntimeError as error:
        raise UserError(
            "hardware.offload=blocks: no CPU memory left to pin for the blocks' weights; less is needed by "
            "hardware.resident=one and by speed.linears=fp8"
        ) from error


def tensors(module: nn.Module) -> Iterator[Tensor]:
    return chain(module.parameters(), module.buffers())
