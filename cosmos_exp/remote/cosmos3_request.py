"""A request to a server of Cosmos3-Nano-Transfer-Auto: its form fields, its files, and what such a server refuses.

The interface is that of vLLM-Omni's multi-view pipeline: one World Scenario map per camera, all cameras in one request.
Most of the rules are checked there after the upload, when the job is at work; here all are checked before it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cosmos_exp.common.errors import repeated, unknown_name
from cosmos_exp.common.views import ALL_VIEWS

CAMERA = "camera_"
"""What a view's name is a camera's with."""
FISHEYES = tuple(f"{side}_fisheye_200fov" for side in ("front", "left", "right", "rear"))
CAMERAS = tuple(f"{CAMERA}{name}" for name in (*ALL_VIEWS, *FISHEYES))

SIZES = {
    "480": {"16:9": (832, 480), "4:3": (736, 544), "1:1": (640, 640), "3:4": (544, 736), "9:16": (480, 832)},
    "720": {"16:9": (1280, 720), "4:3": (1104, 832), "1:1": (960, 960), "3:4": (832, 1104), "9:16": (720, 1280)},
}
"""{resolution: {aspect ratio: (width, height)}}, pixels."""
COMPRESSION = 4
"""Frames of a latent one after the first: frame counts are 1 + 4k."""
TRAINED_FRAMES, TRAINED_FPS = 201, 30.0
USUAL_FRAMES, USUAL_FPS = (24, 400), (10.0, 30.0)
"""Outside of these a server warns that quality may be lower."""
MOST_FILES = 24

RESERVED = (
    *("camera_view", "<camera", "<|", "the video is captured from", "this multiview driving sequence contains"),
    *("follow the wsm", "follow the lidar", "control video precisely:"),
    *("the video has a resolution", "the video is of resolution", "the video has a duration", "this video is of"),
    "seconds long and is of",
)
"""What a view's prompt must not contain, in any case: the server adds its own sentences on camera, size and control."""


@dataclass(frozen=True)
class CameraInput:
    """One view. prompt: plain text about the scene. control, vision: names of its World Scenario map and of the video
    whose first frames are given; None: none are."""

    view: str
    prompt: str
    control: str
    vision: str | None = None


@dataclass(frozen=True)
class TransferRequest:
    """One clip of all views. prompt: of the scene. num_frames: of each view, 1 + 4k. fps: Hz. seed: of the noise.

    guidance_scale: s in uncond + s * (cond - uncond). weight: of the World Scenario maps. negative_prompt: of every
    view; empty: none. given_frames: first frames of the `vision` videos that are kept, 1 + 4k. model: name under which
    the server runs it; None: its only one. The order of the views is that of the result.
    """

    prompt: str
    views: tuple[CameraInput, ...]
    resolution: str
    aspect_ratio: str
    num_frames: int
    fps: float
    num_steps: int
    guidance_scale: float
    seed: int
    weight: float
    flow_shift: float
    control_guidance: float
    emphasize_control: bool
    negative_prompt: str = ""
    given_frames: int = 0
    model: str | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """In the order in which they are uploaded: the controls of all views, then the given frames."""
        given = (view.vision for view in self.views)
        return (*(view.control for view in self.views), *(name for name in given if name is not None))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        return SIZES[self.resolution][self.aspect_ratio]

    def fields(self) -> dict[str, str]:
        """The form. Every value is given, so that none is left to a server's defaults."""
        width, height = self.size
        form = {
            "prompt": self.prompt,
            "num_frames": self.num_frames,
            "fps": self.fps,
            "width": width,
            "height": height,
            "num_inference_steps": self.num_steps,
            "guidance_scale": self.guidance_scale,
            "flow_shift": self.flow_shift,
            "seed": self.seed,
            "extra_params": json.dumps(self._extra_params()),
        }
        return {key: str(value) for key, value in form.items()} | ({"model": self.model} if self.model else {})

    def _extra_params(self) -> dict[str, Any]:
        multiview: dict[str, Any] = {
            "resolution": self.resolution,
            "aspect_ratio": self.aspect_ratio,
            "num_frames": self.num_frames,
            "views": list(self._views()),
        }
        if self.given_frames:
            multiview["condition_video_as_image"] = False
            multiview["condition_frame_indexes_vision"] = list(range(latent_frames(self.given_frames)))
        params = {
            "wsm": {"weight": self.weight},
            "control_guidance": self.control_guidance,
            "emphasize_control_in_prompt": self.emphasize_control,
            "multiview": multiview,
        }
        return params | ({"per_view_negative_prompt": self.negative_prompt} if self.negative_prompt else {})

    def _views(self) -> Iterator[dict[str, Any]]:
        given = len(self.views)
        for number, view in enumerate(self.views):
            own = {"camera_key": f"{CAMERA}{view.view}", "prompt": view.prompt, "control_reference_index": number}
            if view.vision is not None:
                own["vision_reference_index"] = given
                given += 1
            yield own

    @property
    def digest(self) -> str:
        """SHA-256 of the form and the names of its files: where these are hashes of contents, equal requests have one
        digest."""
        return hashlib.sha256(json.dumps([self.fields(), self.files], sort_keys=True).encode()).hexdigest()

    def problems(self) -> Iterator[str]:
        """What a server would refuse, one message per problem."""
        if not self.views:
            yield f"no views: give any of {', '.join(ALL_VIEWS)}"
        yield from repeated("views", [view.view for view in self.views])
        for view in self.views:
            if f"{CAMERA}{view.view}" not in CAMERAS:
                yield unknown_name("view", view.view, [name.removeprefix(CAMERA) for name in CAMERAS])
            yield from (f"the prompt of {view.view}: {problem}" for problem in prompt_problems(view.prompt))
        if not self.prompt.strip():
            yield "the prompt of the scene is empty: write a sentence"
        yield from self._size_problems()
        yield from self._number_problems()
        if len(self.files) > MOST_FILES:
            yield f"{len(self.files)} files: one request takes {MOST_FILES}"

    def _size_problems(self) -> Iterator[str]:
        if self.resolution not in SIZES:
            yield unknown_name("resolution", self.resolution, SIZES)
        elif self.aspect_ratio not in SIZES[self.resolution]:
            yield unknown_name("aspect ratio", self.aspect_ratio, SIZES[self.resolution])
        if not is_frame_count(self.num_frames) or self.num_frames == 1:
            nearest = max(1 + COMPRESSION, nearest_count(self.num_frames))
            yield f"{self.num_frames} frames: a clip has 1 + 4k of them, 5 or more; nearest is {nearest}"
        given = [view.view for view in self.views if view.vision is not None]
        if len(given) not in (0, len(self.views)) or bool(given) != bool(self.given_frames):
            yield f"first frames are given of {', '.join(given) or 'no view'}: give them of all views, or of none"
        elif self.given_frames and not (is_frame_count(self.given_frames) and self.given_frames < self.num_frames):
            yield f"{self.given_frames} given frames: must be 1 + 4k of them, fewer than the clip's {self.num_frames}"

    def _number_problems(self) -> Iterator[str]:
        for name, value, zero in (
            ("fps", self.fps, False),
            ("weight of wsm", self.weight, False),
            ("flow_shift", self.flow_shift, False),
            ("guidance_scale", self.guidance_scale, True),
            ("control_guidance", self.control_guidance, True),
        ):
            yield from positive_problems(name, value, zero=zero)
        if self.num_steps < 1:
            yield f"num_steps={self.num_steps}: must be 1 or more"


def positive_problems(name: str, value: float, *, zero: bool = False) -> Iterator[str]:
    """A message where a value is not finite, below 0, or 0 unless `zero` allows it."""
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        yield f"{name}={value:g}: must be {'0 or more' if zero else 'more than 0'}"


def prompt_problems(text: str) -> Iterator[str]:
    """What a server refuses about the text of a view, one message per problem."""
    if not text.strip():
        yield "is empty: write a sentence about the scene"
    try:
        is_object = isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        is_object = False
    if is_object:
        yield "is a JSON object: give plain text"
    lowered = text.lower()
    found = [*(part for part in RESERVED if part in lowered), *(name for name in CAMERAS if name in text)]
    for part in found:
        yield f"contains {part!r}: leave it out; the server writes of camera, size, duration and control itself"


def is_frame_count(frames: int) -> bool:
    return frames >= 1 and (frames - 1) % COMPRESSION == 0


def nearest_count(frames: int) -> int:
    return 1 + COMPRESSION * max(0, round((frames - 1) / COMPRESSION))


def latent_frames(frames: int) -> int:
    return 1 + (frames - 1) // COMPRESSION
