"""The stage that trains the rewriter, at toy size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_module

from cosmos_exp.captions.grammar import pair
from cosmos_exp.captions.messages import rewrite_messages
from cosmos_exp.llm.nano import NanoRewriter
from cosmos_exp.llm.types import BadAnswer, ChatRequest, Sampling
from cosmos_exp.train import main as train_main
from cosmos_exp.train.rewriter import (
    HELD_OUT_SEED,
    ConversationBank,
    RewriterConfig,
    conversation,
    conversations,
    new_tokenizer,
    write_conversations,
)

SIZES = ("hidden_size=32", "intermediate_size=64", "num_layers=1", "num_heads=2", "num_held_out=8", "num_pairs=40")
LOOP = ("num_steps=16", "batch_size=4", "lr=0.01", "warmup_steps=2", "ema=0.5", "log_every=15")


def train(folder: Path, *overrides: str) -> None:
    settings = [*(f"rewriter.{s}" for s in SIZES), *(f"rewriter.loop.{s}" for s in LOOP), *overrides]
    with initialize_config_module("cosmos_exp.conf", version_base="1.3"):
        stage = ["stages=[rewriter]", f"folder={folder}", "device=cpu", "num_workers=1"]
        train_main.run(compose("train", overrides=[*stage, *settings]))


def test_the_stage_ends_in_a_model_that_answers(tmp_path: Path):
    train(tmp_path)
    first, last = map(json.loads, (tmp_path / "rewriter" / "log.jsonl").read_text().splitlines())
    assert last["loss"] < 0.8 * first["loss"]
    assert json.loads((tmp_path / "rewriter" / "held_out.json").read_text())["pairs"] == 8
    chat = NanoRewriter(tmp_path / "rewriter_model")
    request = ChatRequest(rewrite_messages("A red car.", "Night", max_bytes=150), Sampling(max_tokens=5))
    with pytest.raises(BadAnswer, match="cut off after 5 bytes"):
        chat.complete(request)
    weights = (tmp_path / "rewriter_model" / "model.safetensors").read_bytes()
    train(tmp_path)  # nothing is left to do
    assert (tmp_path / "rewriter_model" / "model.safetensors").read_bytes() == weights
    train(tmp_path / "more", f"rewriter.start={tmp_path}/rewriter_model", "rewriter.loop.num_steps=1")
    rows = (tmp_path / "more" / "rewriter" / "log.jsonl").read_text().splitlines()
    assert json.loads(rows[0])["loss"] < first["loss"]


def test_the_template_says_what_the_model_was_trained_on():
    """And nothing of the instructions and of what was wrong with an answer."""
    tokenizer, example = new_tokenizer(), pair(0)
    asked = conversation(tokenizer, example)[0]
    profile = example.profile
    limits = {"words": profile.words} if profile.words else {"max_bytes": profile.max_bytes}
    turns = [{"role": m.role, "content": m.text} for m in rewrite_messages(example.caption, example.style, **limits)]
    turns += [{"role": "assistant", "content": "no"}, {"role": "user", "content": "again"}]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert tokenizer(text).input_ids == asked


def test_a_batch_has_targets_where_the_answers_are():
    told = conversations(range(30))
    bank = ConversationBank([told], torch.device("cpu"))
    tokens, targets = bank.sample(5, torch.Generator().manual_seed(0))
    answers = new_tokenizer().batch_decode([row[row >= 0] for row in targets], skip_special_tokens=True)
    assert len(bank) == 30 and tokens.shape == targets.shape and tokens.shape[1] % 64 == 0
    assert all(json.loads(answer).keys() == {"caption"} for answer in answers)
    assert torch.equal(tokens[targets >= 0], targets[targets >= 0])


def test_files_that_are_there_stay(tmp_path: Path):
    (path,) = write_conversations(range(3), tmp_path, 1)
    path.write_bytes(b"kept")
    assert [p.read_bytes() for p in write_conversations(range(3), tmp_path, 1)] == [b"kept"]


def test_held_out_seeds_are_not_trained_on():
    config = RewriterConfig()
    assert config.first_seed + config.num_pairs <= HELD_OUT_SEED
