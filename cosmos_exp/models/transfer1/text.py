"""The text encoder: a T5 encoder whose output is zero beyond the prompt."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import ByT5Tokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast, T5Config, T5EncoderModel

from cosmos_exp.common.errors import UserError

log = logging.getLogger(__name__)


class TextEncoder(nn.Module):
    """T5 encoder, over bytes or over the tokens of a vocabulary.

    config: arguments of T5Config, and "vocabulary": name of a tokenizer.json in `folder`; without it, tokens are bytes.
    max_tokens: rows per prompt, including the end-of-sequence token.
    """

    def __init__(self, config: Mapping[str, Any], max_tokens: int, *, folder: Path | None = None):
        super().__init__()
        self.max_tokens = max_tokens
        values = dict(config)
        self.text_tokenizer = _text_tokenizer(values.pop("vocabulary", None), folder)
        self.t5 = T5EncoderModel(T5Config(**{"vocab_size": len(self.text_tokenizer), **values}))

    @property
    def channels(self) -> int:
        return self.t5.config.d_model

    def tokenize(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """int64 ids and 0/1 mask, [B, max_tokens] each. Longer prompts are truncated with a warning."""
        for prompt, pieces in zip(prompts, self.text_tokenizer(list(prompts), verbose=False).input_ids):
            if len(pieces) > self.max_tokens:
                log.warning("prompt of %d tokens cut to %d: %.60s...", len(pieces), self.max_tokens, prompt)
        batch = self.text_tokenizer(
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


def _text_tokenizer(vocabulary: str | None, folder: Path | None) -> PreTrainedTokenizerBase:
    if vocabulary is None or folder is None:
        return ByT5Tokenizer()
    path = folder / vocabulary
    if not path.is_file():
        raise UserError(f"world model {folder} lacks {vocabulary}, the vocabulary of its text encoder")
    return PreTrainedTokenizerFast(
        tokenizer_file=str(path), eos_token="</s>", unk_token="<unk>", pad_token="<pad>", model_max_length=None
    )
