"""What each metric is, read from `metrics.md`: the page of the documentation, and what `cosmos-exp explain` prints.

A section of a metric is a heading, a paragraph, and a list with one item per name of `FIELDS`, in this order:
`- **Keys**: ...`. `Keys` names the metric's keys in code spans; other sections have no such list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cosmos_exp.metrics.normalised import CEILING, FLOOR, NORMALISED

PAGE = Path(__file__).with_name("metrics.md")
FIELDS = ("Keys", "Formula", "Source", "Compares with", "Direction", "Range", "Typical", "Blind spots", "Published")


@dataclass(frozen=True)
class Definition:
    """A section of the page. keys: of its metric. text: Markdown, from the heading on. fields: {name: text}."""

    title: str
    keys: tuple[str, ...]
    text: str
    fields: dict[str, str]


@cache
def definitions() -> dict[str, Definition]:
    """{metric key: its section}, in the order of the page; keys of one section share it."""
    found: dict[str, Definition] = {}
    for text in re.split(r"^(?=## )", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        items = re.findall(r"^- \*\*(.+?)\*\*: (.*?)(?=^- \*\*|^\n|\Z)", text, re.MULTILINE | re.DOTALL)
        fields = {name: " ".join(value.split()) for name, value in items}
        keys = tuple(re.findall(r"`([^`]+)`", fields.get("Keys", "")))
        title = text.partition("\n")[0].removeprefix("## ").strip()
        found |= dict.fromkeys(keys, Definition(title, keys, text.strip(), fields))
    return found


def metric_name(key: str) -> str:
    """`psnr` of `psnr`, `psnr/front_wide_120fov` and `normalised/psnr`."""
    for prefix in (CEILING, FLOOR, NORMALISED):
        key = key.removeprefix(f"{prefix}/")
    return key.partition("/")[0]
