"""The rewriter that ships: a small language model over bytes that rewrites captions in styles, in this process.

A folder as Hugging Face has them, so that vLLM serves it too: `cosmos-exp serve-llm` with its path. Its chat template
reads the first user message alone, which is that of `captions/messages.py`.
"""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedTokenizerFast
from transformers.models.qwen3 import Qwen3Config, Qwen3ForCausalLM

from cosmos_exp.common.errors import UserError
from cosmos_exp.llm.client import validated
from cosmos_exp.llm.types import BadAnswer, ChatAnswer, ChatRequest, Sampling

REWRITER = Path(__file__).with_name("weights") / "rewriter"
VERSION = 1  # to be increased when other answers follow from the same weights
MOST_AT_ONCE = 32
GATHERING = 0.02
"""Seconds that the first request waits for others to be computed with it: an answer takes far longer."""


@dataclass(eq=False)
class _Waiting:
    """A request that waits for its turn. tokens: of its conversation; answer: those of what the model says to it."""

    tokens: list[int]
    sampling: Sampling
    answer: list[int] | None = None
    error: BaseException | None = None


def load_rewriter(folder: Path) -> Qwen3ForCausalLM:
    """In float32. The output layer is the table of the input's embeddings."""
    network = Qwen3ForCausalLM(Qwen3Config.from_pretrained(folder, local_files_only=True))
    weights = load_file(folder / "model.safetensors")
    network.load_state_dict({**weights, "lm_head.weight": weights["model.embed_tokens.weight"]})
    return network


class NanoRewriter:
    """The model of a folder. Requests that several threads make at a time are computed together, in float32."""

    def __init__(self, folder: Path = REWRITER, device: str = "cpu"):
        if not (folder / "model.safetensors").is_file():
            raise UserError(f"there is no rewriter in {folder}: cosmos-exp train stages=[rewriter] makes one")
        self.folder, self.device = folder, torch.device(device)
        self._waiting: list[_Waiting] = []
        self._queue, self._computing, self._loading = threading.Lock(), threading.Lock(), threading.Lock()

    @cached_property
    def identity(self) -> dict[str, str]:
        weights = hashlib.sha256((self.folder / "model.safetensors").read_bytes()).hexdigest()
        return {"name": "nano", "version": str(VERSION), "weights": weights}

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerFast:
        return PreTrainedTokenizerFast.from_pretrained(self.folder, local_files_only=True)

    @cached_property
    def _network(self) -> Qwen3ForCausalLM:
        return load_rewriter(self.folder).to(self.device).eval()

    def complete(self, request: ChatRequest) -> ChatAnswer:
        """Raises UserError on choices and pictures, which this model does not know."""
        if request.choices or any(message.images for message in request.messages):
            raise UserError("llm=nano rewrites captions alone: for pictures and choices take llm=endpoint or llm=vllm")
        with self._loading:
            tokenizer = self._tokenizer
            longest = self._network.config.max_position_embeddings
        turns = [{"role": message.role, "content": message.text} for message in request.messages]
        conversation = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        tokens = tokenizer(conversation, add_special_tokens=False).input_ids
        if len(tokens) >= longest // 2:
            raise BadAnswer(f"{len(tokens)} bytes of style and caption, llm=nano reads {longest // 2 - 1}", "")
        answer = self._answer(_Waiting(tokens, request.sampling))
        text = str(tokenizer.decode(answer, skip_special_tokens=True))
        if not answer or answer[-1] != tokenizer.eos_token_id:
            raise BadAnswer(f"cut off after {len(answer)} bytes", text)
        return ChatAnswer(text, validated(text, request.schema) if request.schema else None)

    def _answer(self, mine: _Waiting) -> list[int]:
        with self._queue:
            self._waiting.append(mine)
        while mine.answer is None:
            with self._computing:
                if mine.answer is None and mine.error is None:
                    self._compute_some()
            if mine.error is not None:
                raise mine.error
        return mine.answer

    def _compute_some(self) -> None:
        time.sleep(GATHERING)
        with self._queue:
            taken, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
        try:
            for waiting, answer in zip(taken, self._continued(taken), strict=True):
                waiting.answer = answer
        except BaseException as error:
            for waiting in taken:
                waiting.error = error
            raise

    @torch.inference_mode()
    def _continued(self, requests: list[_Waiting]) -> list[list[int]]:
        """What the model says to each, with the token that ends it."""
        pad, end = self._tokenizer.pad_token_id, self._tokenizer.eos_token_id
        width = max(len(r.tokens) for r in requests)
        rows = [[pad] * (width - len(r.tokens)) + r.tokens for r in requests]
        fed = torch.tensor(rows, device=self.device)
        seen = torch.tensor([[0] * (width - len(r.tokens)) + [1] * len(r.tokens) for r in requests], device=self.device)
        positions = (seen.cumsum(1) - 1).clamp(min=0)
        generators = [torch.Generator().manual_seed(r.sampling.seed) for r in requests]
        limits = [min(r.sampling.max_tokens, self._network.config.max_position_embeddings // 2) for r in requests]
        answers: list[list[int]] = [[] for _ in requests]
        open_rows, cache = set(range(len(requests))), None
        while open_rows:
            said = self._network(
                input_ids=fed, attention_mask=seen, position_ids=positions, past_key_values=cache, logits_to_keep=1
            )
            cache, logits = said.past_key_values, said.logits[:, -1].float().cpu()
            greedy = logits.argmax(dim=1).tolist()
            for row in list(open_rows):
                sampling = requests[row].sampling
                token = _drawn(logits[row], sampling, generators[row]) if sampling.temperature > 0 else greedy[row]
                answers[row].append(token)
                greedy[row] = token
                if token == end or len(answers[row]) >= limits[row]:
                    open_rows.remove(row)
            fed = torch.tensor(greedy, device=self.device)[:, None]
            seen = torch.cat([seen, seen.new_ones(len(requests), 1)], dim=1)
            positions = positions[:, -1:] + 1
        return answers


def _drawn(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """A token from the most probable ones that have the probability top_p together. logits: [V]."""
    probabilities, tokens = (logits / sampling.temperature).softmax(dim=0).sort(descending=True)
    before = probabilities.cumsum(dim=0) - probabilities
    kept = torch.where(before < sampling.top_p, probabilities, 0.0)
    return int(tokens[torch.multinomial(kept, 1, generator=generator)])
