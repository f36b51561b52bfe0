"""The tokenizer's networks a few latent frames at a time, with the numbers of the whole clip.

Nearly every layer of diffusers' AutoencoderKLCosmos sees the current frames and some before them, so a clip can be
processed in chunks when each layer caches its last input frames. In the middle block, attention within a frame runs in
chunks as well, and attention over time, which needs all frames of a pixel, in strips of rows. (`enable_tiling` of that
class changes nothing: neither `encode` nor `decode` reads it. Spatial tiles would change the result, as norms and
attention extend over the whole frame.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl_cosmos import (
    AutoencoderKLCosmos,
    CosmosCausalAttention,
    CosmosCausalConv3d,
    CosmosConvProjection3d,
    CosmosDownBlock3d,
    CosmosDownsample3d,
    CosmosMidBlock3d,
    CosmosPatchEmbed3d,
    CosmosResnetBlock3d,
    CosmosUnpatcher3d,
    CosmosUpBlock3d,
    CosmosUpsample3d,
)
from torch import Tensor, nn

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.transfer1.decoder_layers import TemporalConv

TEMPORAL = 8  # pixel frames per latent frame after the first


def encode(vae: AutoencoderKLCosmos, pixels: Tensor, chunk: int) -> Tensor:
    """Raw latents [B,C,1+k,H/8,W/8] of pixels [B,3,1+8k,H,W], `chunk` latent frames at a time."""
    encoder, stream, parts = vae.encoder, Stream(), []
    first, following = pixels.tensor_split([1 + TEMPORAL * (chunk - 1)], dim=2)
    for piece in (first, *(following.split(TEMPORAL * chunk, dim=2) if following.shape[2] else ())):
        hidden = stream.wavelets(encoder.patch_embed, piece.to(vae.dtype))
        hidden = stream.projection(encoder.conv_in, hidden)
        for block in encoder.down_blocks:
            hidden = stream.down_block(block, hidden)
        parts.append(hidden)
        stream.first = False
    hidden = middle(encoder.mid_block, torch.cat(parts, dim=2), chunk)
    return vae.quant_conv(encoder.conv_out(F.silu(encoder.norm_out(hidden))))


def decode(vae: AutoencoderKLCosmos, latents: Tensor, chunk: int) -> Iterator[Tensor]:
    """Pixels [B,3,n,8h,8w] of raw latents [B,C,T,h,w], in pieces of `chunk` latent frames."""
    decoder, stream = vae.decoder, Stream()
    hidden = middle(decoder.mid_block, decoder.conv_in(vae.post_quant_conv(latents)), chunk)
    for piece in hidden.split(chunk, dim=2):
        for block in decoder.up_blocks:
            piece = stream.up_block(block, piece)
        piece = stream.projection(decoder.conv_out, F.silu(decoder.norm_out(piece)))
        yield stream.wavelets(decoder.unpatch_embed, piece)
        stream.first = False


def middle(block: CosmosMidBlock3d, x: Tensor, chunk: int) -> Tensor:
    """The middle block on x [B,C,T,h,w]; no layer processes more than the size of `chunk` frames at once."""
    x = Stream().frames(block.resnets[0], x, chunk)
    for within, over_time, resnet in zip(block.attentions, block.temp_attentions, block.resnets[1:]):
        x = torch.cat([within(piece) for piece in x.split(chunk, dim=2)], dim=2)
        rows = max(1, x.shape[3] * chunk // x.shape[2])
        assert isinstance(over_time, CosmosCausalAttention)
        normed = over_time.norm(x)
        x = x + torch.cat([attend_over_time(over_time, strip) for strip in normed.split(rows, dim=3)], dim=3)
        x = Stream().frames(resnet, x, chunk)
    return x


def attend_over_time(layer: CosmosCausalAttention, x: Tensor) -> Tensor:
    """Causal attention of each pixel of x [B,C,T,h,w], already normalized, over its own frames."""
    batch, *_, height, width = x.shape
    query, key, value = (
        project(x).permute(0, 3, 4, 2, 1).flatten(0, 2).unflatten(2, (layer.num_attention_heads, -1)).transpose(1, 2)
        for project in (layer.to_q, layer.to_k, layer.to_v)
    )
    attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    attended = attended.transpose(1, 2).flatten(2).unflatten(0, (batch, height, width))
    return layer.to_out[0](attended.permute(0, 4, 3, 1, 2))


class Stream:
    """A clip that is processed in chunks, and the input frames that its layers cached. first: before the second chunk.

    A layer's first frame is special everywhere: convolutions repeat it as padding, the wavelets count it as a whole
    patch, and it is duplicated half as often as the others in resampling.
    """

    def __init__(self) -> None:
        self.first = True
        self.last: dict[nn.Module, Tensor] = {}

    def down_block(self, block: nn.Module, x: Tensor) -> Tensor:
        assert isinstance(block, CosmosDownBlock3d)
        x = self.resnets(block, x)
        for sampler in block.downsamplers or ():
            x = self.down(sampler, x)
        return x

    def up_block(self, block: nn.Module, x: Tensor) -> Tensor:
        assert isinstance(block, CosmosUpBlock3d)
        x = self.resnets(block, x)
        for sampler in block.upsamplers or ():
            x = self.up(sampler, x)
        return x

    def resnets(self, block: CosmosDownBlock3d | CosmosUpBlock3d, x: Tensor) -> Tensor:
        attentions: Iterable[nn.Module | None] = block.attentions  # of Nones where there is no attention
        if any(attention is not None for attention in attentions):
            raise UserError("tokenizer_chunk: this tokenizer attends to all frames outside its middle, leave it null")
        for resnet in block.resnets:
            x = self.resnet(resnet, x)
        return x

    def frames(self, resnet: nn.Module, x: Tensor, chunk: int) -> Tensor:
        """x through a residual block, a chunk of frames at a time."""
        parts = []
        for piece in x.split(chunk, dim=2):
            parts.append(self.resnet(resnet, piece))
            self.first = False
        return torch.cat(parts, dim=2)

    def resnet(self, block: nn.Module, x: Tensor) -> Tensor:
        assert isinstance(block, CosmosResnetBlock3d)
        y = self.projection(block.conv1, F.silu(block.norm1(x)))
        y = self.projection(block.conv2, F.silu(block.norm2(y)))
        return y + self.conv(block.conv_shortcut, x)

    def projection(self, layer: CosmosConvProjection3d, x: Tensor) -> Tensor:
        return self.conv(layer.conv_t, self.conv(layer.conv_s, x))

    def conv(self, layer: nn.Module, x: Tensor) -> Tensor:
        """A causal convolution, padded with the last input frames of the previous chunk."""
        if isinstance(layer, nn.Identity):
            return x
        assert isinstance(layer, CosmosCausalConv3d)
        if layer.temporal_pad:
            before = x[:, :, :1].repeat(1, 1, layer.temporal_pad, 1, 1) if self.first else self.last[layer]
            x = torch.cat([before, x], dim=2)
            self.last[layer] = x[:, :, -layer.temporal_pad :].clone()
        if isinstance(layer, TemporalConv):
            return layer.convolved(x)
        left, right, top, bottom = layer.spatial_pad
        assert left == right and top == bottom and layer.pad_mode == "constant"
        return F.conv3d(x, layer.weight, layer.bias, layer.stride, (0, top, left), layer.dilation)

    def down(self, sampler: nn.Module, x: Tensor) -> Tensor:
        assert isinstance(sampler, CosmosDownsample3d)
        if sampler.spatial_downsample:
            x = F.pad(x, (0, 1, 0, 1))
            x = self.conv(sampler.conv1, x) + F.avg_pool3d(x, (1, 2, 2))
        if sampler.temporal_downsample:
            x = torch.cat([x[:, :, :1], x], dim=2) if self.first else x
            x = self.conv(sampler.conv2, x) + F.avg_pool3d(x, (2, 1, 1))
        return self.conv(sampler.conv3, x)

    def up(self, sampler: nn.Module, x: Tensor) -> Tensor:
        assert isinstance(sampler, CosmosUpsample3d)
        if sampler.temporal_upsample:
            x = x.repeat_interleave(2, dim=2)
            x = x[:, :, 1:] if self.first else x
            x = self.conv(sampler.conv1, x) + x
        if sampler.spatial_upsample:
            x = x.repeat_interleave(2, dim=3).repeat_interleave(2, dim=4)
            x = self.conv(sampler.conv2, x) + x
        return self.conv(sampler.conv3, x)

    def wavelets(self, layer: CosmosPatchEmbed3d | CosmosUnpatcher3d, x: Tensor) -> Tensor:
        """A patching layer treats one frame as the first of a clip: later chunks get an extra one, which is dropped."""
        if self.first:
            return layer(x)
        return layer(torch.cat([x[:, :, :1], x], dim=2))[:, :, 1:]
