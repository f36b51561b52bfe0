"""A sweep folder as a multirun leaves it, with tiny videos."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import numpy as np
import yaml

from cosmos_exp.common.video import write_video
from cosmos_exp.common.views import VIEWS

GUIDANCE, STEPS = (1, 3, 5), (6, 12)
CLIP = "street_0"


def moving_square(level: int, shape: tuple[int, int] = (36, 64), frames: int = 10) -> np.ndarray:
    video = np.full((frames, *shape, 3), level, np.uint8)
    for t, frame in enumerate(video):
        frame[8:16, 4 + 5 * t : 12 + 5 * t] = (255, 200, 40)
    return video


def write_run(
    folder: Path, overrides: list[str], *, state: str = "done", styles=("Night",), metrics=None, **status
) -> None:
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(overrides))
    config = {
        "scene": {"name": "street"},
        "model": {"name": "nano"},
        "captions": {"styles": list(styles)},
        "views": {"names": list(VIEWS)},
        "sampler": {"guidance": 3.0},
        "controls": {"hdmap": {"weight": 1.0}},
        "tracking": {"mode": "offline", "project": "streets", "entity": None, "group": None, "tags": ["mine"]},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    values = dict(state=state, run_id="0", started="", updated="", host=socket.gethostname(), pid=os.getpid())
    (folder / "status.json").write_text(json.dumps(values | status))
    if state != "done":
        return
    (folder / "captions").mkdir()
    (folder / "captions" / f"{CLIP}.json").write_text(json.dumps({s: f"A street. <b>{s}</b>." for s in styles}))
    (folder / "metrics.json").write_text(json.dumps({s: metrics or {} for s in styles}))
    for i, style in enumerate(styles):
        write_video(folder / "single_view" / f"{CLIP}_{style}.mp4", moving_square(60 + 40 * i), 10)
        write_video(folder / "multi_view" / f"{CLIP}_{style}" / "grid.mp4", moving_square(40, (72, 192)), 10)
        for index in range(len(VIEWS)):
            write_video(folder / "multi_view" / f"{CLIP}_{style}" / f"{index}.mp4", moving_square(25 * index), 10)
    write_video(folder / "hdmap" / VIEWS[0] / f"{CLIP}_0.mp4", moving_square(0), 10)


def write_sweep(folder: Path, styles=("Night",)) -> Path:
    """guidance 1,3,5 x steps 6,12: one failed, one killed, one never begun, three done."""
    task = ["sampler.guidance=1,3,5", "sampler.num_steps=6,12", "scene.seed=4"]
    folder.mkdir(parents=True)
    (folder / "multirun.yaml").write_text(
        yaml.safe_dump({"hydra": {"overrides": {"task": task}, "sweeper": {"params": None}}})
    )
    cells = [(g, s) for g in GUIDANCE for s in STEPS]
    for number, (guidance, steps) in enumerate(cells[:5]):
        overrides = [f"sampler.guidance={guidance}", f"sampler.num_steps={steps}", "scene.seed=4"]
        metrics = {"tse": 1.0 / guidance, "blur_ssim": 0.5 + 0.01 * number, "blur_ssim/rear_tele_30fov": 0.1 * number}
        kind = {
            1: dict(state="failed", error="the video is black"),
            3: dict(state="running", stage="single_view", pid=2**22 + 1),
        }
        status = {"run_id": f"{number}0abc"} | kind.get(number, {})
        write_run(folder / f"{number}_0abc", overrides, styles=styles, metrics=metrics, **status)
    return folder
