"""The released Cosmos-Transfer1 models: sizes, contracts, and which published file holds which part."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.views import VIEWS
from cosmos_exp.models.contract import GUIDANCE, Clip, Contract
from cosmos_exp.models.transfer1.config import SAMPLE_AV_7B, SINGLE2MULTIVIEW_7B, TRANSFER1_7B, DiTConfig
from cosmos_exp.sampling.frame_rule import FrameRule

TRANSFER1 = "nvidia/Cosmos-Transfer1-7B"
SAMPLE_AV = "nvidia/Cosmos-Transfer1-7B-Sample-AV"
SINGLE2MULTIVIEW = "nvidia/Cosmos-Transfer1-7B-Sample-AV-Single2MultiView"
TOKENIZER = "nvidia/Cosmos-Tokenize1-CV8x8x8-720p"
T5 = "google-t5/t5-11b"

FPS, TEXT_TOKENS = 24.0, 512
SIZES = ((704, 1280), (960, 960), (704, 960), (960, 704), (1280, 704))  # height, width
CHUNK = FrameRule(least=121, most=121)
MULTI_VIEW_CLIP = Clip(height=576, width=1024, frames=FrameRule(least=57, most=57))
WAYMO_VIEWS = tuple(view for view in VIEWS if view != "rear_tele_30fov")
ZERO_TEXT = "; the unconditional pass of the multi-view net reads all-zero text"
DISTILLED = "0: guidance is distilled into the network, one conditional evaluation makes the clip"

# What Cosmos-Transfer1 steers away from. Input data of the released models: results depend on the exact words.
NEGATIVE_PROMPT = (
    "The video captures a game playing, with bad crappy graphics and cartoonish frames. It represents a recording of "
    "old outdated games. The lighting looks very fake. The textures are very raw and basic. The geometries are very "
    "primitive. The images are very pixelated and of poor CG quality. There are many subtitles in the footage. "
    "Overall, the video is unrealistic at all."
)

TOKENIZER_SIZE = {
    "stat_frames": 16,
    "vae": {
        "encoder_block_out_channels": (128, 256, 512, 512),
        "decode_block_out_channels": (256, 512, 512, 512),
        "attention_resolutions": (32,),
        "resolution": 1024,
        "num_layers": 2,
        "patch_size": 4,
    },
}
T5_SIZE = {
    "vocabulary": "tokenizer.json",
    "vocab_size": 32128,
    "d_model": 1024,
    "d_kv": 128,
    "d_ff": 65536,
    "num_layers": 24,
    "num_heads": 128,
    "feed_forward_proj": "relu",
}


@dataclass(frozen=True)
class Net:
    """One stage's networks: a base, an encoder per control, and the published files that hold them."""

    repository: str
    base: DiTConfig
    base_file: str
    controls: dict[str, str]  # name -> file
    hint_channels: int = 16

    def only(self, controls: Collection[str]) -> Net:
        return replace(self, controls={name: file for name, file in self.controls.items() if name in controls})

    def config(self) -> dict[str, Any]:
        encoder = self.base.control(hint_channels=self.hint_channels)
        return {"base": self.base.to_dict(), "controls": {name: encoder.to_dict() for name in self.controls}}


@dataclass(frozen=True)
class Released:
    """download: what to give `cosmos-exp download` to have every file."""

    contract: Contract
    single_view: Net
    multi_view: Net | None = None
    download: str = ""


def _transfer1(controls: dict[str, str], base_file: str = "base_model.pt") -> Net:
    return Net(TRANSFER1, TRANSFER1_7B, base_file, controls, hint_channels=128)


def _single(net: Net, download: str, **changes: Any) -> Released:
    values = {
        "height": SIZES[0][0],
        "width": SIZES[0][1],
        "fps": FPS,
        "frames": CHUNK,
        "views": VIEWS[:1],
        "controls": tuple(net.controls),
        "multi_view_controls": (),
        "text_tokens": TEXT_TOKENS,
        "negative_prompt": NEGATIVE_PROMPT,
        "sizes": SIZES,
    }
    return Released(Contract(**{**values, **changes}), net, download=download)


def _multi(kind: str, controls: dict[str, str], views: tuple[str, ...], extra: str = "") -> Released:
    """Sample-AV makes the front view, Single2MultiView the others from it."""
    ids = tuple(VIEWS.index(view) for view in views)
    base = replace(SINGLE2MULTIVIEW_7B, num_views=len(views), view_ids=None if views == VIEWS else ids)
    multi = Net(SINGLE2MULTIVIEW, base, f"{kind}_base_model.pt", controls)
    front = _single(AV, "transfer1_7b_av")
    contract = replace(
        front.contract,
        views=views,
        multi_view_controls=tuple(controls),
        multi_view_clip=MULTI_VIEW_CLIP,
        multi_view_overlaps=(1, 9) if kind == "v2w" else (),
        guidance=GUIDANCE + ZERO_TEXT,
    )
    return Released(contract, front.single_view, multi, f"transfer1_7b_av single2multiview_{kind}{extra}")


AV = Net(SAMPLE_AV, SAMPLE_AV_7B, "base_model.pt", {name: f"{name}_control.pt" for name in ("hdmap", "lidar")})
DISTILLED_EDGE = "edge_control_distilled.pt"

MODELS: dict[str, Released] = {
    "transfer1_7b": _single(
        _transfer1({name: f"{name}_control.pt" for name in ("vis", "edge", "depth", "seg", "keypoint")}),
        "transfer1_7b",
        overlaps=(1,),
    ),
    "transfer1_7b_av": _single(AV, "transfer1_7b_av"),
    **{
        f"single2multiview_{kind}": _multi(
            kind, {name: f"{kind}_{name}_control.pt" for name in ("hdmap", "lidar")}, VIEWS
        )
        for kind in ("t2w", "v2w")
    },
    **{
        f"single2multiview_{kind}_waymo": _multi(
            kind,
            {"hdmap": f"{kind}_hdmap_control_waymo.pt"},
            WAYMO_VIEWS,
            extra=" --controls hdmap,lidar,hdmap_waymo",
        )
        for kind in ("t2w", "v2w")
    },
    "edge_distilled": _single(
        _transfer1({"edge": DISTILLED_EDGE}, base_file=DISTILLED_EDGE),
        "edge_distilled",
        num_steps=1,
        guidance=DISTILLED,
    ),
    "upscaler_4k": _single(
        _transfer1({"upscale": "4kupscaler_control.pt"}),
        "upscaler_4k",
        height=2112,
        width=3840,
        sizes=(),
        tile=SIZES[0],
        overlaps=(1,),
    ),
}


def find_released(name: str, controls: Collection[str] | None = None) -> Released:
    """A released model, with these of its controls only."""
    if name not in MODELS:
        raise UserError(unknown_name("released model", name, MODELS))
    model = MODELS[name]
    if controls is None:
        return model
    for control in controls:
        if control not in model.contract.controls:
            raise UserError(unknown_name(f"control of {name}", control, model.contract.controls))
    contract = replace(
        model.contract,
        controls=tuple(c for c in model.contract.controls if c in controls),
        multi_view_controls=tuple(c for c in model.contract.multi_view_controls if c in controls),
    )
    multi = model.multi_view and model.multi_view.only(controls)
    return replace(model, contract=contract, single_view=model.single_view.only(controls), multi_view=multi)


def released_config(name: str, controls: Collection[str] | None = None) -> dict[str, Any]:
    """Plain values for `WorldModel`, like `nano_config`. multi_view is None where there is no such net."""
    released = find_released(name, controls)
    return {
        "name": name,
        "contract": released.contract.to_dict(),
        "tokenizer": TOKENIZER_SIZE,
        "text_encoder": T5_SIZE,
        "single_view": released.single_view.config(),
        "multi_view": released.multi_view.config() if released.multi_view else None,
    }


def released_files(name: str, controls: Collection[str] | None = None) -> dict[str, tuple[str, tuple[str, ...]]]:
    """{part: (repository, files)} of a model; a part is the stem of a weights file of a model folder."""
    released = find_released(name, controls)
    found: dict[str, tuple[str, tuple[str, ...]]] = {
        "tokenizer": (TOKENIZER, ("encoder.jit", "decoder.jit", "mean_std.pt")),
        "text_encoder": (T5, ("pytorch_model.bin", "tokenizer.json")),
    }
    for prefix, net in (("", released.single_view), ("multiview_", released.multi_view)):
        if net is not None:
            found[f"{prefix}base"] = (net.repository, (net.base_file,))
            for control, file in net.controls.items():
                found[f"{prefix}control_{control}"] = (net.repository, (file,))
    return found


def models_root() -> Path:
    """Where a model is looked for by its name: $COSMOS_EXP_MODELS, else ~/.cache/cosmos-exp/models."""
    given = os.environ.get("COSMOS_EXP_MODELS")
    return Path(given) if given else Path.home() / ".cache" / "cosmos-exp" / "models"


def how_to_get(name: str, download: str, folder: Path) -> str:
    """The commands that fill a model's folder. download: what `cosmos-exp download` calls the model."""
    return (
        f"get them with `cosmos-exp download {download}`, then `cosmos-exp convert checkpoint "
        f"checkpoints -o {folder} --model {name}`; a folder elsewhere is given as model.weights=FOLDER"
    )
