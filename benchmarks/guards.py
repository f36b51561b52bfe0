"""The guards of videos: faces pasted into renders that are found, false hits, scores of open_nsfw, seconds per frame.

python -m benchmarks.guards --faces DIR [--weights checkpoints] [--scenes 32] [--nano RUNS]

DIR has photographs of people, which this repository has none of. The faces in them that are large, and have a head
around them, are pasted into renders of held-out scenes in all styles, at several sizes and brightnesses. RUNS: a folder
with runs of the nano model, whose videos are looked through for false hits. A face is found where four fifths of it are
pixelated.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from cosmos_exp.common.cores import usable_cores
from cosmos_exp.common.progress import steps
from cosmos_exp.common.styles import STYLES
from cosmos_exp.common.video import read_video
from cosmos_exp.config.rigs import load_rig
from cosmos_exp.guardrails.config import GuardrailsConfig
from cosmos_exp.guardrails.faces import Face, FaceGuard, pixelated_area
from cosmos_exp.guardrails.safety import OpenNsfw
from cosmos_exp.rendering.renderer import Renderer, render_camera
from cosmos_exp.train.rendering import HELD_OUT_SEED, training_scene

SIZE = (1280, 704)
RENDER = "render of 1280x704"
FACE_SIZES = (40, 48, 64, 96, 128)
"""Pixels of the shorter side."""
BRIGHTNESS = (0.5, 0.8, 1.1)
FOUND = 0.8
SURE = 0.7
"""Score of a photograph's face that is taken for one."""
AROUND = 0.4
"""Of a face's size, that is pasted with it on each side."""


def photographed(folder: Path, guard: FaceGuard) -> list[tuple[np.ndarray, Face]]:
    """Cut-outs of the photographs, uint8 [H,W,3], and the face in each; a face as it is and mirrored."""
    found = []
    for path in sorted(folder.rglob("*")):
        picture = cv2.imread(str(path))
        if picture is None:
            continue
        picture = np.ascontiguousarray(picture[..., ::-1])
        for face in guard.find(picture):
            width, height = face.right - face.left, face.bottom - face.top
            cut, inner = _cut_out(picture, face)
            whole = cut.shape[1] > (1 + AROUND) * width and cut.shape[0] > (1 + AROUND) * height
            if face.score < SURE or min(width, height) < 2 * FACE_SIZES[0] or not whole:
                continue
            mirrored = inner._replace(left=cut.shape[1] - inner.right, right=cut.shape[1] - inner.left)
            found += [(cut, inner), (np.ascontiguousarray(cut[:, ::-1]), mirrored)]
    return found


def _cut_out(picture: np.ndarray, face: Face) -> tuple[np.ndarray, Face]:
    across, down = (round(AROUND * side) for side in (face.right - face.left, face.bottom - face.top))
    left, top = max(0, face.left - across), max(0, face.top - down)
    cut = picture[top : face.bottom + down, left : face.right + across]
    return cut, Face(face.left - left, face.top - top, face.right - left, face.bottom - top, face.score)


def pasted(frame: np.ndarray, cut: np.ndarray, face: Face, size: int, brightness: float, place: np.random.Generator):
    """(a copy of the frame with the face in it, where it is), its shorter side `size` pixels."""
    scale = size / min(face.right - face.left, face.bottom - face.top)
    small = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width = small.shape[:2]
    left = int(place.integers(0, frame.shape[1] - width))
    top = int(place.integers(0, frame.shape[0] - height))
    y, x = np.mgrid[:height, :width]
    ellipse = np.hypot(2 * (x + 0.5) / width - 1, 2 * (y + 0.5) / height - 1)
    alpha = np.clip((1 - ellipse) * 6, 0, 1)[..., None]
    made, area = frame.copy(), frame[top : top + height, left : left + width]
    made[top : top + height, left : left + width] = np.clip(small * brightness, 0, 255) * alpha + area * (1 - alpha)
    box = (left + face.left * scale, top + face.top * scale, left + face.right * scale, top + face.bottom * scale)
    return made, tuple(round(value) for value in box)


def covered(faces: list[Face], box: tuple[int, ...], shape: tuple[int, ...]) -> float:
    """Share of a box that is pixelated."""
    mask = np.zeros(shape[:2], bool)
    for face in faces:
        mask[pixelated_area(face, *shape[:2])] = True
    return float(mask[box[1] : box[3], box[0] : box[2]].mean())


def renders(scenes: int) -> Iterator[tuple[str, np.ndarray]]:
    """(style, frame) of held-out scenes, at the size of the released models."""
    camera = load_rig("six_views", size=SIZE).cameras[0]
    for seed in range(HELD_OUT_SEED, HELD_OUT_SEED + scenes):
        scene = training_scene(seed, duration=2.0)
        renderer = Renderer(scene)
        for style in STYLES:
            yield (
                style,
                render_camera(renderer, camera, np.array([1.0]), weather=style, outputs=("rgb",)).output("rgb")[0],
            )


def nano_frames(folder: Path) -> Iterator[np.ndarray]:
    """One of every 4 frames of every view's video below a folder of runs."""
    for path in sorted([*folder.rglob("single_view/*.mp4"), *folder.rglob("multi_view/*/[0-9].mp4")]):
        yield from read_video(path)[::4]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--weights", default=GuardrailsConfig().weights)
    parser.add_argument("--scenes", type=int, default=32)
    parser.add_argument("--nano", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(usable_cores())
    own = GuardrailsConfig()
    guard = FaceGuard(options.weights, own.face_threshold, own.face_size)
    nsfw = OpenNsfw(options.weights, own.safety_threshold)
    photographs, place = photographed(options.faces, guard), np.random.default_rng(0)
    found: dict[int, list[bool]] = defaultdict(list)
    false_hits: dict[str, list[bool]] = defaultdict(list)
    scores: dict[str, list[float]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    with steps("renders") as tick:
        began = time.perf_counter()
        for number, (style, frame) in enumerate(renders(options.scenes)):
            seconds[RENDER].append(time.perf_counter() - began)
            began = time.perf_counter()
            false_hits["renders"].append(bool(guard.find(frame)))
            seconds["faces"].append(time.perf_counter() - began)
            began = time.perf_counter()
            scores[style].append(float(nsfw.scores(frame[None])[0]))
            seconds["open_nsfw"].append(time.perf_counter() - began)
            cut, face = photographs[number % len(photographs)]
            size = FACE_SIZES[number // len(STYLES) % len(FACE_SIZES)]
            made, box = pasted(frame, cut, face, size, BRIGHTNESS[number % len(BRIGHTNESS)], place)
            found[size].append(covered(guard.find(made), box, made.shape) >= FOUND)
            tick(number + 1, options.scenes * len(STYLES))
            began = time.perf_counter()
    for frame in nano_frames(options.nano) if options.nano else ():
        false_hits["nano"].append(bool(guard.find(frame)))
        scores["nano"].append(float(nsfw.scores(frame[None])[0]))
    table = Table("what", "value", title=f"{len(photographs) // 2} faces, {usable_cores()} cores")
    every = [hit for hits in found.values() for hit in hits]
    for what, hits in {
        **({"all": every} if every else {}),
        **{f"{size} px": found[size] for size in sorted(found)},
    }.items():
        table.add_row(f"faces found, {what}", f"{100 * np.mean(hits):.1f} % of {len(hits)}")
    for what, hits in false_hits.items():
        table.add_row(f"frames with false hits, {what}", f"{100 * np.mean(hits):.1f} % of {len(hits)}")
    for what, values in scores.items():
        table.add_row(f"open_nsfw, highest, {what}", f"{max(values):.4f}")
    for what, values in seconds.items():
        ratio = np.median(values) / np.median(seconds[RENDER])
        table.add_row(f"ms a frame, {what}", f"{1000 * np.median(values):.0f}, {ratio:.2f} times a render")
    Console().print(table)


if __name__ == "__main__":
    main()
