"""Regional prompts: in cross-attention, tokens inside a region attend to its text as well as to the global prompt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cosmos_exp.models.kernels.attention import attend_with_logsumexp


class Region(NamedTuple):
    """text: [B, S, channels]. mask: bool [1,1,T,h,w] on the patch grid, shaped like a weight map."""

    text: Tensor
    mask: Tensor


class RegionTexts(NamedTuple):
    """The regions of a clip by the indices of their tokens.

    texts: [B, S, channels] of each region. tokens: int64 [n_r] of each. rest: [L, 1], weight of the global prompt:
    one half inside regions, 1 elsewhere.
    """

    texts: tuple[Tensor, ...]
    tokens: tuple[Tensor, ...]
    rest: Tensor


class RegionKeys(NamedTuple):
    """One region's keys and values in one block, [B, heads, S, head_dim], and `zeros` additional zero rows."""

    key: Tensor
    value: Tensor
    zeros: int
    tokens: Tensor


class Regions(NamedTuple):
    """Keys and values of all regions in one block. rest: as in `RegionTexts`."""

    keys: tuple[RegionKeys, ...]
    rest: Tensor


def region_texts(regions: Sequence[Region]) -> RegionTexts | None:
    """None where no token is inside any region."""
    masks = [region.mask.flatten() for region in regions]
    seen = [(region.text, mask.nonzero()[:, 0]) for region, mask in zip(regions, masks) if mask.any()]
    rest = 1 - 0.5 * torch.stack(masks).any(dim=0).float()
    if not seen:
        return None
    return RegionTexts(tuple(text for text, _ in seen), tuple(tokens for _, tokens in seen), rest[:, None])


def blend(attended: Tensor, queries: Tensor, regions: Regions) -> Tensor:
    """The global prompt's attention; inside regions, half of it is replaced by attention to the regions' texts.

    attended, queries: [B, heads, L, head_dim]. A token in several regions attends to the concatenation of their texts:
    the regions' results are weighted by their sums of exponentials.
    """
    sums = queries.new_full((len(regions.keys), *queries.shape[:-1]), -torch.inf, dtype=torch.float32)
    answers = []
    for own, keys in zip(sums, regions.keys):
        inside = queries[:, :, keys.tokens]
        answer, logsumexp = attend_with_logsumexp(inside, keys.key.to(inside), keys.value.to(inside))
        zeros = math.log(keys.zeros) if keys.zeros else -math.inf
        own[:, :, keys.tokens] = torch.logaddexp(logsumexp, logsumexp.new_tensor(zeros)).float()
        answers.append((answer, logsumexp))
    total = sums.logsumexp(dim=0)
    result = attended * regions.rest.to(attended)
    for keys, (answer, logsumexp) in zip(regions.keys, answers):
        weight = 0.5 * (logsumexp - total[:, :, keys.tokens]).exp()
        result.index_add_(2, keys.tokens, answer * weight[..., None].to(answer))
    return result
