"""The text encoder: all layers of Qwen2.5-VL's language model side by side, each normalised over its features."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ByT5Tokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLTextConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLTextModel

from cosmos_exp.common.errors import UserError

log = logging.getLogger(__name__)

# Input data of the released models: results depend on the exact words.
SYSTEM = "You are a helpful assistant who will provide prompts to an image generator."
CHAT = "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{prompt}<|im_end|>\n"
"""The model's chat template for two messages, without the beginning of an answer."""
PADDING = "<|endoftext|>"
NORM_EPS = 1e-8


class TextEncoder(nn.Module):
    """Qwen2.5-VL's language model, over the tokens of a vocabulary or over bytes.

    config: arguments of Qwen2_5_VLTextConfig, and "vocabulary": name of a tokenizer.json in `folder`; without it,
    tokens are bytes. max_tokens: rows per prompt.
    """

    def __init__(self, config: Mapping[str, Any], max_tokens: int, *, folder: Path | None = None):
        super().__init__()
        self.max_tokens = max_tokens
        values = dict(config)
        self.text_tokenizer = _text_tokenizer(values.pop("vocabulary", None), folder)
        self.lm = Qwen2_5_VLTextModel(Qwen2_5_VLTextConfig(**{"vocab_size": len(self.text_tokenizer), **values}))

    def cast(self, dtype: torch.dtype) -> None:
        """The weights in dtype, the frequencies of the rotary embedding in float32; computes these, which no weights
        file has."""
        self.to(dtype)
        self.lm.rotary_emb = type(self.lm.rotary_emb)(self.lm.config)

    @property
    def channels(self) -> int:
        """Of a row: those of all layers."""
        return self.lm.config.num_hidden_layers * self.lm.config.hidden_size

    def tokenize(self, prompts: Sequence[str]) -> Tensor:
        """int64 ids [B, max_tokens] of the prompts as messages of a chat; longer ones are cut with a warning."""
        chats = [CHAT.format(system=SYSTEM, prompt=prompt) for prompt in prompts]
        rows = self.text_tokenizer(chats, add_special_tokens=False, verbose=False).input_ids
        for prompt, row in zip(prompts, rows):
            if len(row) > self.max_tokens:
                log.warning("prompt of %d tokens cut to %d: %.60s...", len(row), self.max_tokens, prompt)
        return self.padded(rows)

    def padded(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Ids cut, or filled up with the padding token, to [B, max_tokens]."""
        padding = self.text_tokenizer.pad_token_id
        return torch.tensor([[*row, *[padding] * self.max_tokens][: self.max_tokens] for row in rows])

    def forward(self, ids: Tensor) -> Tensor:
        """ids [B, S] -> [B, S, channels]. Without a mask: padding is embedded as any other token."""
        states = self.lm(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states[1:]
        return torch.cat([normalized(state) for state in states], dim=-1)

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """[B, max_tokens, channels]."""
        return self(self.tokenize(prompts).to(self.lm.device))


def normalized(state: Tensor) -> Tensor:
    """(x - mean) / (std + 1e-8) over the last dimension, with the unbiased standard deviation."""
    mean, std = state.mean(dim=-1, keepdim=True), state.std(dim=-1, keepdim=True)
    return (state - mean) / (std + NORM_EPS)


def _text_tokenizer(vocabulary: str | None, folder: Path | None) -> PreTrainedTokenizerBase:
    if vocabulary is None or folder is None:
        return ByT5Tokenizer()
    path = folder / vocabulary
    if not path.is_file():
        raise UserError(f"model folder {folder} lacks {vocabulary}, the vocabulary of its text encoder")
    return PreTrainedTokenizerFast(tokenizer_file=str(path), pad_token=PADDING)
