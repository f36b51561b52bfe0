"""Language models of a few thousand random weights that real servers load: each byte is a token."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3Config,
    Qwen3ForCausalLM,
)

END, START, STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
VISION = ("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>")
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}"
    "{% if part.type in ('image', 'image_url') %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part.type in ('video', 'video_url') %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VOCABULARY = 320
"""256 bytes and the special tokens, filled up to a multiple of 64."""


def byte_tokenizer(special: tuple[str, ...], **more: object) -> PreTrainedTokenizerFast:
    vocabulary = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(vocabulary)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(special))
    found = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=STOP, pad_token=END, **more)
    found.chat_template = TEMPLATE
    return found


def _sizes(tokenizer: PreTrainedTokenizerFast, hidden: int, length: int) -> dict[str, object]:
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": length,
        "tie_word_embeddings": False,  # tied and random, they repeat the last token
        "initializer_range": 0.1,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
    }


def save_tiny_qwen3(folder: Path, head_dim: int = 32) -> None:
    """A Qwen3 of 100 thousand weights. vLLM has no CPU kernel for a head_dim below 32, which it finds out at the first
    request."""
    tokenizer = byte_tokenizer((END, START, STOP))
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(Qwen3Config(**_sizes(tokenizer, 64, 8192), head_dim=head_dim))
    _save(model, tokenizer, folder)


def save_tiny_qwen_vl(folder: Path) -> None:
    """A Qwen2.5-VL of a million weights, for text, pictures and videos."""
    named = {"image_token": VISION[3], "video_token": VISION[4]}
    tokenizer = byte_tokenizer((END, START, STOP, *VISION), extra_special_tokens=named)
    rope = {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 1e6}
    text = {**_sizes(tokenizer, 128, 16384), "rope_parameters": rope, "rope_scaling": rope, "rope_theta": 1e6}
    vision = {
        "depth": 2,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_heads": 4,
        "out_hidden_size": 128,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 112,
        "fullatt_block_indexes": [1],
        "in_channels": 3,
        "in_chans": 3,
        "tokens_per_second": 2,
    }
    ids = dict(zip(("vision_start", "vision_end", "vision", "image", "video"), VISION))
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        tie_word_embeddings=False,
        **{f"{name}_token_id": tokenizer.convert_tokens_to_ids(token) for name, token in ids.items()},
    )
    torch.manual_seed(0)
    _save(Qwen2_5_VLForConditionalGeneration(config), tokenizer, folder)
    pixels = {
        "min_pixels": 784,
        "max_pixels": 100352,
        "size": {"shortest_edge": 784, "longest_edge": 100352},
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.25, 0.25, 0.25],
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "resample": 3,
        "rescale_factor": 1 / 255,
        "processor_class": "Qwen2_5_VLProcessor",
    }
    for name, kind in (("", "image"), ("video_", "video")):
        processor = {f"{kind}_processor_type": f"Qwen2VL{kind.title()}Processor"}
        (folder / f"{name}preprocessor_config.json").write_text(json.dumps({**pixels, **processor}))


def _save(model, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
