"""Label survival: for every label of the scene, whether the generated video shows it where it is, with the evidence.

A label is judged by the evaluator where that finds it in the scene rendered in the same style, that is, where it can be
trusted. Elsewhere a permutation test decides: a statistic of the picture at the label is compared with the same at
displaced copies of it, p = (1 + copies that are as large) / (1 + copies) (Phipson and Smyth 2010). Where the test does
not see the label in the rendered scene either, nothing is known, and the label is undecided.

The statistics: of an object, the mean image gradient across the outline of its visible pixels; of a lane line, the mean
difference of its pixels from their surroundings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import cv2
import numpy as np

from cosmos_exp.evaluators.labels import ObjectLabel, to_be_found
from cosmos_exp.evaluators.types import PAINT_CLASSES
from cosmos_exp.metrics.lane_f1 import FARTHEST, TOLERANCE, near, paint_seen
from cosmos_exp.metrics.objects import SCORE, groups_of, scores
from cosmos_exp.metrics.types import GeneratedClip, per_view

SHOWN, LOST, UNDECIDED = "shown", "lost", "undecided"
VERDICTS = (SHOWN, LOST, UNDECIDED)
LEVEL = 0.02
COPIES = 99
LEAST_COPIES = 49  # that lie in the picture: with fewer, no p is as small as LEVEL
LEAST_PAINT = 8  # pixels of a lane line that is judged
LEAST_RECALL = 0.5  # share of a line's pixels at which the evaluator must see paint


@dataclass(frozen=True)
class Verdict:
    """Of a label in one frame of a view. frame: in the clip. seen, seen_in_render: what the evaluator says of it in the
    generated video and in the scene rendered in the style: the score of an object, the recall of a line. p,
    p_in_render: of the permutation tests; None where none was made."""

    view: str
    id: str
    group: tuple[str, ...]
    frame: int
    verdict: str
    seen: float
    seen_in_render: float
    p: float | None = None
    p_in_render: float | None = None


@dataclass(frozen=True)
class ObjectVerdict(Verdict):
    label: ObjectLabel | None = None


@dataclass(frozen=True)
class LineVerdict(Verdict):
    """line: 1 + its index in the map. pixels: painted ones."""

    line: int = 0
    pixels: int = 0


@dataclass(frozen=True)
class Survival:
    objects: Sequence[ObjectVerdict]
    lines: Sequence[LineVerdict]


def object_survival(clip: GeneratedClip) -> dict[str, float]:
    """The share of the decided labels that are shown; `object_survival/<group>` by class, size, distance, occlusion."""
    found = survival(clip)
    return shares("object_survival", found.objects) if found else {}


def lane_survival(clip: GeneratedClip) -> dict[str, float]:
    """The same of lane lines; `lane_survival/<class>` by their class."""
    found = survival(clip)
    return shares("lane_survival", found.lines) if found else {}


def shares(name: str, verdicts: Sequence[Verdict]) -> dict[str, float]:
    views: dict[str, list[bool]] = defaultdict(list)
    groups: dict[str, list[bool]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.verdict != UNDECIDED:
            views[verdict.view].append(verdict.verdict == SHOWN)
            for group in verdict.group:
                groups[group].append(verdict.verdict == SHOWN)
    of_views = per_view(name, {view: float(np.mean(shown)) for view, shown in views.items()})
    return of_views | {f"{name}/{group}": float(np.mean(shown)) for group, shown in sorted(groups.items())}


def survival(clip: GeneratedClip) -> Survival | None:
    """None without an evaluator of objects and paint, a scene, and the scene rendered in the style."""
    if clip.evaluator is None or clip.scene is None or not clip.targets:
        return None
    return clip.once(("survival",), lambda: _survival(clip))


def _survival(clip: GeneratedClip) -> Survival:
    objects: list[ObjectVerdict] = []
    lines: list[LineVerdict] = []
    for view in clip.videos:
        if clip.labels(view) is None or view not in clip.targets:
            continue
        objects += _object_verdicts(clip, view)
        lines += _line_verdicts(clip, view)
    return Survival(objects, lines)


def _object_verdicts(clip: GeneratedClip, view: str) -> list[ObjectVerdict]:
    seen, in_render, labels = clip.perception(view), clip.target_perception(view), clip.labels(view)
    if seen is None or in_render is None or labels is None or seen.boxes is None or in_render.boxes is None:
        return []
    render, rows = clip.renders[view], clip.videos[view].shape[1]
    found = []
    for i, frame in enumerate(labels.frames.tolist()):
        objects = [label for label in labels.objects_of(i) if to_be_found(label)]
        pictures = _Pictures(clip, view, frame)
        scored = zip(objects, scores(objects, seen.boxes_of(i)), scores(objects, in_render.boxes_of(i)))
        for label, score, ceiling in scored:
            base = ObjectVerdict(view, label.id, groups_of(label, rows), frame, SHOWN, score, ceiling, label=label)
            if ceiling >= SCORE:
                found.append(replace(base, verdict=SHOWN if score >= SCORE else LOST))
            else:
                mask, corner = label.mask(render, frame)
                found.append(_tested(base, *(outline_test(p, mask, corner, label.id) for p in pictures.gradients())))
    return found


def _line_verdicts(clip: GeneratedClip, view: str) -> list[LineVerdict]:
    seen, in_render, labels, scene = clip.perception(view), clip.target_perception(view), clip.labels(view), clip.scene
    if seen is None or in_render is None or labels is None or seen.paint is None or in_render.paint is None:
        return []
    assert scene is not None
    depth, found = clip.renders[view].output("depth"), []
    for i, frame in enumerate(labels.frames.tolist()):
        lines = np.where(depth[frame] <= FARTHEST, labels.lines[i], 0)
        height, width = lines.shape
        shown = [near(paint_seen(p, i, (width, height)), TOLERANCE * width) for p in (seen, in_render)]
        pictures = _Pictures(clip, view, frame)
        numbers, counts = np.unique(lines[lines > 0], return_counts=True)
        for line, pixels in zip(numbers.tolist(), counts.tolist()):
            if pixels < LEAST_PAINT:
                continue
            rows, columns = np.nonzero(lines == line)
            recall, ceiling = (float(mask[rows, columns].mean()) for mask in shown)
            group = (PAINT_CLASSES[int(labels.paint[i][rows[0], columns[0]]) - 1],)
            base = LineVerdict(
                view, f"lane_line_{line - 1}", group, frame, SHOWN, recall, ceiling, line=line, pixels=pixels
            )
            if ceiling >= LEAST_RECALL:
                found.append(replace(base, verdict=SHOWN if recall >= LEAST_RECALL else LOST))
            else:
                found.append(_tested(base, *(paint_test(p, rows, columns) for p in pictures.contrasts())))
    return found


def _tested(base: Verdict, p: float | None, in_render: float | None):
    """The verdict of the permutation tests of the generated and of the rendered picture."""
    if in_render is None or in_render > LEVEL or p is None:
        verdict = UNDECIDED
    else:
        verdict = SHOWN if p <= LEVEL else LOST
    return replace(base, verdict=verdict, p=p, p_in_render=in_render)


class _Pictures:
    """The generated and the rendered picture of a frame, filtered when the first test asks for it."""

    def __init__(self, clip: GeneratedClip, view: str, frame: int):
        self.clip, self.view, self.frame = clip, view, frame

    def gradients(self) -> list[tuple[np.ndarray, np.ndarray]]:
        return self._of("gradient", lambda grey: (cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)))

    def contrasts(self) -> list[np.ndarray]:
        return self._of("contrast", lambda grey: grey - cv2.blur(grey, (9, 9)))

    def _of(self, what, compute):
        def grey(video: np.ndarray) -> np.ndarray:
            return cv2.GaussianBlur(cv2.cvtColor(video[self.frame], cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 0.7)

        key = (what, self.view, str(self.frame))
        videos = self.clip.videos[self.view], self.clip.targets[self.view]
        return self.clip.once(key, lambda: [compute(grey(video)) for video in videos])


def outline_test(
    gradient: tuple[np.ndarray, np.ndarray], mask: np.ndarray, corner: tuple[int, int], name: str
) -> float | None:
    """p of the mean gradient across the outline of a mask, against copies moved by half its size or more.

    gradient: [H,W] along x and y. mask: bool [h,w] whose top left pixel is at `corner` (x, y). name: seeds the moves.
    None where fewer than LEAST_COPIES copies lie in the picture.
    """
    padded = np.pad(mask.astype(np.float32), 2)
    soft = cv2.GaussianBlur(padded, (0, 0), 1.0)
    across_x, across_y = cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    length = np.hypot(across_x, across_y)
    rows, columns = np.nonzero(length > 0.5 * length.max())
    nx, ny = across_x[rows, columns] / length[rows, columns], across_y[rows, columns] / length[rows, columns]
    x, y = columns + corner[0] - 2, rows + corner[1] - 2
    height, width = mask.shape
    rng = np.random.default_rng(crc32(name.encode()))
    angle, far = rng.uniform(0, 2 * np.pi, 4 * COPIES), rng.uniform(0.6, 2.5, 4 * COPIES)
    moves = np.stack([far * np.cos(angle) * max(width, 8), far * np.sin(angle) * max(height, 8)], axis=1)
    return _rank(x, y, np.round(moves).astype(int), gradient[0].shape, lambda u, v: np.abs(
        gradient[0][v, u] * nx + gradient[1][v, u] * ny
    ))  # fmt: skip


def paint_test(contrast: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> float | None:
    """p of the mean difference of a line's pixels from their surroundings, against copies moved sideways.

    contrast: [H,W]. None as of `outline_test`.
    """
    width = contrast.shape[1]
    across = np.arange(round(width / 40), round(width / 6))
    moves = np.stack([np.concatenate([across, -across]), np.zeros(2 * len(across), int)], axis=1)
    return _rank(columns, rows, moves, contrast.shape, lambda u, v: contrast[v, u], absolute=True)


def _rank(
    x: np.ndarray, y: np.ndarray, moves: np.ndarray, size: tuple[int, int], values, *, absolute: bool = False
) -> float | None:
    """The share of copies, this one among them, whose mean value is as large. Copies of which a tenth lies outside the
    picture do not count."""
    height, width = size
    moved_x, moved_y = x + moves[:, :1], y + moves[:, 1:]
    inside = (moved_x >= 0) & (moved_x < width) & (moved_y >= 0) & (moved_y < height)
    kept = np.flatnonzero(inside.mean(axis=1) > 0.9)[:COPIES]
    if len(kept) < LEAST_COPIES:
        return None
    u = np.clip(np.vstack([x[None], moved_x[kept]]), 0, width - 1)
    v = np.clip(np.vstack([y[None], moved_y[kept]]), 0, height - 1)
    means = values(u, v).mean(axis=1)
    means = np.abs(means) if absolute else means
    return float((1 + (means[1:] >= means[0]).sum()) / (1 + len(kept)))
