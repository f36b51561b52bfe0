"""Training of the rewriter that ships: a language model over bytes that answers requests for rewritten captions.

Its conversations are pairs of `captions/grammar.py` in the messages of `captions/messages.py`. A pair is a function of
its seed; those of seeds from HELD_OUT_SEED on are never trained on. The loss is the cross entropy of the answer's
bytes.
"""

from __future__ import annotations

import json
import multiprocessing as mp
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast
from transformers.models.qwen3 import Qwen3Config, Qwen3ForCausalLM

from cosmos_exp.captions.grammar import Pair, pair
from cosmos_exp.captions.messages import rewrite_messages
from cosmos_exp.common.files import write_json
from cosmos_exp.common.guards import read_json
from cosmos_exp.llm.nano import load_rewriter
from cosmos_exp.train.loop import LoopParams, StepProgress, run_loop
from cosmos_exp.train.npz_files import load_npz, save_npz

HELD_OUT_SEED = 1_000_000_000
PAD, USER, ASSISTANT, END = range(4)
SPECIAL = ("<|pad|>", "<|user|>", "<|assistant|>", "<|end|>")  # before the 256 bytes in the vocabulary
TEMPLATE = (  # the first user message alone: instructions and what is wrong with an earlier answer are for others
    "{%- set asked = messages | selectattr('role', 'equalto', 'user') | first -%}"
    "<|user|>{{ asked.content }}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CHUNK = 10_000  # pairs of a file
USUAL_LENGTH = 320  # tokens
STEP_OF_LENGTH = 64  # batches are padded to multiples of this many tokens


@dataclass
class RewriterConfig:
    """num_pairs pairs with seeds from first_seed on. start: folder of a model whose weights are gone on from, null for
    random ones."""

    loop: LoopParams = field(
        default_factory=lambda: LoopParams(num_steps=9000, batch_size=512, lr=2e-3, warmup_steps=300, weight_decay=0.05)
    )
    num_pairs: int = 1_000_000
    first_seed: int = 0
    start: str | None = None
    num_held_out: int = 512
    hidden_size: int = 256
    intermediate_size: int = 704
    num_layers: int = 6
    num_heads: int = 4


def new_network(config: RewriterConfig) -> Qwen3ForCausalLM:
    """With the weights of `config.start`, or random ones. Heads have 64 channels; two share a key and a value."""
    if config.start is not None:
        return load_rewriter(Path(config.start))
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=320,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            num_key_value_heads=max(1, config.num_heads // 2),
            head_dim=64,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=END,
            pad_token_id=PAD,
        )
    )


def new_tokenizer() -> PreTrainedTokenizerFast:
    """Over bytes; token i of SPECIAL is i, and the bytes follow in the order of the byte-level alphabet."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate((*SPECIAL, *alphabet))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=SPECIAL[END], pad_token=SPECIAL[PAD])
    fast.chat_template = TEMPLATE
    return fast


def save_rewriter(network: Qwen3ForCausalLM, folder: Path) -> None:
    """As Hugging Face folders are: weights in bfloat16, tokenizer, chat template."""
    folder.mkdir(parents=True, exist_ok=True)
    rounded = Qwen3ForCausalLM(network.config)
    rounded.load_state_dict(network.state_dict())
    rounded.to(torch.bfloat16).save_pretrained(folder)
    new_tokenizer().save_pretrained(folder)
    path = folder / "tokenizer_config.json"  # the name of the class that other versions of transformers know too
    write_json(path, {**read_json("tokenizer", path), "tokenizer_class": "PreTrainedTokenizerFast"})


def conversation(tokenizer: PreTrainedTokenizerFast, example: Pair) -> tuple[list[int], list[int]]:
    """Tokens of the request and of the answer."""
    profile = example.profile
    limit = None if profile.words else profile.max_bytes
    _, asked = rewrite_messages(example.caption, example.style, max_bytes=limit, words=profile.words)
    answer = json.dumps({"caption": example.rewritten})
    request, said = tokenizer([asked.text, answer], add_special_tokens=False).input_ids
    return [USER, *request, ASSISTANT], [*said, END]


@dataclass(frozen=True)
class Conversations:
    """tokens: uint16, one conversation after the other; lengths: int32 [N,2] of request and answer."""

    tokens: np.ndarray
    lengths: np.ndarray

    def save(self, path: Path) -> None:
        save_npz(path, vars(self))

    @classmethod
    def load(cls, path: Path) -> Conversations:
        return cls(**load_npz("training conversations", path))


def conversations(seeds: range) -> Conversations:
    tokenizer = new_tokenizer()
    told = [conversation(tokenizer, pair(seed)) for seed in seeds]
    tokens = [token for request, answer in told for token in (*request, *answer)]
    lengths = [(len(request), len(answer)) for request, answer in told]
    return Conversations(np.array(tokens, np.uint16), np.array(lengths, np.int32))


def _work(job: tuple[range, str]) -> str:
    seeds, path = job
    if not Path(path).exists():
        conversations(seeds).save(Path(path))
    return path


def write_conversations(seeds: range, folder: Path, num_workers: int) -> Iterator[Path]:
    """Files of CHUNK conversations each, as they are finished; what is there stays. One worker is this process."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [range(first, min(first + CHUNK, seeds.stop)) for first in range(seeds.start, seeds.stop, CHUNK)]
    jobs = [(part, str(folder / f"{part.start}_{part.stop}.npz")) for part in parts]
    if num_workers <= 1:
        yield from (Path(_work(job)) for job in jobs)
        return
    with mp.get_context("spawn").Pool(num_workers) as pool:
        for path in pool.imap(_work, jobs):
            yield Path(path)


class ConversationBank:
    """Conversations held on the device. A batch is of neighbours in length, so that little is padded."""

    def __init__(self, parts: list[Conversations], device: torch.device):
        lengths = np.concatenate([part.lengths for part in parts])
        totals = lengths.sum(axis=1)
        order = np.argsort(totals, kind="stable")
        starts = np.cumsum(totals) - totals
        self.tokens = torch.from_numpy(np.concatenate([p.tokens for p in parts]).astype(np.int16)).to(device)
        self.starts = torch.from_numpy(starts[order]).to(device)
        self.requests = torch.from_numpy(lengths[order, 0].astype(np.int64)).to(device)
        self.totals = torch.from_numpy(totals[order].astype(np.int64)).to(device)

    def __len__(self) -> int:
        return len(self.starts)

    def sample(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """tokens, targets: int64 [B,T]; targets are -100 but for the answer's tokens.

        B is `size` where conversations have USUAL_LENGTH tokens, less where they have more.
        """
        first = int(torch.randint(len(self), (), generator=generator, device=self.tokens.device))
        number = max(1, size * USUAL_LENGTH // max(USUAL_LENGTH, int(self.totals[first])))
        first = max(0, min(first, len(self) - number))
        return self.rows(slice(first, first + number))

    def rows(self, which: slice) -> tuple[Tensor, Tensor]:
        starts, requests, totals = self.starts[which], self.requests[which], self.totals[which]
        width = -(-int(totals.max()) // STEP_OF_LENGTH) * STEP_OF_LENGTH
        at = torch.arange(width, device=starts.device)
        places = (starts[:, None] + at).clamp(max=len(self.tokens) - 1)
        tokens = torch.where(at < totals[:, None], self.tokens[places].long(), PAD)
        answered = (at >= requests[:, None]) & (at < totals[:, None])
        return tokens, torch.where(answered, tokens, -100)


def answer_loss(network: Qwen3ForCausalLM, tokens: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean cross entropy of the answers' tokens, in nats; and the share of tokens that are the likeliest."""
    with torch.autocast(tokens.device.type, torch.bfloat16, enabled=tokens.device.type == "cuda"):
        hidden = network.model(input_ids=tokens, use_cache=False).last_hidden_state[:, :-1]
        wanted = targets[:, 1:]
        chosen = wanted >= 0
        logits = network.lm_head(hidden[chosen]).float()
    right = (logits.argmax(dim=-1) == wanted[chosen]).float().mean()
    return F.cross_entropy(logits, wanted[chosen]), {"right": right}


def train_rewriter(
    network: Qwen3ForCausalLM,
    bank: ConversationBank,
    loop: LoopParams,
    folder: Path,
    *,
    progress: StepProgress | None = None,
) -> bool:
    """Train in place. True when all steps are done."""

    def loss_function(generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        return answer_loss(network, *bank.sample(loop.batch_size, generator))

    return run_loop(network, loss_function, loop, folder, progress=progress)


@torch.no_grad()
def held_out_loss(network: Qwen3ForCausalLM, number: int, device: torch.device) -> dict[str, Any]:
    """Of pairs that are never trained on."""
    bank = ConversationBank([conversations(range(HELD_OUT_SEED, HELD_OUT_SEED + number))], device)
    sums = {"loss": 0.0, "right": 0.0}
    for start in range(0, number, 128):
        tokens, targets = bank.rows(slice(start, start + 128))
        loss, scalars = answer_loss(network, tokens, targets)
        for name, value in {"loss": loss, **scalars}.items():
            sums[name] += float(value) * len(tokens) / number
    return {"pairs": number, **{name: round(value, 5) for name, value in sums.items()}}
