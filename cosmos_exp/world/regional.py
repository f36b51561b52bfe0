"""Regional prompts: cross-attention in which tokens inside a region read that region's text."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def regional_attention(
    query: Tensor, key: Tensor, value: Tensor, region_keys: Tensor, region_values: Tensor, masks: Tensor
) -> Tensor:
    """Half masked, half plain attention, before the output projection: [B, heads, L, head_dim].

    query: [B, heads, L, head_dim]. key, value: [B, heads, S, head_dim], the global prompt. region_keys, region_values:
    [R, B, heads, S, head_dim]. masks: [R, L], non-zero inside. A token inside regions reads only theirs, a token inside
    none reads the global prompt.
    """
    inside = masks.bool()
    tokens = key.shape[-2]
    readable = torch.cat([~inside.any(dim=0, keepdim=True), inside])  # [1+R, L]
    allowed = readable.T.repeat_interleave(tokens, dim=1)  # [L, (1+R)*S]
    keys = torch.cat([key, *region_keys], dim=-2)
    values = torch.cat([value, *region_values], dim=-2)
    masked = F.scaled_dot_product_attention(query, keys, values, attn_mask=allowed)
    plain = F.scaled_dot_product_attention(query, key, value)
    return 0.5 * masked + 0.5 * plain
