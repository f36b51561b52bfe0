"""Answers to yes/no questions with their probabilities, as vLLM says them, and the frames that came with a question."""

from __future__ import annotations

import base64
import json
import math

import cv2
import numpy as np

from helpers.chat_server import Body, Send, sends


def says_yes(probability: float) -> Send:
    logs = {"yes": math.log(probability), "no": math.log(1 - probability)}
    said = max(logs, key=logs.__getitem__)
    top = [{"token": token, "logprob": value} for token, value in logs.items()]
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
    choice["logprobs"] = {"content": [{"token": said, "logprob": logs[said], "top_logprobs": top}]}
    return sends(json.dumps({"choices": [choice]}).encode())


def question(body: Body) -> str:
    return body["messages"][-1]["content"][-1]["text"]


def frames_shown(body: Body) -> list[np.ndarray]:
    """uint8 [H,W,3] each."""
    (url,) = (part["video_url"]["url"] for part in body["messages"][-1]["content"] if part["type"] == "video_url")
    jpegs = url.removeprefix("data:video/jpeg;base64,").split(",")
    return [cv2.imdecode(np.frombuffer(base64.b64decode(jpeg), np.uint8), 1) for jpeg in jpegs]
