"""How fast captions are rewritten by a server of language models: requests per second, one by one and many at once.

python -m benchmarks.llm --endpoint http://127.0.0.1:8000 --model NAME [--captions 1000] [--alone 50] [--markdown]

Each caption is asked for in seven styles, as captions=rewrite does. --alone: so many requests are timed one by one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from cosmos_exp.captions.messages import Rewritten, rewrite_messages
from cosmos_exp.common.progress import steps
from cosmos_exp.common.styles import STYLES
from cosmos_exp.llm.client import OpenAIChat
from cosmos_exp.llm.config import LLMConfig
from cosmos_exp.llm.many import complete_all
from cosmos_exp.llm.types import BadAnswer, ChatRequest, Sampling

AT_ONCE = (1, 4, 16, 64)
COLOURS, KINDS = ("red", "white", "black", "blue"), ("car", "van", "bus", "truck", "bicycle")
ROADS = ("a street with trees", "a highway", "an intersection", "a road between houses")


class Speed(NamedTuple):
    """at_once: requests at the same time. bad: answers that were not of the form that was asked for."""

    at_once: int
    requests: int
    seconds: float
    bad: int


def requests(captions: int, max_tokens: int) -> list[ChatRequest]:
    """Every caption in every style; no two are equal."""
    found = []
    for number in range(captions):
        colour, kind, road = COLOURS[number % 4], KINDS[number % 5], ROADS[number % 3]
        caption = f"The camera drives along {road} behind a {colour} {kind}, {number + 2} metres ahead."
        for style in [style for style in STYLES if style != "Original"]:
            messages = rewrite_messages(caption, style, max_bytes=150)
            found.append(ChatRequest(messages, Sampling(1.0, max_tokens=max_tokens, seed=number), Rewritten))
    return found


def measured(chat: OpenAIChat, asked: Sequence[ChatRequest], at_once: int) -> Speed:
    with steps(f"{at_once} at once") as tick:
        started = time.perf_counter()
        answers = complete_all(chat, asked, at_once, tick)
        seconds = time.perf_counter() - started
    return Speed(at_once, len(asked), seconds, sum(isinstance(answer, BadAnswer) for answer in answers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--captions", type=int, default=1000)
    parser.add_argument("--alone", type=int, default=50, help="requests that are timed one by one")
    parser.add_argument("--max-tokens", type=int, default=300)
    parser.add_argument("--at-once", type=int, nargs="*", default=AT_ONCE)
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    options = parser.parse_args()
    asked = requests(options.captions, options.max_tokens)
    config = LLMConfig("endpoint", options.model, options.endpoint, concurrency=max(options.at_once))
    with OpenAIChat(config) as chat:
        complete_all(
            chat, asked[: max(options.at_once)], max(options.at_once)
        )  # compiles the grammar, fills the caches
        found = [measured(chat, asked[: options.alone] if n == 1 else asked, n) for n in options.at_once]
    head = ["at once", "requests", "seconds", "per second", "bad answers"]
    rows = [
        [str(s.at_once), str(s.requests), f"{s.seconds:.1f}", f"{s.requests / s.seconds:.1f}", str(s.bad)]
        for s in found
    ]
    if options.markdown:
        print("\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]))
        return
    table = Table(*head)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main()
