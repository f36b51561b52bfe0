"""The text encoder: a T5 encoder whose output rows beyond the prompt are zero."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from transformers import ByT5Tokenizer, T5Config, T5EncoderModel

log = logging.getLogger(__name__)

# What Cosmos-Transfer1 steers away from. Input data of the released models: results depend on the exact words.
NEGATIVE_PROMPT = (
    "The video captures a game playing, with bad crappy graphics and cartoonish frames. It represents a recording of "
    "old outdated games. The lighting looks very fake. The textures are very raw and basic. The geometries are very "
    "primitive. The images are very pixelated and of poor CG quality. There are many subtitles in the footage. "
    "Overall, the video is unrealistic at all."
)


class TextEncoder(nn.Module):
    """T5 encoder over bytes; needs no vocabulary file.

    config: arguments of T5Config. max_tokens: rows per prompt; a byte each, and one for the end mark.
    """

    def __init__(self, config: Mapping[str, Any], max_tokens: int):
        super().__init__()
        self.max_tokens = max_tokens
        self.byte_tokenizer = ByT5Tokenizer()
        self.t5 = T5EncoderModel(T5Config(**{"vocab_size": len(self.byte_tokenizer), **config}))

    @property
    def channels(self) -> int:
        return self.t5.config.d_model

    def tokenize(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """int64 ids and 0/1 mask, [B, max_tokens] each. A longer prompt loses its end, with a warning."""
        for prompt in prompts:
            length = len(prompt.encode()) + 1
            if length > self.max_tokens:
                log.warning("prompt of %d tokens cut to %d: %.60s...", length, self.max_tokens, prompt)
        batch = self.byte_tokenizer(
            list(prompts), padding="max_length", max_length=self.max_tokens, truncation=True, return_tensors="pt"
        )
        return batch.input_ids, batch.attention_mask

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """[B, S] ids and mask -> [B, S, channels], zero where mask is 0."""
        hidden = self.t5(input_ids=ids, attention_mask=mask).last_hidden_state
        return hidden * mask[..., None].to(hidden)

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """[B, max_tokens, channels]."""
        device = self.t5.device
        ids, mask = self.tokenize(prompts)
        return self(ids.to(device), mask.to(device))
