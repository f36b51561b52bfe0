"""An RDS-HQ clip to HD-map videos: time and memory of `cosmos-exp render rds-hq`, beside a plain way of doing it.

python -m benchmarks.rds_hq [ROOT]   ROOT holds an RDS-HQ clip with six cameras and at least 300 frames; by default
                                     $COSMOS_EXP_SHARED/rds_hq/example. The plain way draws the front camera alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks import plain_hdmap
from cosmos_exp.common.video import VideoWriter
from cosmos_exp.rendering.clips.videos import REFERENCE_ENCODING, ClipRenderer, VideoSettings
from cosmos_exp.scene.rds_hq.clip import RdsHqClip, clip_ids
from cosmos_exp.scene.rds_hq.datasets import DATASETS
from cosmos_exp.scene.rds_hq.objects import at_frames, average_static_objects, hdmap_class

DATASET = DATASETS["rds_hq_mv"]
FRONT = DATASET.cameras[0]
MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Spent:
    """Of a command: seconds from start to end, seconds of all cores, and the most memory of it and its processes
    together, in bytes (shared pages count in part)."""

    wall: float
    cpu: float
    memory: int


def spent(*arguments: str | Path) -> Spent:
    """Run `python ARGUMENTS` and watch it."""
    before = os.times()
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    memory = 0
    while process.poll() is None:
        memory = max(memory, sum(_proportional_memory(pid) for pid in _family(process.pid)))
        time.sleep(0.1)
    wall, after = time.perf_counter() - started, os.times()
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, arguments))} ended with {process.returncode}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Spent(wall, cpu, memory)


def _family(pid: int) -> list[int]:
    """A process and its descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(d for child in children for d in _family(int(child)))]


def _proportional_memory(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # it has ended
        return 0
    return next(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))


def command(root: Path, out: Path, *options: str) -> Spent:
    line = ["-m", "cosmos_exp", "render", "rds-hq", "-i", root, "-o", out, "--dataset", "rds_hq_mv", *options]
    return spent(*line)


def drawing(root: Path, clip_id: str, camera: str) -> float:
    """Milliseconds of one core per frame of 1280x720, of every fourth frame, without the time to read the clip."""
    renderer = ClipRenderer(RdsHqClip(root, clip_id), VideoSettings(DATASET))
    frames = renderer.frames[::4]
    poses = renderer.poses(camera, frames)
    renderer.draw("hdmap", camera, frames[0], poses[frames[0]])
    started = time.process_time()
    for frame in frames:
        renderer.draw("hdmap", camera, frame, poses[frame])
    return 1000 * (time.process_time() - started) / len(frames)


def plain(root: Path, clip_id: str, out: Path) -> None:
    """The video of the front camera, the plain way."""
    import cv2

    renderer = ClipRenderer(RdsHqClip(root, clip_id), VideoSettings(DATASET, reference_compat=True))
    frames = renderer.frames
    poses = renderer.poses(FRONT, frames)
    objects = at_frames(average_static_objects(renderer.clip.objects()), frames, last_used=frames[-1])
    boxes = [[(hdmap_class(r.type), r.pose, r.size) for _, r in sorted(objects[f].items())] for f in frames]
    layers = renderer.clip.layers(DATASET.layers)
    video = plain_hdmap.hdmap_video(renderer.model(FRONT), np.stack([poses[f] for f in frames]), layers, boxes)
    resized = np.stack([cv2.resize(frame, DATASET.size, interpolation=cv2.INTER_LANCZOS4) for frame in video])
    width, height = DATASET.size
    with VideoWriter(out, width=width, height=height, fps=DATASET.fps, encoding=REFERENCE_ENCODING) as writer:
        for frame in resized:
            writer.write(frame)


def run(root: Path) -> list[dict[str, object]]:
    """Rows of {name, value, unit, against}."""
    clip_id = clip_ids(root)[0]
    rows: list[dict[str, object]] = []

    def row(name: str, value: float, unit: str, against: str = "") -> None:
        rows.append({"name": name, "value": value, "unit": unit, "against": against})

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        command(root, out, "--frames", "0")  # compiles, if this is the first run
        for workers in ("1", "2"):
            six = command(root, out, "--workers", workers)
            row(f"six cameras, 121 frames, {workers} process(es)", six.wall, "s", f"{six.cpu:.1f} s of the cores")
            row(f"memory of that, {workers} process(es)", six.memory / MEGABYTE, "MB")
        front = command(root, out, "--workers", "1", "--cameras", FRONT)
        plainly = spent("-m", "benchmarks.rds_hq", "--plain", root, clip_id, out / "plain.mp4")
        row("front camera, 121 frames", front.wall, "s", f"{front.cpu:.1f} s of the cores")
        row("the same, the plain way", plainly.wall, "s", f"{plainly.cpu:.1f} s of the cores")
        row("ratio of time", plainly.wall / front.wall, "x", f"{plainly.cpu / front.cpu:.1f} x of the cores'")
        row("memory of the plain way", plainly.memory / MEGABYTE, "MB")
        for frames in (121, 300):
            path = _dataset_file(out, frames)
            long = spent(
                *("-m", "cosmos_exp", "render", "rds-hq", "-i", root, "-o", out, "--workers", "1"),
                *("--dataset", path, "--cameras", FRONT),
            )
            row(f"memory, front camera, one video of {frames} frames", long.memory / MEGABYTE, "MB")
    times = [drawing(root, clip_id, camera) for camera in DATASET.cameras]
    slowest = f"slowest camera {max(times):.1f}"
    row("drawing alone, mean of six cameras", float(np.mean(times)), "ms/frame", slowest)
    return rows


def _dataset_file(folder: Path, frames: int) -> Path:
    block = replace(DATASET.inference, chunk=frames, max_chunk=1)
    path = folder / f"dataset_{frames}.json"
    path.write_text(replace(DATASET, inference=block, post_training=None).to_json())
    return path


def example() -> Path:
    shared = os.environ.get("COSMOS_EXP_SHARED") or Path(__file__).resolve().parents[2] / "shared"
    return Path(shared) / "rds_hq" / "example"


def main(root: Path | None = None) -> None:
    root = root or example()
    if not root.is_dir():
        print(f"no RDS-HQ clip at {root}: not measured")
        return
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
    for entry in run(root):
        against = f"  ({entry['against']})" if entry["against"] else ""
        print(f"{entry['value']:8.1f} {entry['unit']:9} {entry['name']}{against}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--plain"]:
        plain(Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
    else:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
