"""Servers that rewrite captions as a language model would, rightly or not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from cosmos_exp.captions.rewrite import rewrite
from helpers.chat_server import ChatServer, Send, says

Say = Callable[[str, str, int], str]
"""(caption, style, number of the attempt from 0): the text."""


def faithful(caption: str, style: str, attempt: int) -> str:
    return rewrite(caption, style, 1)


def careless_at_first(caption: str, style: str, attempt: int) -> str:
    """Adds a bus until it is told not to."""
    return rewrite(caption, style, 1) + (" A bus waits." if attempt == 0 else "")


def wrong(caption: str, style: str, attempt: int) -> str:
    return f"A purple van drives by in style {style}."


def server_that(say: Say = faithful) -> ChatServer:
    def answer(body: dict[str, Any]) -> Send:
        turns = [message["content"] for message in body["messages"] if message["role"] == "user"]
        asked = re.match(r"Styles?: (?P<styles>.*)\nLength: .*\nCaption: (?P<caption>.*)", turns[0])
        assert asked, turns[0]
        texts = {style: say(asked["caption"], style, len(turns) - 1) for style in asked["styles"].split(", ")}
        wanted = body["response_format"]["json_schema"]["schema"]["properties"]
        return says(json.dumps({"caption": next(iter(texts.values()))} if "caption" in wanted else texts))

    return ChatServer(answer=answer)
