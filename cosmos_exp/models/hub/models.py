"""The released models: their repositories, and the few files of each that inference needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from cosmos_exp.common.errors import UserError, unknown_name

TRANSFER = "nvidia/Cosmos-Transfer1-7B"
SAMPLE_AV = "nvidia/Cosmos-Transfer1-7B-Sample-AV"
MULTI_VIEW = "nvidia/Cosmos-Transfer1-7B-Sample-AV-Single2MultiView"

BASE = ("base_model.pt",)
SHARED = ("tokenizer", "t5_11b")
TRANSFER25 = "nvidia/Cosmos-Transfer2.5-2B"
SHARED25 = ("wan_tokenizer", "cosmos_reason1")


@dataclass(frozen=True)
class Model:
    """One name that can be downloaded.

    `files` are names or patterns (`*` matches across folders) in `repo`; `controls` has one more file for each control;
    those in `on_request` are fetched only when named. `needs` are the models without which this one cannot run.
    """

    summary: str
    repo: str
    files: tuple[str, ...]
    controls: Mapping[str, str] = field(default_factory=dict)
    on_request: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


def _controls(*names: str, prefix: str = "") -> dict[str, str]:
    return {name: f"{prefix}{name}_control.pt" for name in names}


def _multi_view(kind: str, summary: str) -> Model:
    controls = _controls("hdmap", "lidar", prefix=f"{kind}_") | {"hdmap_waymo": f"{kind}_hdmap_control_waymo.pt"}
    return Model(summary, MULTI_VIEW, (f"{kind}_base_model.pt",), controls, ("hdmap_waymo",), SHARED)


GENERAL_FILES = {
    "edge": "general/edge/61f5694b-0ad5-4ecd-8ad7-c8545627d125_ema_bf16.pt",
    "vis": "general/blur/ba2f44f2-c726-4fe7-949f-597069d9b91c_ema_bf16.pt",
    "depth": "general/depth/626e6618-bfcd-4d9a-a077-1409e2ce353f_ema_bf16.pt",
    "seg": "general/seg/5136ef49-6d8d-42e8-8abf-7dac722a304a_ema_bf16.pt",
}
"""Of the single-view networks of Cosmos-Transfer2.5, in the order of the branches of the one that has them all."""


def _general(summary: str, *controls: str) -> Model:
    files = tuple(GENERAL_FILES[name] for name in controls)
    return Model(f"Cosmos-Transfer2.5, single view, {summary}", TRANSFER25, files, needs=SHARED25)


MODELS: dict[str, Model] = {
    "transfer1_7b": Model(
        "single view, five controls", TRANSFER, BASE, _controls("vis", "edge", "depth", "seg", "keypoint"), needs=SHARED
    ),
    "transfer1_7b_av": Model(
        "single view for driving (Sample-AV)", SAMPLE_AV, BASE, _controls("hdmap", "lidar"), needs=SHARED
    ),
    "single2multiview_t2w": _multi_view("t2w", "front view to six views, first clip"),
    "single2multiview_v2w": _multi_view("v2w", "front view to six views, following clips"),
    "edge_distilled": Model(
        "one-step edge model, base and control in one file", TRANSFER, ("edge_control_distilled.pt",), needs=SHARED
    ),
    "upscaler_4k": Model("4K upscaler", TRANSFER, (*BASE, "4kupscaler_control.pt"), needs=SHARED),
    "transfer25_auto_multiview": Model(
        "Cosmos-Transfer2.5, seven views from World Scenario maps",
        TRANSFER25,
        ("auto/multiview/4ecc66e9-df19-4aed-9802-0d11e057287a_ema_bf16.pt",),
        needs=SHARED25,
    ),
    **{f"transfer25_{name}": _general(f"control {name}", name) for name in GENERAL_FILES},
    "transfer25_general": _general("all four controls", *GENERAL_FILES),
    "wan_tokenizer": Model("video tokenizer of Cosmos-Transfer2.5", "nvidia/Cosmos-Predict2.5-2B", ("tokenizer.pth",)),
    "cosmos_reason1": Model(
        "text encoder of Cosmos-Transfer2.5, and a vision-language model",
        "nvidia/Cosmos-Reason1-7B",
        ("*config.json", "merges.txt", "tokenizer.json", "vocab.json", "chat_template.json", "model*.safetensors*"),
    ),
    "tokenizer": Model(
        "video tokenizer CV8x8x8-720p",
        "nvidia/Cosmos-Tokenize1-CV8x8x8-720p",
        ("encoder.jit", "decoder.jit", "autoencoder.jit", "mean_std.pt"),
    ),
    "t5_11b": Model(
        "text encoder; the repository keeps it in one file with its decoder",
        "google-t5/t5-11b",
        ("config.json", "spiece.model", "tokenizer.json", "pytorch_model.bin"),
    ),
    "guardrail": Model(
        "word lists, video filter and face filter",
        "nvidia/Cosmos-Guardrail1",
        ("blocklist/*", "video_content_safety_filter/*", "face_blur_filter/*"),
        needs=("llama_guard", "siglip"),
    ),
    "siglip": Model(
        "image encoder of the video filter",
        "google/siglip-so400m-patch14-384",
        ("config.json", "preprocessor_config.json", "model.safetensors"),
    ),
    "qwen3guard": Model(
        "prompt filter of Cosmos-Transfer2.5",
        "Qwen/Qwen3Guard-Gen-0.6B",
        ("*config.json", "merges.txt", "tokenizer.json", "vocab.json", "model*.safetensors*"),
    ),
    "llama_guard": Model(
        "prompt filter, gated",
        "meta-llama/Llama-Guard-3-8B",
        ("*config.json", "special_tokens_map.json", "tokenizer.json", "model*.safetensors*"),
    ),
    "prompt_upsampler": Model(
        "12B language model that lengthens prompts",
        "nvidia/Cosmos-UpsamplePrompt1-12B-Transfer",
        ("consolidated.safetensors", "params.json", "tekken.json"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is wanted of one repository."""

    repo: str
    revision: str
    patterns: tuple[str, ...]
    models: tuple[str, ...]


def requests(
    names: Sequence[str], *, controls: Collection[str] | None = None, revision: str | None = None, alone: bool = False
) -> list[Request]:
    """What `names` stand for, one request for each repository, in the order of the table.

    `controls` None is every control but those on request. `revision` holds for the one repository that `names` share;
    `alone` leaves out what the models need besides themselves. UserError for unknown names and ambiguous revisions.
    """
    for name in names:
        if name not in MODELS:
            raise UserError(unknown_name("model", name, MODELS))
    _check_controls(names, controls or ())
    repos = {MODELS[name].repo for name in names}
    if revision is not None and len(repos) > 1:
        raise UserError(f"revision {revision!r} is of one repository, these models have {len(repos)}: name them apart")
    chosen = {*names, *(() if alone else _needed(names))}
    models: dict[str, list[str]] = {}
    for name in (name for name in MODELS if name in chosen):
        models.setdefault(MODELS[name].repo, []).append(name)
    return [
        Request(
            repo=repo,
            revision=revision if revision is not None and repo in repos else "main",
            patterns=tuple(dict.fromkeys(f for name in own for f in _files(name, controls if name in names else None))),
            models=tuple(own),
        )
        for repo, own in models.items()
    ]


def _needed(names: Sequence[str]) -> list[str]:
    """What the models need, and what that needs."""
    return [found for name in names for need in MODELS[name].needs for found in (need, *_needed([need]))]


def _check_controls(names: Sequence[str], controls: Collection[str]) -> None:
    """UserError unless each control is one of the models' own, and each model with controls gets some."""
    known = list(dict.fromkeys(control for name in names for control in MODELS[name].controls))
    for control in controls:
        if not known:
            raise UserError(f"{', '.join(names)} has no controls to choose from, but --controls names {control!r}")
        if control not in known:
            raise UserError(unknown_name(f"control of {', '.join(names)}", control, known))
    for name in names:
        own = MODELS[name].controls
        if controls and own and not set(own) & set(controls):
            raise UserError(f"none of the controls {', '.join(controls)} is one of {name}'s: {', '.join(own)}")


def _files(name: str, controls: Collection[str] | None) -> list[str]:
    model = MODELS[name]
    wanted = set(model.controls) - set(model.on_request) if controls is None else set(controls)
    return [*model.files, *(file for control, file in model.controls.items() if control in wanted)]
