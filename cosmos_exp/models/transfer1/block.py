"""A block of the diffusion transformer: diffusers' Cosmos block, with kernels and number formats of our choice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from diffusers.models.transformers.transformer_cosmos import CosmosTransformerBlock
from torch import Tensor, nn

from cosmos_exp.models.kernels import attention, float8
from cosmos_exp.models.kernels.float8 import Float8Linear, use_float8
from cosmos_exp.models.kernels.fused import PLAIN, Float8, Fused, compiled, modulated, normed_heads
from cosmos_exp.models.kernels.speed import Speed
from cosmos_exp.models.transfer1.embeddings import Positions
from cosmos_exp.models.transfer1.regional import RegionKeys, Regions, RegionTexts, blend

MLP_TOKENS = 16384  # enough to occupy a GPU; the MLP's inner activation is mlp_ratio times a hidden state


class Modulation(NamedTuple):
    """AdaLN of one sub-layer, [B,1,D] each: y = LayerNorm(x) * scale + shift; x <- x + gate * sublayer(y).

    scale: 1 + what the network predicts. gate: None in the head.
    """

    shift: Tensor
    scale: Tensor
    gate: Tensor | None = None

    def __call__(self, hidden: Tensor) -> Tensor:
        """y of hidden [B, L, D]."""
        return modulated(hidden, self.shift, self.scale)


class Sum(NamedTuple):
    """hidden + gate * update, [B, L, D], not yet added up: so that one pass over memory can add and normalise.

    update: None, and the hidden state stands as it is.
    """

    hidden: Tensor
    gate: Tensor | None = None
    update: Tensor | None = None

    def total(self, fused: Fused) -> Tensor:
        return self.hidden if self.update is None else fused.gated(*self)

    def modulated(self, modulation: Modulation, fused: Fused, eight: bool) -> tuple[Tensor, Tensor | Float8]:
        """The total, and that modulated; eight: in 8-bit floats."""
        if self.update is None:
            return self.hidden, fused.modulated(self.hidden, modulation.shift, modulation.scale, eight)
        return fused.gated_modulated(*self, modulation.shift, modulation.scale, eight)

    def chunk(self, parts: int) -> list[Sum]:
        """Of each of the branches that lie along the batch and share the gate."""
        if self.update is None:
            return [Sum(hidden) for hidden in self.hidden.chunk(parts)]
        return [Sum(h, self.gate, u) for h, u in zip(self.hidden.chunk(parts), self.update.chunk(parts))]


class TextKeys(NamedTuple):
    """What one block's cross-attention needs of a prompt.

    key, value: [B*V, heads, S, head_dim]. zeros: rows of zeros that the text has beside these.
    regions: of the regional prompts, if there are any.
    """

    key: Tensor
    value: Tensor
    zeros: int = 0
    regions: Regions | None = None


class Block(CosmosTransformerBlock):
    """Self-attention over all tokens, cross-attention of each view to its own text, MLP; all AdaLN modulated.

    attention: kernel of the self-attention, one of `ATTENTION`. fused: the element-wise work, as it stands or compiled.
    bound: for attention=fp8, see `float8.attend`.
    """

    attention: str = "auto"
    fused: Fused = PLAIN
    bound: tuple[float, float] = (0.0, 0.0)

    def forward(
        self,
        hidden: Tensor,
        texts: tuple[TextKeys | None, ...],
        modulations: tuple[Modulation, Modulation, Modulation],
        positions: Positions,
        *,
        attended: bool = False,
    ) -> Tensor:
        """hidden: [n*B, L, D], n branches that differ in their text alone. texts: n of them, None for all-zero text.

        attended: hidden has this block's self-attention behind it.
        """
        hidden, normed = self.attend_all(hidden, texts, modulations, positions, attended)
        return self.fused.gated(hidden, modulations[2].gate, self.mlp(normed))

    def attend_all(self, hidden, texts, modulations, positions, attended) -> tuple[Tensor, Tensor | Float8]:
        """Both attentions, of the arguments of `forward`; and the result as the MLP takes it."""
        of_tokens, of_text, of_mlp = modulations
        sums = Sum(hidden) if attended else self.attend_tokens(hidden, of_tokens, positions)
        read = [self.attend_text(part, text, of_text) for part, text in zip(sums.chunk(len(texts)), texts)]
        parts = [part.modulated(of_mlp, self.fused, isinstance(self.ff.net[0].proj, Float8Linear)) for part in read]
        return parts[0] if len(parts) == 1 else joined(parts)

    def mlp(self, normed: Tensor | Float8) -> Tensor:
        """Of [B, L, D], at most MLP_TOKENS tokens at a time."""
        rise, fall = self.ff.net[0].proj, self.ff.net[2]
        act = self.fused.float8_gelu if isinstance(fall, Float8Linear) else F.gelu
        done = [fall(act(rise(part))) for part in token_parts(normed)]
        return done[0] if len(done) == 1 else torch.cat(done, dim=1)

    def attend_tokens(self, hidden: Tensor, modulation: Modulation, positions: Positions) -> Sum:
        """Position embedding and self-attention: all that comes before the text is read."""
        layer, fused = self.attn1, self.fused
        eight = isinstance(layer.to_q, Float8Linear)
        hidden, normed = fused.positioned(hidden, positions.extra, modulation.shift, modulation.scale, eight)
        query = fused.rotated_heads(layer.to_q(normed), layer.norm_q.weight, layer.norm_q.eps, *positions.rope)
        key = fused.rotated_heads(layer.to_k(normed), layer.norm_k.weight, layer.norm_k.eps, *positions.rope)
        value = split_heads(layer.to_v(normed), layer.heads)
        if positions.sequence is None:
            attended = self.attend(query, key, value)
        else:
            attended = positions.sequence.attend(self.attend, query, key, value)
        return Sum(hidden, modulation.gate, project_out(layer, attended, fused))

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor | Float8:
        """Self-attention [B, heads, L, head_dim] by the kernel that was chosen."""
        if self.attention == "fp8":
            return float8.attend(query, key, value, self.bound, self.fused)
        return attention.attend(query, key.to(query), value.to(query), self.attention)

    def attend_text(self, sums: Sum, text: TextKeys | None, modulation: Modulation) -> Sum:
        """Cross-attention of [B, L, D], views in order."""
        if text is None:
            return sums
        layer, fused = self.attn2, self.fused
        hidden, normed = sums.modulated(modulation, fused, isinstance(layer.to_q, Float8Linear))
        queries = layer.to_q(normed).reshape(len(text.key), -1, hidden.shape[-1])
        queries = fused.normed_heads(queries, layer.norm_q.weight, layer.norm_q.eps)
        key, value = text.key.to(queries), text.value.to(queries)
        attended = attention.attend_beside_zeros(queries, key, value, text.zeros, fused)
        if text.regions is not None:
            attended = blend(attended, queries, text.regions)
        return Sum(hidden, modulation.gate, project_out(layer, attended, fused).reshape(hidden.shape))

    def text_keys(self, text: Tensor, zeros: int) -> TextKeys:
        """Of text [B*V, S, text_channels] and `zeros` rows of zeros after it."""
        layer = self.attn2
        key = normed_heads(layer.to_k(text), layer.norm_k.weight, layer.norm_k.eps)
        return TextKeys(key, split_heads(layer.to_v(text), layer.heads), zeros)

    def region_keys(self, regions: RegionTexts) -> Regions:
        texts = [self.text_keys(*without_zero_rows(text)) for text in regions.texts]
        keys = (RegionKeys(*text[:3], tokens) for text, tokens in zip(texts, regions.tokens))
        return Regions(tuple(keys), regions.rest)

    def work_at(self, speed: Speed, device: torch.device | str) -> None:
        """See `Trunk.work_at`."""
        if speed.linears != "plain":
            use_float8(self, device, speed.linears)
        self.attention = speed.attention
        if speed.attention == "fp8":
            self.bound = largest_after(self.attn1.norm_q), largest_after(self.attn1.norm_k)
        self.fused = compiled() if speed.compile else PLAIN

    def modulations(self, time: tuple[Tensor, Tensor]) -> tuple[Modulation, Modulation, Modulation]:
        return tuple(modulation(norm, time) for norm in (self.norm1, self.norm2, self.norm3))


def largest_after(norm: nn.Module) -> float:
    """What no element of a head exceeds once normalised and rotated: sqrt(head_dim) times the largest weight."""
    return math.sqrt(len(norm.weight)) * norm.weight.detach().abs().max().item()


def modulation(norm: nn.Module, time: tuple[Tensor, Tensor]) -> Modulation:
    """Of one of diffusers' AdaLN layers. time: temb [B, 3D] and emb [B, D]."""
    temb, emb = time
    values = norm.linear_2(norm.linear_1(norm.activation(emb)))
    values = values + temb[..., : values.shape[-1]]
    shift, scale, *gate = values[:, None].chunk(values.shape[-1] // emb.shape[-1], dim=-1)
    return Modulation(shift, 1 + scale, *gate)


def token_parts(x: Tensor | Float8) -> list[Tensor] | list[Float8]:
    """x [B, L, D] as parts of at most MLP_TOKENS tokens."""
    if isinstance(x, Float8):
        return [Float8(*part) for part in zip(token_parts(x.values), token_parts(x.scale))]
    return list(x.split(MLP_TOKENS, dim=1))


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[B, L, D] -> [B, heads, L, head_dim]."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def project_out(layer: Attention, attended: Tensor | Float8, fused: Fused) -> Tensor:
    """The output projection of attention [B, heads, L, head_dim], [B, L, D]."""
    projection = layer.to_out[0]
    if isinstance(attended, Float8):
        tokens = Float8(attended.values.transpose(1, 2).flatten(2), attended.scale)
        return projection(
            tokens if isinstance(projection, Float8Linear) else tokens.dequantized(projection.weight.dtype)
        )
    tokens = attended.transpose(1, 2).flatten(2)
    return projection(fused.float8_rows(tokens) if isinstance(projection, Float8Linear) else tokens)


def joined(parts: Sequence[tuple[Tensor, Tensor | Float8]]) -> tuple[Tensor, Tensor | Float8]:
    """Hidden states and what the MLP reads of them, along the batch."""
    hidden, normed = zip(*parts)
    if isinstance(normed[0], Float8):
        return torch.cat(hidden), Float8(*map(torch.cat, zip(*normed)))
    return torch.cat(hidden), torch.cat(normed)


def without_zero_rows(text: Tensor) -> tuple[Tensor, int]:
    """Text [N, S, C] without the rows at its end that are zero in every sample, and their number.

    A zero row has a key and a value of exactly zero, see `attention.attend_beside_zeros`.
    """
    rows = text.any(dim=-1).any(dim=0).nonzero()
    used = int(rows[-1]) + 1 if len(rows) else 0
    return text[:, :used], text.shape[1] - used
