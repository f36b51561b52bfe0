"""`labels.json`: the verdicts of `survival` for one style of a clip, and what they rest on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.guards import read_json
from cosmos_exp.metrics.lane_f1 import TOLERANCE
from cosmos_exp.metrics.objects import OVERLAP, SCORE
from cosmos_exp.metrics.survival import LEAST_RECALL, LEVEL, LOST, SHOWN, Survival, Verdict
from cosmos_exp.metrics.types import GeneratedClip
from cosmos_exp.scene.types import Scene

SCHEMA = 1
FILE = "labels.json"


def label_values(clip: GeneratedClip, survival: Survival) -> dict[str, Any]:
    """As `docs/labels.md` describes them: plain values, boxes in pixels of the view, distances in metres."""
    assert clip.evaluator is not None
    return {
        "schema": SCHEMA,
        "style": clip.style,
        "frames": clip.read_frames.tolist(),
        "evaluator": dict(clip.evaluator.identity),
        "thresholds": {
            "score": SCORE,
            "overlap": OVERLAP,
            "recall": LEAST_RECALL,
            "tolerance": TOLERANCE,
            "p": LEVEL,
        },
        "objects": [
            {
                **_common(verdict),
                "class": verdict.label.name,
                "box": list(verdict.label.box),
                "visible_box": list(verdict.label.visible),
                "visible_pixels": verdict.label.pixels,
                "distance": round(verdict.label.distance, 3),
                "occlusion": round(verdict.label.occlusion, 3),
            }
            for verdict in survival.objects
            if verdict.label is not None
        ],
        "lane_lines": [
            {**_common(verdict), "class": verdict.group[0], "line": verdict.line - 1, "pixels": verdict.pixels}
            for verdict in survival.lines
        ],
    }


def _common(verdict: Verdict) -> dict[str, Any]:
    return {
        "id": verdict.id,
        "view": verdict.view,
        "frame": verdict.frame,
        "verdict": verdict.verdict,
        "seen": round(verdict.seen, 4),
        "seen_in_render": round(verdict.seen_in_render, 4),
        "p": verdict.p,
        "p_in_render": verdict.p_in_render,
    }


@dataclass(frozen=True)
class Shares:
    """{id: the share of its decided verdicts that are `shown`}; ids without a decided one are not there. lines: by
    index of the lane line in the map."""

    objects: Mapping[str, float]
    lines: Mapping[int, float]


def read_shares(path: Path) -> Shares:
    """Of a file `labels.json`. UserError where it is none."""
    try:
        values = read_json("label verdicts", path)
        if values["schema"] != SCHEMA:
            raise UserError(f"{path}: schema {values['schema']!r}; this version reads {SCHEMA}")
        return Shares(_shares(values["objects"], "id"), _shares(values["lane_lines"], "line"))
    except FileNotFoundError:
        raise UserError(
            f"no label verdicts at {path}: the run had no metric object_survival or lane_survival, or evaluator=none; "
            "cosmos-exp evaluate RUN --metrics object_survival,lane_survival writes them"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no file of label verdicts: {type(error).__name__} {error}") from None


def surviving(scene: Scene, shares: Shares, least: float) -> Scene:
    """The scene with only those tracks, lane lines, traffic lights and signs of whose decided verdicts at least this
    share is `shown`. What no verdict is about, such as crosswalks and poles, stays."""

    def holds(name: str) -> bool:
        return shares.objects.get(name, -1.0) >= least

    kept = replace(
        scene.map,
        lane_lines=tuple(x for i, x in enumerate(scene.map.lane_lines) if shares.lines.get(i, -1.0) >= least),
        traffic_lights=tuple(light for light in scene.map.traffic_lights if holds(light.id)),
        traffic_signs=tuple(sign for sign in scene.map.traffic_signs if holds(sign.id)),
    )
    return replace(scene, map=kept, tracks=tuple(track for track in scene.tracks if holds(track.id)))


def _shares(verdicts: Iterable[Mapping[str, Any]], key: str) -> dict[Any, float]:
    decided: dict[Any, list[bool]] = defaultdict(list)
    for verdict in verdicts:
        if verdict["verdict"] in (SHOWN, LOST):
            decided[verdict[key]].append(verdict["verdict"] == SHOWN)
    return {name: sum(shown) / len(shown) for name, shown in decided.items()}
