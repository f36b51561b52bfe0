"""Captions by a vision-language model: from the frames of a clip, or a prompt made longer by them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np

from cosmos_exp.captions.asking import Answered, ask
from cosmos_exp.captions.describe import MAX_BYTES
from cosmos_exp.captions.fidelity import (
    Profile,
    Violation,
    form_violations,
    length_violations,
    violations,
)
from cosmos_exp.captions.rewriting import RewriteSettings
from cosmos_exp.captions.style_words import topics_of
from cosmos_exp.llm.types import ChatModel, Images, Message

VERSION = 1
"""Part of cache keys: to be raised where the questions or the choice of frames change."""
JPEG_QUALITY = 90
UPSAMPLED_FRAMES = (0, 1)
"""Those that Cosmos-Transfer1's upsampler looks at."""
EMPTY_PROMPT = "describe the following images"
"""What Cosmos-Transfer1's upsampler is asked without a prompt."""

INSTRUCTIONS = """\
You describe driving videos that a camera on a car has taken. Say what is to be seen: the kind of road and its \
surroundings, the vehicles with their number, kind, colour and place, people, and the state of traffic lights. Say \
nothing of time of day, weather or light, nothing that you only suppose, and nothing of the camera or the car that \
carries it. Plain English in ASCII, whole sentences, one paragraph, no quotation marks, no lists. Keep to the length.
Answer with JSON of the form {"caption": "..."} and nothing else."""

DESCRIPTIONS = {
    "nano": Profile("nano", max_bytes=MAX_BYTES),
    "released": Profile("released", words=(30, 100)),
}
"""Length of a description, which leaves room for the style's words."""


@dataclass(frozen=True)
class Frames:
    """Pictures of one view, in their order. fps: of these frames."""

    jpegs: tuple[bytes, ...]
    fps: float


def uniform_frames(count: int, wanted: int) -> tuple[int, ...]:
    """At most `wanted` indices of `count` frames, evenly spread, the first and the last among them."""
    return tuple(int(i) for i in np.unique(np.linspace(0, count - 1, min(wanted, count)).round()))


def frames_of(video: np.ndarray, indices: tuple[int, ...], fps: float, side: int) -> Frames:
    """JPEGs of frames of uint8 [F,H,W,3], the longer side at most `side` pixels. fps: of the video."""
    apart = (indices[-1] - indices[0]) / (len(indices) - 1) if len(indices) > 1 else 1.0
    return Frames(tuple(_jpeg(video[i], side) for i in indices), fps / apart)


def _jpeg(frame: np.ndarray, side: int) -> bytes:
    height, width = frame.shape[:2]
    scale = min(1.0, side / max(height, width))
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not ok:
        raise ValueError(f"a frame of {width} x {height} pixels cannot be encoded as JPEG")
    return data.tobytes()


def describe_frames(frames: Frames, chat: ChatModel, settings: RewriteSettings, *, instead: str) -> Answered:
    """What is to be seen in the frames, without weather and light. instead: the description that stands in where no
    answer is of the right form. Raises UserError where the model cannot be reached."""
    profile = DESCRIPTIONS[settings.profile.name]
    length = (
        f"{profile.words[0]} to {profile.words[1]} words" if profile.words else f"at most {profile.max_bytes} bytes"
    )
    pictures = Images(frames.jpegs, as_video=len(frames.jpegs) > 1, fps=frames.fps)
    messages = Message("system", INSTRUCTIONS), Message("user", f"Length: {length}", pictures)
    check = partial(description_violations, profile=profile)
    return ask(messages, chat, settings.sampling, settings.attempts, check, lambda: instead)


def description_violations(text: str, profile: Profile) -> tuple[Violation, ...]:
    """What is wrong with a description that is to be read in every style."""
    light = (word for words in topics_of(text).values() for word in words)
    return (
        *form_violations("", text, {}),
        *length_violations(text, profile),
        *(Violation("light", f'say nothing of weather and light, as "{word}"') for word in light),
    )


def upsample(prompt: str, style: str, frames: Frames, chat: ChatModel, settings: RewriteSettings) -> Answered:
    """A prompt made longer by what the frames show, as Cosmos-Transfer1 does it: the pictures, then the prompt, no
    system message, no schema. What the prompt says must stay, the style too. The prompt itself stands in where no
    answer is right."""
    messages = (Message("user", prompt.strip() or EMPTY_PROMPT, Images(frames.jpegs)),)
    check = partial(upsampling_violations, prompt, style=style, profile=settings.profile)
    return ask(messages, chat, settings.sampling, settings.attempts, check, lambda: prompt, schema=None)


def upsampling_violations(prompt: str, text: str, style: str, profile: Profile) -> tuple[Violation, ...]:
    """As of a rewrite, but things may be added. Texts for released models have no least length."""
    longest = replace(profile, words=(1, profile.words[1])) if profile.words else profile
    return tuple(v for v in violations(prompt, text, style, longest) if v.kind != "added")
