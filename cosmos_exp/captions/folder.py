"""Folders of captions as Cosmos-Drive-Dreams has them: one caption per clip in, its styles out.

IN/<clip>.txt               the caption; or
IN/<clip>.json              {"Original": caption, ...}
OUT/<clip>.json             {"Original": caption, "Golden hour": text, ...}, in that order
OUT/rewrites/<clip>.json    how each text came about, and from what: by it a later call knows that it is done
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cosmos_exp.captions.asking import Answered
from cosmos_exp.captions.files import read_captions, read_text
from cosmos_exp.captions.rewriting import (
    REWRITTEN_STYLES,
    VERSION,
    RewriteSettings,
    fallbacks,
    rewrite_all,
)
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import write_atomic, write_json
from cosmos_exp.common.guards import read_json
from cosmos_exp.common.progress import Tick
from cosmos_exp.common.styles import STYLES
from cosmos_exp.llm.types import ChatModel

ORIGINAL = STYLES[0]
RECORDS = "rewrites"
FAILURES = 5
"""Captions that a model does not answer, one after another, before it counts as gone."""


@dataclass
class Outcome:
    """written, present: clips that were made, or were there already. problems: one message per caption that was not
    rewritten. by_template: {clip: styles} for which the template stands in."""

    written: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    by_template: dict[str, tuple[str, ...]] = field(default_factory=dict)


def rewrite_folder(
    source: Path,
    target: Path,
    chat: ChatModel,
    settings: RewriteSettings,
    *,
    concurrency: int = 8,
    tick: Tick = lambda done, total: None,
    check: Callable[[Mapping[str, str]], object] = lambda texts: None,
) -> Outcome:
    """Write the styles of every caption in `source` to `target`; those that are there of the same caption, model and
    settings stay. A file that cannot be read is a problem, and the others go on.

    tick: progress over the captions to be made. check: raises UserError where one of a caption's texts, by what they
    are, must not be written. Raises UserError where there is no caption, and where the model no longer answers.
    """
    outcome = Outcome()
    captions = _read_all(source, outcome.problems)
    keys = {clip: caption_key(caption, chat, settings) for clip, caption in captions.items()}
    outcome.present += [clip for clip in captions if is_written(target, clip, keys[clip])]
    wanted = {clip: caption for clip, caption in captions.items() if clip not in set(outcome.present)}
    in_a_row = 0

    def done(clip: str, made: dict[str, Answered]) -> None:
        nonlocal in_a_row
        in_a_row = 0
        try:
            check(dict(_all_texts(captions[clip], made)))
            write_clip(target, clip, captions[clip], made, keys[clip])
        except UserError as error:
            outcome.problems.append(f"{clip}: {error}")
        else:
            outcome.written.append(clip)
            if by_template := fallbacks(made):
                outcome.by_template[clip] = by_template
        count()

    def failed(clip: str, error: UserError) -> None:
        nonlocal in_a_row
        in_a_row += 1
        outcome.problems.append(f"{clip}: {error}")
        if in_a_row >= min(FAILURES, len(wanted)):
            raise UserError(f"{error}; {len(outcome.written)} captions are written, the same command makes the others")
        count()

    def count() -> None:
        tick(len(outcome.written) + len(outcome.problems), len(wanted) + damaged)

    damaged = len(outcome.problems)
    rewrite_all(wanted, REWRITTEN_STYLES, chat, settings, concurrency=concurrency, done=done, failed=failed)
    return outcome


def _all_texts(caption: str, made: Mapping[str, Answered]) -> Iterator[tuple[str, str]]:
    yield "the caption", caption
    for style, answered in made.items():
        yield style, answered.text
        for number, rejected in enumerate(answered.rejected, 1):
            yield f"answer {number} for {style}", rejected.answer


def write_clip(target: Path, clip: str, caption: str, made: Mapping[str, Answered], key: str) -> None:
    """The captions last: where they are, all is there."""
    record = {"key": key, "styles": {style: rewritten.record() for style, rewritten in made.items()}}
    write_json(target / RECORDS / f"{clip}.json", record)
    texts = {ORIGINAL: caption} | {style: rewritten.text for style, rewritten in made.items()}
    content = json.dumps(texts, indent=4, ensure_ascii=False)
    write_atomic(target / f"{clip}.json", f"{content}\n".encode())


def is_written(target: Path, clip: str, key: str) -> bool:
    """Whether both files of a clip are whole and made from this."""
    with suppress(UserError, FileNotFoundError, KeyError, TypeError):
        record = read_json("record of a rewrite", target / RECORDS / f"{clip}.json")
        return record["key"] == key and tuple(read_captions(target / f"{clip}.json")) == (ORIGINAL, *REWRITTEN_STYLES)
    return False


def caption_key(caption: str, chat: ChatModel, settings: RewriteSettings) -> str:
    """sha256 (hex) of all that decides a caption's texts."""
    return hashlib.sha256(json.dumps([caption, rewrite_identity(chat, settings)], sort_keys=True).encode()).hexdigest()


def rewrite_identity(chat: ChatModel, settings: RewriteSettings) -> dict[str, Any]:
    """Plain values of all that decides a text, besides the caption and the style."""
    return {"version": VERSION, "model": dict(chat.identity), "settings": asdict(settings)}


def _read_all(source: Path, problems: list[str]) -> dict[str, str]:
    """{clip: caption}, by name. What is wrong with files goes to `problems`."""
    captions: dict[str, str] = {}
    for clip, paths in _files(source).items():
        if len(paths) > 1:
            problems.append(f"{clip}: {' and '.join(path.name for path in paths)} are both there: keep one of them")
            continue
        try:
            captions[clip] = read_caption(paths[0])
        except UserError as error:
            problems.append(str(error))
    return captions


def read_caption(path: Path) -> str:
    """Of a `.txt`, its text; of a `.json`, that of Original. Line breaks and repeated blanks are one blank."""
    if path.suffix == ".json":
        found = read_captions(path)
        if ORIGINAL not in found:
            raise UserError(f'{path} has no caption "{ORIGINAL}", but {", ".join(found)}')
        text = found[ORIGINAL]
    else:
        text = read_text(path)
    caption = " ".join(text.split())
    if not caption:
        raise UserError(f"{path} is empty")
    if not caption.isprintable():
        raise UserError(f"{path} holds characters that are no text")
    return caption


def _files(source: Path) -> dict[str, list[Path]]:
    """{clip: its files}, by name."""
    found: dict[str, list[Path]] = {}
    for path in sorted(_listed(source)):
        found.setdefault(path.stem, []).append(path)
    if not found:
        raise UserError(f"no captions in {source}: needed are <clip>.txt or <clip>.json")
    return found


def _listed(source: Path) -> Iterator[Path]:
    try:
        yield from (path for path in source.iterdir() if path.suffix in (".txt", ".json") and path.name[:1] != ".")
    except OSError as error:
        raise UserError(f"cannot read the folder {str(source)!r}: {error.strerror}") from None
