"""A block of the diffusion transformer: the layers of diffusers' Cosmos block, with a choice of kernels and number
formats."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers.models.activations import GELU
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.normalization import RMSNorm
from diffusers.models.transformers.transformer_cosmos import (
    CosmosAdaLayerNorm,
    CosmosAdaLayerNormZero,
    CosmosAttnProcessor2_0,
)
from torch import Tensor, nn

from cosmos_exp.models.dit.positions import Positions
from cosmos_exp.models.dit.regional import RegionKeys, Regions, RegionTexts, blend
from cosmos_exp.models.dit.shared_attention import SharedAttention
from cosmos_exp.models.kernels import attention, float8
from cosmos_exp.models.kernels.float8 import Attended, Float8Linear, use_float8
from cosmos_exp.models.kernels.fused import EAGER, Float8, Fused, compiled, norm_and_modulate, norm_heads
from cosmos_exp.models.kernels.speed import Speed
from cosmos_exp.models.kernels.te_linear import TELinear

MLP_TOKENS = 16384  # per call: enough to saturate a GPU; the MLP's inner activation is mlp_ratio hidden states


class Modulation(NamedTuple):
    """AdaLN of one sub-layer, [B,1,D] each: y = LayerNorm(x) * scale + shift; x <- x + gate * sublayer(y).

    scale: 1 + what the network predicts.
    """

    shift: Tensor
    scale: Tensor
    gate: Tensor

    def __call__(self, hidden: Tensor) -> Tensor:
        """y of hidden [B, L, D]."""
        return norm_and_modulate(hidden, self.shift, self.scale)


class Residual(NamedTuple):
    """gate * update, [B, L, D], of a sub-layer."""

    gate: Tensor
    update: Tensor


class Sum(NamedTuple):
    """hidden + gate * update, [B, L, D], not yet added: adding and normalizing are fused into one pass over memory.

    residual: None, and the sum is `hidden`.
    """

    hidden: Tensor
    residual: Residual | None = None

    def total(self, fused: Fused) -> Tensor:
        return self.hidden if self.residual is None else fused.gated_add(self.hidden, *self.residual)

    def modulate(self, modulation: Modulation, fused: Fused, fp8: bool) -> tuple[Tensor, Tensor | Float8]:
        """The total, and its modulation; fp8: quantized."""
        shift, scale, _ = modulation
        if self.residual is None:
            return self.hidden, fused.modulate(self.hidden, shift, scale, fp8)
        return fused.gated_add_and_modulate(self.hidden, *self.residual, shift, scale, fp8)

    def chunk(self, parts: int) -> list[Sum]:
        """Of each of the branches that are stacked along the batch and share the gate."""
        if self.residual is None:
            return [Sum(hidden) for hidden in self.hidden.chunk(parts)]
        gate, update = self.residual
        return [Sum(h, Residual(gate, u)) for h, u in zip(self.hidden.chunk(parts), update.chunk(parts))]


class TextKeys(NamedTuple):
    """Keys and values of a prompt in one block's cross-attention.

    key, value: [B*V, heads, S, head_dim]. zeros: number of zero rows that the text has besides these.
    regions: of the regional prompts, if there are any. image: keys and values [B, heads, I, head_dim] of an image.
    """

    key: Tensor
    value: Tensor
    zeros: int = 0
    regions: Regions | None = None
    image: tuple[Tensor, Tensor] | None = None


class ImageAttention(nn.Module):
    """The part of a cross-attention that reads an image beside the text."""

    def __init__(self, heads: int, head_dim: int, head_eps: float, image_channels: int):
        super().__init__()
        width = heads * head_dim
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(image_channels, width, bias=False)
        self.to_v = nn.Linear(image_channels, width, bias=False)
        self.norm_q = RMSNorm(head_dim, eps=head_eps)
        self.norm_k = RMSNorm(head_dim, eps=head_eps)
        self.heads = heads

    def forward(self, normed: Tensor | Float8, image: tuple[Tensor, Tensor], fused: Fused) -> Tensor:
        """[B, heads, L, head_dim] of the input of the cross-attention [B, L, D]. image: what `keys` returned."""
        if isinstance(normed, Float8):
            normed = normed.dequantized(self.to_q.weight.dtype)
        queries = fused.norm_heads(self.to_q(normed), *rms_weight(self.norm_q))
        key, value = (part.to(queries) for part in image)
        return attention.attend(queries, key, value)

    def keys(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [B, heads, I, head_dim] of an image [B, I, image_channels]."""
        return norm_heads(self.to_k(image), *rms_weight(self.norm_k)), split_heads(self.to_v(image), self.heads)


class Block(nn.Module):
    """Self-attention over all tokens, cross-attention of each view to its own text, MLP; all AdaLN modulated.

    attention: kernel of the self-attention, one of `ATTENTION`. fused: the element-wise operations, eager or compiled.
    bound: for attention=fp8, see `float8.attend`.
    head_eps: of the RMS norm of queries and keys. image_channels: of an image that the cross-attention reads beside the
    text, with queries, keys and values of its own; 0: none.
    """

    attention: str = "auto"
    fused: Fused = EAGER
    bound: tuple[float, float] = (0.0, 0.0)

    def __init__(
        self,
        *,
        heads: int,
        head_dim: int,
        text_channels: int,
        mlp_ratio: float,
        adaln_lora_dim: int,
        head_eps: float = 1e-5,
        image_channels: int = 0,
    ):
        super().__init__()
        width = heads * head_dim
        self.norm1 = CosmosAdaLayerNormZero(width, adaln_lora_dim)
        self.attn1 = _attention(width, heads, head_dim, head_eps)
        self.norm2 = CosmosAdaLayerNormZero(width, adaln_lora_dim)
        self.attn2 = _attention(width, heads, head_dim, head_eps, text_channels)
        self.image_attn = ImageAttention(heads, head_dim, head_eps, image_channels) if image_channels else None
        self.norm3 = CosmosAdaLayerNormZero(width, adaln_lora_dim)
        self.ff = FeedForward(width, inner_dim=int(width * mlp_ratio), activation_fn="gelu", bias=False)

    @property
    def mlp_linears(self) -> tuple[nn.Module, nn.Module]:
        """Up and down projection of the MLP; `use_float8` may have replaced them."""
        up = self.ff.net[0]
        assert isinstance(up, GELU)
        return up.proj, self.ff.net[2]

    def forward(
        self,
        hidden: Tensor,
        texts: tuple[TextKeys | None, ...],
        modulations: tuple[Modulation, Modulation, Modulation],
        positions: Positions,
        *,
        attended: bool = False,
        shared: SharedAttention | None = None,
    ) -> Tensor:
        """hidden: [n*B, L, D], n branches that differ only in their text. texts: n of them, None for all-zero text.

        attended: hidden already has this block's self-attention added. shared: with another pass, of which this is one.
        """
        hidden, normed = self.attend_all(hidden, texts, modulations, positions, attended, shared)
        return self.fused.gated_add(hidden, modulations[2].gate, self.mlp(normed))

    def attend_all(
        self,
        hidden: Tensor,
        texts: tuple[TextKeys | None, ...],
        modulations: tuple[Modulation, Modulation, Modulation],
        positions: Positions,
        attended: bool,
        shared: SharedAttention | None = None,
    ) -> tuple[Tensor, Tensor | Float8]:
        """Both attentions, with the arguments of `forward`: the hidden state, and the input of the MLP."""
        of_tokens, of_text, of_mlp = modulations
        sums = Sum(hidden) if attended else self.attend_tokens(hidden, of_tokens, positions, shared)
        read = [self.attend_text(part, text, of_text) for part, text in zip(sums.chunk(len(texts)), texts)]
        fp8 = isinstance(self.mlp_linears[0], Float8Linear)
        parts = [part.modulate(of_mlp, self.fused, fp8) for part in read]
        return parts[0] if len(parts) == 1 else joined(parts)

    def mlp(self, normed: Tensor | Float8) -> Tensor:
        """Of [B, L, D], at most MLP_TOKENS tokens at a time."""
        up, down = self.mlp_linears
        act: Callable[[Tensor], Tensor | Float8] = self.fused.gelu_and_quantize
        if not isinstance(down, Float8Linear):
            act = F.gelu
        parts = [down(act(up(part))) for part in token_parts(normed)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def attend_tokens(
        self, hidden: Tensor, modulation: Modulation, positions: Positions, shared: SharedAttention | None = None
    ) -> Sum:
        """Position embedding and self-attention, which do not depend on the text."""
        layer, fused = self.attn1, self.fused
        fp8 = isinstance(layer.to_q, Float8Linear)
        shift, scale, gate = modulation
        if positions.extra is None:
            normed = fused.modulate(hidden, shift, scale, fp8)
        else:
            hidden, normed = fused.add_positions_and_modulate(hidden, positions.extra, shift, scale, fp8)
        query = fused.norm_and_rotate_heads(layer.to_q(normed), *rms_weight(layer.norm_q), *positions.rope)
        key = fused.norm_and_rotate_heads(layer.to_k(normed), *rms_weight(layer.norm_k), *positions.rope)
        value = split_heads(layer.to_v(normed), layer.heads)
        del normed  # as large as a hidden state
        attended: Tensor | Attended
        if shared is not None:
            attended = shared.attend(query, key.to(query), value.to(query), self.attention, fused)
        elif positions.sequence is None:
            attended = self.attend(query, key, value)
        else:
            attended = positions.sequence.attend(self.attend, query, key, value)
        return Sum(hidden, Residual(gate, project_out(layer, attended, fused)))

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor | Attended:
        """Self-attention [B, heads, L, head_dim] with the chosen kernel."""
        if self.attention == "fp8":
            return float8.attend(query, key, value, self.bound, self.fused)
        return attention.attend(query, key.to(query), value.to(query), self.attention)

    def attend_text(self, sums: Sum, text: TextKeys | None, modulation: Modulation) -> Sum:
        """Cross-attention of [B, L, D], views in order."""
        if text is None:
            return sums
        layer, fused = self.attn2, self.fused
        hidden, normed = sums.modulate(modulation, fused, isinstance(layer.to_q, Float8Linear))
        queries = layer.to_q(normed).reshape(len(text.key), -1, hidden.shape[-1])
        queries = fused.norm_heads(queries, *rms_weight(layer.norm_q))
        key, value = text.key.to(queries), text.value.to(queries)
        attended = attention.attend_beside_zeros(queries, key, value, text.zeros, fused)
        if text.regions is not None:
            attended = blend(attended, queries, text.regions)
        if text.image is not None and self.image_attn is not None:
            attended = attended + self.image_attn(normed, text.image, fused)
        return Sum(hidden, Residual(modulation.gate, project_out(layer, attended, fused).reshape(hidden.shape)))

    def text_keys(self, text: Tensor, zeros: int) -> TextKeys:
        """Of text [B*V, S, text_channels] and `zeros` rows of zeros after it."""
        layer = self.attn2
        key = norm_heads(layer.to_k(text), *rms_weight(layer.norm_k))
        return TextKeys(key, split_heads(layer.to_v(text), layer.heads), zeros)

    def region_keys(self, regions: RegionTexts) -> Regions:
        texts = [self.text_keys(*without_zero_rows(text)) for text in regions.texts]
        keys = (RegionKeys(text.key, text.value, text.zeros, own) for text, own in zip(texts, regions.tokens))
        return Regions(tuple(keys), regions.rest)

    def apply_speed(self, speed: Speed, device: torch.device | str) -> None:
        """See `Trunk.apply_speed`."""
        if speed.linears != "plain":
            use_float8(self, device, speed.linears)
        self.attention = speed.attention
        if speed.attention == "fp8":
            self.bound = largest_after(self.attn1.norm_q), largest_after(self.attn1.norm_k)
        self.fused = compiled() if speed.compile else EAGER

    def modulations(self, time: tuple[Tensor, Tensor]) -> tuple[Modulation, Modulation, Modulation]:
        """Of self-attention, cross-attention and MLP. time: temb [B, 3D] and emb [B, D]."""
        first, second, third = (gated_modulation(norm, time) for norm in (self.norm1, self.norm2, self.norm3))
        return first, second, third


def _attention(width: int, heads: int, head_dim: int, head_eps: float, text_channels: int | None = None) -> Attention:
    """As in diffusers' CosmosTransformerBlock."""
    return Attention(
        query_dim=width,
        cross_attention_dim=text_channels,
        heads=heads,
        dim_head=head_dim,
        qk_norm="rms_norm",
        elementwise_affine=True,
        eps=head_eps,
        out_bias=False,
        processor=CosmosAttnProcessor2_0(),  # type: ignore[arg-type]  # diffusers annotates its first processor only
    )


def rms_weight(norm: nn.Module | None) -> tuple[Tensor, float]:
    """Weight [head_dim] and epsilon of one of diffusers' RMS norms."""
    assert isinstance(norm, RMSNorm) and norm.weight is not None
    return norm.weight, norm.eps


def largest_after(norm: nn.Module | None) -> float:
    """Upper bound of an element of a head after the norm and the rotation: sqrt(head_dim) times the largest weight."""
    weight, _ = rms_weight(norm)
    return math.sqrt(len(weight)) * weight.detach().abs().max().item()


def modulation_values(norm: CosmosAdaLayerNormZero | CosmosAdaLayerNorm, time: tuple[Tensor, Tensor]) -> Tensor:
    """Shift, scale - 1 and, of the first kind, gate, [B, 1, 2D or 3D]. time: temb [B, 3D] and emb [B, D]."""
    temb, emb = time
    values = norm.linear_2(norm.linear_1(norm.activation(emb)))
    return (values + temb[..., : values.shape[-1]])[:, None]


def gated_modulation(norm: CosmosAdaLayerNormZero, time: tuple[Tensor, Tensor]) -> Modulation:
    """Of a sub-layer of a block."""
    shift, scale, gate = modulation_values(norm, time).chunk(3, dim=-1)
    return Modulation(shift, 1 + scale, gate)


def token_parts(x: Tensor | Float8) -> list[Tensor] | list[Float8]:
    """x [B, L, D] as parts of at most MLP_TOKENS tokens."""
    if isinstance(x, Float8):
        parts = zip(x.values.split(MLP_TOKENS, dim=1), x.scale.split(MLP_TOKENS, dim=1))
        return [Float8(values, scale) for values, scale in parts]
    return list(x.split(MLP_TOKENS, dim=1))


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[B, L, D] -> [B, heads, L, head_dim]."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def project_out(layer: Attention, attended: Tensor | Attended, fused: Fused) -> Tensor:
    """The output projection of attention [B, heads, L, head_dim], [B, L, D]."""
    projection = layer.to_out[0]
    if isinstance(attended, Attended):
        centred, mean = attended
        quantized, mean = Float8(tokens_of(centred.values), centred.scale), tokens_of(mean)
        if isinstance(projection, Float8Linear):
            return projection(quantized) + projection(mean)
        assert isinstance(projection, (nn.Linear, TELinear))
        dtype = projection.weight.dtype
        return projection(quantized.dequantized(dtype) + mean.to(dtype))
    tokens = tokens_of(attended)
    return projection(fused.quantize_rows(tokens) if isinstance(projection, Float8Linear) else tokens)


def tokens_of(heads: Tensor) -> Tensor:
    """[B, heads, L, head_dim] -> [B, L, D]."""
    return heads.transpose(1, 2).flatten(2)


def joined(parts: Sequence[tuple[Tensor, Tensor | Float8]]) -> tuple[Tensor, Tensor | Float8]:
    """Hidden states and the inputs of the MLP, stacked along the batch."""
    hidden = torch.cat([part for part, _ in parts])
    quantized = [normed for _, normed in parts if isinstance(normed, Float8)]
    if quantized:
        return hidden, Float8(torch.cat([x.values for x in quantized]), torch.cat([x.scale for x in quantized]))
    return hidden, torch.cat([normed for _, normed in parts if not isinstance(normed, Float8)])


def without_zero_rows(text: Tensor) -> tuple[Tensor, int]:
    """Text [N, S, C] without the rows at its end that are zero in every sample, and their number.

    A zero row has a key and a value of exactly zero, see `attention.attend_beside_zeros`.
    """
    rows = text.any(dim=-1).any(dim=0).nonzero()
    used = int(rows[-1]) + 1 if len(rows) else 0
    return text[:, :used], text.shape[1] - used
