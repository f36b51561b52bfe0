"""Regional prompts: in cross-attention, tokens inside a region read that region's text beside the global one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cosmos_exp.world.attention import attend_with_logsumexp


class Region(NamedTuple):
    """text: [B, S, channels]. mask: bool [1,1,T,h,w] on the patch grid, shaped like a weight map."""

    text: Tensor
    mask: Tensor


class RegionTexts(NamedTuple):
    """The regions of a clip, told by their tokens.

    tokens: int64 [n], those inside any region. texts: [B, S, channels] of each region. places: int64 [n_r] of each,
    where among `tokens` its own are.
    """

    tokens: Tensor
    texts: tuple[Tensor, ...]
    places: tuple[Tensor, ...]


class RegionKeys(NamedTuple):
    """One region's keys and values in one block, [B, heads, S, head_dim]; `zeros` more of both are zero."""

    key: Tensor
    value: Tensor
    zeros: int
    places: Tensor


class Regions(NamedTuple):
    """What one block's cross-attention needs of all regions. tokens: as in `RegionTexts`."""

    tokens: Tensor
    keys: tuple[RegionKeys, ...]


def region_texts(regions: Sequence[Region]) -> RegionTexts | None:
    """None where no token is inside any region."""
    inside = torch.stack([region.mask.flatten() for region in regions])  # [R, L]
    tokens = inside.any(dim=0).nonzero()[:, 0]
    seen = [(region.text, own.nonzero()[:, 0]) for region, own in zip(regions, inside[:, tokens])]
    seen = [(text, places) for text, places in seen if len(places)]
    return RegionTexts(tokens, *zip(*seen)) if seen else None


def blend(attended: Tensor, queries: Tensor, regions: Regions) -> Tensor:
    """The global prompt's attention with half of it replaced, inside regions, by that to the regions' texts.

    attended, queries: [B, heads, L, head_dim]. A token in several regions reads all their texts as one: each region's
    answer counts by its sum of exponentials.
    """
    inside = queries[:, :, regions.tokens]
    sums = inside.new_full((len(regions.keys), *inside.shape[:-1]), -torch.inf, dtype=torch.float32)
    answers = []
    for own, keys in zip(sums, regions.keys):
        answer, logsumexp = attend_with_logsumexp(inside[:, :, keys.places], keys.key.to(inside), keys.value.to(inside))
        with_zeros = torch.logaddexp(logsumexp, logsumexp.new_tensor(math.log(keys.zeros))) if keys.zeros else logsumexp
        answers.append(answer * (logsumexp - with_zeros).exp()[..., None].to(answer))
        own[:, :, keys.places] = with_zeros.to(own)
    read = torch.zeros_like(inside)
    for share, answer, keys in zip(sums.softmax(dim=0), answers, regions.keys):
        read = read.index_add(2, keys.places, answer * share[:, :, keys.places, None].to(answer))
    return attended.index_copy(2, regions.tokens, torch.lerp(attended[:, :, regions.tokens], read, 0.5))
