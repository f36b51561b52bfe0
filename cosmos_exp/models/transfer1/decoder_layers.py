"""Layers of diffusers' decoder that are faster on a CPU. On GPUs and in training they are those of diffusers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl_cosmos import CosmosCausalConv3d, CosmosUnpatcher3d
from torch import Tensor, nn


class Unpatcher(CosmosUnpatcher3d):
    """The last layer of the decoder with sums and differences in place of convolutions with two weights of equal
    magnitude: on a CPU the same bits in a sixth of the time."""

    wavelets: Tensor

    def _idwt(self, hidden_states: Tensor, rescale: bool = False) -> Tensor:
        if torch.is_grad_enabled() or hidden_states.is_cuda:
            return super()._idwt(hidden_states, rescale)
        weight = self.wavelets[0].to(hidden_states)
        parts: Sequence[Tensor] = (hidden_states * weight).chunk(8, dim=1)
        parts = [_sums_and_differences(low, high, 4).mul_(weight) for low, high in zip(parts[::2], parts[1::2])]
        parts = [_sums_and_differences(low, high, 3).mul_(weight) for low, high in zip(parts[::2], parts[1::2])]
        low, high = parts
        whole = _sums_and_differences(low, high, 2)
        return whole.mul_(8**0.5) if rescale else whole


def _sums_and_differences(low: Tensor, high: Tensor, dim: int) -> Tensor:
    """low + high and low - high, interleaved along a dimension."""
    shape = list(low.shape)
    shape[dim] *= 2
    result = low.new_empty(shape)
    sums, differences = result.unflatten(dim, (-1, 2)).unbind(dim + 1)
    torch.add(low, high, out=sums)
    torch.sub(low, high, out=differences)
    return result


class TemporalConv(CosmosCausalConv3d):
    """A causal convolution over the frames. On a CPU computed as a 2D convolution over frames x pixels, for which torch
    has a faster kernel."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        before = hidden_states[:, :, :1].expand(-1, -1, self.temporal_pad, -1, -1)
        return self.convolved(torch.cat([before, hidden_states], dim=2))

    def convolved(self, frames: Tensor) -> Tensor:
        """Of [B,C,F,H,W] that includes the temporal padding."""
        if torch.is_grad_enabled() or frames.is_cuda:
            return F.conv3d(frames, self.weight, self.bias, self.stride)
        result = F.conv2d(frames.flatten(3), self.weight[..., 0], self.bias, (self.stride[0], 1))
        return result.unflatten(3, frames.shape[3:])


def use_temporal_convs(network: nn.Module) -> None:
    """Replace the purely temporal convolutions; to be called before weights are loaded."""
    for name, layer in list(network.named_modules()):
        if isinstance(layer, CosmosCausalConv3d) and layer.kernel_size[0] > 1 and layer.kernel_size[1:] == (1, 1):
            kernel, stride = _triple(layer.kernel_size), _triple(layer.stride)
            conv = TemporalConv(layer.in_channels, layer.out_channels, kernel, stride=stride, padding=0)
            network.set_submodule(name, conv)


def _triple(values: tuple[int, ...]) -> tuple[int, int, int]:
    frames, rows, columns = values
    return frames, rows, columns
