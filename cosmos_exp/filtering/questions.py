"""Yes/no questions about a video to a vision-language model, as probabilities of the good answer.

Cosmos-Reason1's video critic asks several times and counts the answers; here a model says how probable each answer is,
which one question tells as well as many draws of it. A repeat therefore shows other frames. Questions to which yes is
good stand beside others to which no is good, so that a model that says yes to everything gives every candidate a half.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.progress import Tick
from cosmos_exp.filtering.config import FilterConfig
from cosmos_exp.llm.many import complete_all
from cosmos_exp.llm.types import BadAnswer, ChatModel, ChatRequest, Images, Message, Sampling

VERSION = 1
YES, NO = "yes", "no"
SYSTEM = "You judge short videos. Answer with yes or no."
JPEG_QUALITY = 90


def questions_of(config: FilterConfig, style: str, prompt: str) -> Iterator[tuple[str, str, str]]:
    """(question as it is written in the config, as it is asked, good answer)."""
    for texts, good in ((config.questions, YES), (config.defects, NO)):
        for text in texts:
            yield text, text.replace("{style}", style).replace("{prompt}", prompt), good


def judge(
    model: ChatModel,
    config: FilterConfig,
    video: np.ndarray,
    fps: float,
    style: str,
    prompt: str,
    *,
    concurrency: int = 1,
    tick: Tick = lambda done, total: None,
) -> dict[str, list[float]]:
    """{question: probability of its good answer at each repeat}.

    video: uint8 [F,H,W,3]. fps: of it. concurrency: questions at the same time. Raises UserError where nobody answers,
    or the model answers neither yes nor no.
    """
    asked = list(questions_of(config, style, prompt))
    shown = [pictures(video, fps, config.frames, repeat, config.repeats) for repeat in range(config.repeats)]
    requests = [_request(text, images) for images in shown for _, text, _ in asked]
    answers = complete_all(model, requests, concurrency, tick)
    found: dict[str, list[float]] = {text: [] for text, _, _ in asked}
    for number, answer in enumerate(answers):
        text, _, good = asked[number % len(asked)]
        if isinstance(answer, BadAnswer):
            raise UserError(f"filter=vlm: the model answers {answer.text[:200]!r} to {text!r}, neither yes nor no")
        found[text].append(answer.probabilities[good])
    return found


def _request(question: str, images: Images) -> ChatRequest:
    messages = (Message("system", SYSTEM), Message("user", question, images))
    return ChatRequest(messages, Sampling(max_tokens=8), choices=(YES, NO), logprobs=True)


def pictures(video: np.ndarray, fps: float, count: int, repeat: int, repeats: int) -> Images:
    """`count` evenly spaced frames as JPEG, other ones at each repeat where the video has enough.

    Of as many equal parts of the video, the frame at the share (repeat + 1/2) / repeats of each.
    """
    frames = len(video)
    count = min(count, frames)
    at = ((np.arange(count) + (repeat + 0.5) / repeats) * frames / count).astype(int)
    return Images(tuple(_jpeg(video[i]) for i in at), as_video=True, fps=fps * count / frames)


def _jpeg(frame: np.ndarray) -> bytes:
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return encoded.tobytes()
