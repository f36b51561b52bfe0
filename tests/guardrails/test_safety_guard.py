"""open_nsfw is quiet on what is harmless; the released classifier is loaded strictly, tried here with small weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.guard_networks import guard_weights, photograph
from safetensors.torch import load_file, save_file
from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

from cosmos_exp.common.errors import UserError
from cosmos_exp.guardrails.classes import CLASSES
from cosmos_exp.guardrails.config import GuardrailsConfig
from cosmos_exp.guardrails.problems import guardrail_problems
from cosmos_exp.guardrails.safety import CLASSIFIER, GUARDRAIL, SIGLIP, OpenNsfw, SiglipClassifier
from cosmos_exp.guardrails.siglip import classifier, load_classifier
from cosmos_exp.guardrails.videos import VideoGuards, found_faces, video_guards

EMBEDDING = 32


def frames(count: int = 4, level: int = 120) -> np.ndarray:
    return np.full((count, 48, 64, 3), level, np.uint8)


def test_open_nsfw_is_quiet_on_a_portrait_and_on_noise() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1, 144, 256, 3), dtype=np.uint8)
    judge = OpenNsfw(guard_weights(), threshold=0.5)
    assert judge.scores(photograph()[None])[0] < 0.2
    unsafe, said = judge.unsafe(noise)
    assert not unsafe.any() and said["highest_score"] < 0.2


class Fixed:
    """A judge of known opinion."""

    files = ()

    def __init__(self, *unsafe: bool):
        self.opinion = np.array(unsafe)

    def unsafe(self, frames: np.ndarray):
        return self.opinion, {"highest_score": 0.9}

    def record(self):
        return {"network": "fixed"}


@pytest.mark.parametrize(
    ("share", "unsafe", "blocked"), [(0.0, 0, False), (0.0, 1, True), (0.1, 1, False), (0.1, 2, True)]
)
def test_a_clip_is_blocked_where_more_than_the_share_is_unsafe(share: float, unsafe: int, blocked: bool) -> None:
    judge = Fixed(*(number < unsafe for number in range(10)))
    report = VideoGuards(None, judge, share).examine(frames(10))
    assert bool(report["safety"]["found"]) is blocked
    assert report["safety"]["unsafe_frames"] == unsafe
    assert found_faces(report) == []


def test_a_video_without_frames_is_an_error() -> None:
    with pytest.raises(UserError, match="without frames"):
        VideoGuards(None, Fixed(), 0.0).examine(frames(0))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SigLIP of two thin layers, and a classifier that answers with one class, in the layout of the released ones."""
    root = tmp_path_factory.mktemp("checkpoints")
    size = {"hidden_size": EMBEDDING, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {**size, "vocab_size": 99, "max_position_embeddings": 8}
    config = SiglipConfig(text_config=text, vision_config={**size, "image_size": 32, "patch_size": 8})
    torch.manual_seed(0)
    SiglipModel(config).save_pretrained(root / SIGLIP)
    SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(root / SIGLIP)
    write_classifier(root, CLASSES.index("safe"))
    return root


def write_classifier(root: Path, answer: int, **changed) -> Path:
    network = classifier(EMBEDDING)
    with torch.no_grad():
        network[-1].weight.zero_()
        network[-1].bias.zero_()
        network[-1].bias[answer] = 1.0
    state = {f"network.layers.{key}": value for key, value in network.state_dict().items()}
    state |= {"network._extra_state": None}
    for key, value in changed.items():
        state[f"network.layers.{key.replace('_', '.', 1)}"] = value
    path = root / GUARDRAIL / CLASSIFIER
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": {key: value for key, value in state.items() if value is not ...}}, path)
    return path


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("violence", [False, True])
def test_every_class_but_safe_is_unsafe_and_violence_where_the_config_says_so(checkpoints, name, violence) -> None:
    write_classifier(checkpoints, CLASSES.index(name))
    unsafe, said = SiglipClassifier(str(checkpoints), violence).unsafe(frames(9))
    assert unsafe.all() == unsafe.any() == (name != "safe" and (violence or name != "violence"))
    assert said == {"classes": {name: 1.0}}


def test_a_config_with_siglip_judges_with_it(checkpoints: Path) -> None:
    write_classifier(checkpoints, CLASSES.index("hate"))
    config = GuardrailsConfig(safety=True, safety_model="siglip", weights=str(checkpoints))
    assert list(guardrail_problems(config)) == []
    guards = video_guards(config)
    assert guards is not None and guards.examine(frames())["safety"]["found"].startswith("4 of 4 frames are unsafe")
    assert [path.name for path in guards.files] == ["model.safetensors", "safety_filter.pt"]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"0_weight": ...}, "no attribute|KeyError|0.weight|not the classifier"),
        ({"3_bias": ...}, "3.bias is missing"),
        ({"9_bias": torch.zeros(3)}, "9.bias is unknown"),
        ({"6_weight": torch.zeros(8, 256)}, "6.weight has another shape"),
        ({"1_running_var": torch.full((512,), float("nan"))}, "no numbers"),
    ],
)
def test_a_classifier_with_other_tensors_is_refused(tmp_path: Path, changed, told: str) -> None:
    with pytest.raises(UserError, match=told):
        load_classifier(write_classifier(tmp_path, 0, **changed))


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04broken"])
def test_a_damaged_classifier_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "safety_filter.pt").write_bytes(content)
    with pytest.raises(UserError, match="is not the classifier"):
        load_classifier(tmp_path / "safety_filter.pt")


def test_a_classifier_of_other_embeddings_is_refused(checkpoints: Path, tmp_path: Path) -> None:
    other = classifier(EMBEDDING + 1).state_dict()
    (tmp_path / GUARDRAIL / CLASSIFIER).parent.mkdir(parents=True)
    torch.save({"model": {f"network.layers.{k}": v for k, v in other.items()}}, tmp_path / GUARDRAIL / CLASSIFIER)
    (tmp_path / SIGLIP).parent.mkdir(parents=True)
    (tmp_path / SIGLIP).symlink_to(checkpoints / SIGLIP)
    with pytest.raises(UserError, match=f"embeddings of {EMBEDDING}, the classifier reads {EMBEDDING + 1}"):
        SiglipClassifier(str(tmp_path), False).unsafe(frames())


def test_a_siglip_that_lacks_a_tensor_is_refused_and_not_filled_with_random_values(checkpoints, tmp_path: Path) -> None:
    shutil.copytree(checkpoints, tmp_path / "all")
    path = tmp_path / "all" / SIGLIP / "model.safetensors"
    tensors = load_file(path)
    tensors.pop(next(key for key in tensors if key.startswith("vision_model.encoder.layers.1")))
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(UserError, match="no whole SigLIP: 1 tensors are missing"):
        SiglipClassifier(str(tmp_path / "all"), False).unsafe(frames())


def test_what_is_missing_or_out_of_range_is_said_before_a_run(tmp_path: Path) -> None:
    def told(**values) -> str:
        return "\n".join(guardrail_problems(GuardrailsConfig(weights=str(tmp_path), **values)))

    assert told() == ""
    assert "CenterFace is missing" in told(faces=True)
    assert "open_nsfw is missing" in told(safety=True)
    assert "download guardrail siglip" in told(safety=True, safety_model="siglip")
    assert "did you mean 'siglip'" in told(safety=True, safety_model="siglips")
    assert "face_threshold=0" in told(face_threshold=0.0) and "safety_share=1" in told(safety_share=1.0)
    assert "face_size=0" in told(face_size=0) and "no file at" in told(lists=["none.txt"])
    assert "guardrails.endpoint" in told(text_model="Qwen/Qwen3Guard-Gen-0.6B")
    assert "guardrails.text_model, which is not given" in told(endpoint="http://localhost:8000/v1")
    assert "turns off" in told(words=False, allowed=["strip"])
    model = {"text_model": "Qwen/Qwen3Guard-Gen-0.6B", "endpoint": "http://localhost:8000/v1"}
    assert told(**model) == ""
    assert "tells neither" in told(**{**model, "text_model": "gpt"})
