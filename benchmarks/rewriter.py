"""How often the rewriter that ships answers faithfully, at the first request: on scenes and pairs held out of training.

python -m benchmarks.rewriter [--scenes 260] [--long 60] [--pairs 500] [--model FOLDER] [--markdown]

Greedy answers, judged by `captions/fidelity.py`. --long: scenes that are also asked for in 80 to 130 words.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from cosmos_exp.captions.describe import describe
from cosmos_exp.captions.fidelity import PROFILES, Profile, violations
from cosmos_exp.captions.grammar import pair
from cosmos_exp.captions.messages import Rewritten, rewrite_messages
from cosmos_exp.common.progress import steps
from cosmos_exp.common.styles import STYLES
from cosmos_exp.llm.many import complete_all
from cosmos_exp.llm.nano import MOST_AT_ONCE, REWRITER, NanoRewriter
from cosmos_exp.llm.types import BadAnswer, ChatRequest, Sampling
from cosmos_exp.train.rendering import HELD_OUT_SEED, training_scene
from cosmos_exp.train.rewriter import HELD_OUT_SEED as HELD_OUT_PAIRS


class Asked(NamedTuple):
    caption: str
    style: str
    profile: Profile


def of_scenes(number: int, profile: Profile) -> list[Asked]:
    captions = [describe(training_scene(seed, 1.0)) for seed in range(HELD_OUT_SEED, HELD_OUT_SEED + number)]
    return [Asked(caption, style, profile) for caption in captions for style in STYLES[1:]]


def of_pairs(number: int) -> list[Asked]:
    pairs = [pair(seed) for seed in range(HELD_OUT_PAIRS, HELD_OUT_PAIRS + number)]
    return [Asked(p.caption, p.style, p.profile) for p in pairs]


def request(asked: Asked) -> ChatRequest:
    words = asked.profile.words
    messages = rewrite_messages(
        asked.caption, asked.style, max_bytes=None if words else asked.profile.max_bytes, words=words
    )
    return ChatRequest(messages, Sampling(max_tokens=1000 if words else 320), schema=Rewritten)


def judged(model: NanoRewriter, asked: Sequence[Asked], what: str) -> tuple[int, Counter[str]]:
    """How many answers are faithful; and what is wrong with the others."""
    with steps(what) as tick:
        answers = complete_all(model, [request(one) for one in asked], MOST_AT_ONCE, tick)
    right, wrong = 0, Counter[str]()
    for one, answer in zip(asked, answers, strict=True):
        if isinstance(answer, BadAnswer):
            wrong["no answer"] += 1
        elif found := violations(one.caption, answer.value.caption, one.style, one.profile):
            wrong[str(found[0])] += 1
        else:
            right += 1
    return right, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scenes", type=int, default=260)
    parser.add_argument("--long", type=int, default=60)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--model", type=Path, default=REWRITER)
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    options = parser.parse_args()
    sets = {
        f"{options.scenes} procedural scenes, at most 159 bytes": of_scenes(options.scenes, PROFILES["nano"]),
        f"{options.long} of them, 80 to 130 words": of_scenes(options.long, PROFILES["released"]),
        f"{options.pairs} pairs of the grammar": of_pairs(options.pairs),
    }
    model = NanoRewriter(options.model)
    rows, faults = [], Counter[str]()
    for name, asked in sets.items():
        if asked:
            right, wrong = judged(model, asked, name)
            faults += wrong
            rows.append([name, f"{right} of {len(asked)}"])
    head = ["captions", "faithful"]
    if options.markdown:
        print("\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]))
    else:
        table = Table(*head)
        for row in rows:
            table.add_row(*row)
        Console().print(table)
    for fault, number in faults.most_common(10):
        print(f"{number} x {fault}")


if __name__ == "__main__":
    main()
