"""Files of samples as NVIDIA's commands read them: one JSON object, or one per line of a .jsonl file."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from cosmos_exp.common.errors import UserError, ValidationErrors, attempt, repeated, unknown_name
from cosmos_exp.common.files import write_bytes
from cosmos_exp.common.guards import CAPTION_BYTES, parse_json, read_bytes, shortened
from cosmos_exp.common.input_files import did_you_mean

ENDINGS = (".json", ".jsonl")
FILE_BYTES = 4 * CAPTION_BYTES


class Written(Protocol):
    """What can be written as a sample."""

    @property
    def name(self) -> str: ...

    def to_json(self, folder: Path) -> dict[str, Any]:
        """What the file says of it; paths relative to the file's folder where they are below it, else absolute."""
        ...


Made = TypeVar("Made", bound=Written)
Parse = Callable[[Any, Path, list[str]], Made | None]
"""(values of a sample, folder of its file, problems that are added to) -> the sample; None where there is a problem."""


def write_samples(path: Path, samples: Sequence[Written]) -> None:
    """A .json file of one sample, or a .jsonl file of any number; written atomically."""
    path = Path(path)
    _check_ending(path)
    if path.suffix == ".json" and len(samples) != 1:
        raise UserError(f"{path}: a .json file has one sample, not {len(samples)}; name it {path.stem}.jsonl")
    entries = [sample.to_json(path.parent) for sample in samples]
    indent = 2 if path.suffix == ".json" else None
    lines = [json.dumps(entry, indent=indent, ensure_ascii=False) + "\n" for entry in entries]
    write_bytes(path, "".join(lines).encode())


def read_with(paths: Sequence[Path], parse: Parse[Made]) -> list[Made]:
    """The samples of all files, in their order. Paths in a file are relative to its folder.

    ValidationErrors with every mistake: unknown keys, wrong types and ranges, files that do not exist, names that two
    samples have.
    """
    samples, problems = list[Made](), list[str]()
    for path in map(Path, paths):
        objects, errors = attempt(partial(_objects, path))
        problems += errors
        for place, text in objects or ():
            values, found = attempt(partial(parse_json, text, place))
            problems += found
            if found:
                continue
            sample = parse(values, path.parent, found)
            problems += [f"{place}: {problem}" for problem in found]
            samples += [sample] if sample else []
    problems += repeated("name", [sample.name for sample in samples])
    if problems:
        raise ValidationErrors(problems)
    return samples


def _objects(path: Path) -> list[tuple[str, str]]:
    """(place, text) of each sample of a file."""
    _check_ending(path)
    try:
        text = read_bytes("samples", path, FILE_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"no file of samples {str(path)!r}{did_you_mean(path)}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error}") from None
    if path.suffix == ".json":
        return [(str(path), text)]
    lines = [(f"{path}:{number}", line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise UserError(f"{path} has no samples: write one object in each line")
    return lines


def _check_ending(path: Path) -> None:
    if path.suffix not in ENDINGS:
        raise UserError(f"{path}: samples are in files {' and '.join(ENDINGS)}, not {path.suffix or 'without ending'}")


Rule = tuple[Callable[[Any], bool], str]


def whole(least: int, most: int | None = None) -> Rule:
    bounds = f"{least} or more" if most is None else f"{least} to {most}"
    return lambda v: type(v) is int and v >= least and (most is None or v <= most), f"a whole number, {bounds}"


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def without_nulls(values: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """The values without those of these keys that are null, as files that the original writes have them."""
    return {key: value for key, value in values.items() if value is not None or key not in keys}


def missing(paths: Mapping[str, Path]) -> Iterator[str]:
    """A message for each that is no file. paths: {key: path}."""
    for key, path in paths.items():
        if not path.is_file():
            yield f"{key}: no file {str(path)!r}{did_you_mean(path)}"


def wrong(values: Mapping[str, Any], rules: Mapping[str, Rule], prefix: str = "") -> Iterator[str]:
    for key, (is_right, needed) in rules.items():
        if key in values and not is_right(values[key]):
            yield f"{prefix}{key} is {shortened(values[key])}: needed is {needed}"


def wrong_keys(values: Mapping[str, Any], rules: Mapping[str, Rule], others: Collection[str]) -> Iterator[str]:
    """Of a sample: keys that it does not have, then values that break a rule. others: keys without a rule."""
    known = [*rules, *others]
    yield from (unknown_name("key", key, known) for key in values if key not in known)
    yield from wrong(values, rules)


def prompt_of(values: Mapping[str, Any], folder: Path, problems: list[str]) -> str:
    given, path = values.get("prompt"), values.get("prompt_path")
    if isinstance(given, str):
        text = given
    elif not isinstance(path, str):
        if "prompt" not in values and "prompt_path" not in values:  # else `wrong` has told
            problems.append("needed is prompt, or prompt_path, the file of it")
        return ""
    elif not (folder / path).is_file():
        problems.append(f"prompt_path: no file {str(folder / path)!r}{did_you_mean(folder / path)}")
        return ""
    else:
        content, errors = attempt(lambda: read_bytes("prompt", folder / path, CAPTION_BYTES))
        problems += errors
        text = (content or b"-").decode("utf-8", "replace").strip()
    if not text.strip():
        problems.append("the prompt is empty: write what is to be seen")
    return text


def shown(path: Path, folder: Path) -> str:
    path, folder = Path(path).absolute(), Path(folder).absolute()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
