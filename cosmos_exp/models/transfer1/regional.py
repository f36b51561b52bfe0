"""Regional prompts: in cross-attention, tokens inside a region read that region's text beside the global one."""

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
    """The regions of a clip, told by their tokens.

    texts: [B, S, channels] of each region. tokens: int64 [n_r] of each, those inside it. rest: [L, 1], how much a token
    keeps of the global prompt: one half inside regions, all elsewhere.
    """

    texts: tuple[Tensor, ...]
    tokens: tuple[Tensor, ...]
    rest: Tensor


class RegionKeys(NamedTuple):
    """One region's keys and values in one block, [B, heads, S, head_dim]; `zeros` more of both are zero."""

    key: Tensor
    value: Tensor
    zeros: int
    tokens: Tensor


class Regions(NamedTuple):
    """What one block's cross-attention needs of all regions. rest: as in `RegionTexts`."""

    keys: tuple[RegionKeys, ...]
    rest: Tensor


def region_texts(regions: Sequence[Region]) -> RegionTexts | None:
    """None where no token is inside any region."""
    masks = [region.mask.flatten() for region in regions]
    seen = [(region.text, mask.nonzero()[:, 0]) for region, mask in zip(regions, masks) if mask.any()]
    rest = 1 - 0.5 * torch.stack(masks).any(dim=0).float()
    return RegionTexts(*zip(*seen), rest[:, None]) if seen else None


def blend(attended: Tensor, queries: Tensor, regions: Regions) -> Tensor:
    """The global prompt's attention with half of it replaced, inside regions, by that to the regions' texts.

    attended, queries: [B, heads, L, head_dim]. A token in several regions reads all their texts as one: each region's
    answer counts by its sum of exponentials.
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
        share = 0.5 * (logsumexp - total[:, :, keys.tokens]).exp()
        result.index_add_(2, keys.tokens, answer * share[..., None].to(answer))
    return result
