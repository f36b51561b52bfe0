"""A Hub with the released repositories in miniature, which the command under test is pointed at."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.hub_server import Hub, Repo, point_at
from huggingface_hub import constants

from cosmos_exp.models.hub.models import MULTI_VIEW, SAMPLE_AV, TRANSFER


def _bytes(name: str, count: int = 3000) -> bytes:
    return random.Random(name).randbytes(count)


def _repo(*names: str, **options) -> Repo:
    return Repo({name: _bytes(name) for name in names}, **options)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    controls = [f"{name}_control.pt" for name in ("vis", "edge", "depth", "seg", "keypoint", "4kupscaler")]
    hub = Hub(
        {
            TRANSFER: _repo("README.md", "config.json", "base_model.pt", "edge_control_distilled.pt", *controls),
            SAMPLE_AV: _repo("README.md", "base_model.pt", "hdmap_control.pt", "lidar_control.pt"),
            MULTI_VIEW: _repo("t2w_base_model.pt", "t2w_hdmap_control.pt", "t2w_lidar_control.pt"),
            "nvidia/Cosmos-Tokenize1-CV8x8x8-720p": _repo(
                "model.pt", "encoder.jit", "decoder.jit", "autoencoder.jit", "mean_std.pt"
            ),
            "google-t5/t5-11b": _repo(
                "config.json", "spiece.model", "tokenizer.json", "pytorch_model.bin", "tf_model.h5"
            ),
            "nvidia/Cosmos-Guardrail1": _repo(
                "README.md",
                "blocklist/exact/words",
                "video_content_safety_filter/f.pt",
                "face_blur_filter/Resnet50.pth",
            ),
            "meta-llama/Llama-Guard-3-8B": _repo(
                "LICENSE",
                "config.json",
                "generation_config.json",
                "tokenizer_config.json",
                "special_tokens_map.json",
                "tokenizer.json",
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "model.safetensors.index.json",
                "original/consolidated.00.pth",
                gated=True,
                members=("hf_member",),
            ),
        }
    )
    point_at(hub.address, monkeypatch)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "no_cache"))
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100)
    yield hub
    hub.close()
