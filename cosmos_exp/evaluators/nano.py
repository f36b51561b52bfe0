"""`evaluator=nano`: the perception network that ships with the package, trained on the renderer's pictures."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cosmos_exp.common.errors import UserError
from cosmos_exp.evaluators.boxes import suppressed
from cosmos_exp.evaluators.config import EvaluatorConfig
from cosmos_exp.evaluators.identity import WEIGHTS, evaluator_identity
from cosmos_exp.evaluators.network import MULTIPLE, STRIDE, PerceptionNet, Prediction, most_likely
from cosmos_exp.evaluators.types import Perception

HEIGHT = 144
"""Rows of the pictures that the network was trained on; frames are scaled to as many."""
MOST_OBJECTS = 48  # of one class in one frame
LEAST_SCORE = 0.05


class NanoEvaluator:
    """config: of `evaluator=nano`, without problems. device: where the network runs."""

    def __init__(self, config: EvaluatorConfig | None = None, device: str = "cpu"):
        self.config = config or EvaluatorConfig()
        self.device = torch.device(device)

    @property
    def every(self) -> int:
        return self.config.every

    @cached_property
    def identity(self) -> Mapping[str, object]:
        return evaluator_identity(self.config) or {}

    @cached_property
    def network(self) -> PerceptionNet:
        return channels_last(load_network(Path(self.config.weights or WEIGHTS)).to(self.device)).eval()

    @torch.inference_mode()
    def perceive(self, frames: np.ndarray) -> Perception:
        """frames: uint8 [F,H,W,3] RGB."""
        semantic, depth, paint, boxes, features = [], [], [], [], []
        for first in range(0, len(frames), self.config.batch):
            small, scale = _scaled(frames[first : first + self.config.batch])
            height, width = small.shape[1:3]
            prediction = self.network(self._input(small))
            semantic.append(most_likely(prediction.semantic_cells)[:, :height, :width].cpu().numpy())
            paint.append(most_likely(prediction.paint_cells)[:, :height, :width].cpu().numpy())
            rows, columns = -(-height // STRIDE), -(-width // STRIDE)
            depth.append(prediction.log_depth[..., :rows, :columns].float().exp().cpu().numpy())
            features.append(prediction.features.float().cpu().numpy())
            found = decoded(prediction)
            found[:, 0] += first
            found[:, 3:] = np.clip(found[:, 3:], 0, (width, height, width, height)) * np.tile(scale, 2)
            boxes.append(found)
        return Perception(
            semantic=np.concatenate(semantic),
            depth=np.concatenate(depth),
            paint=np.concatenate(paint),
            boxes=np.concatenate(boxes),
            features=np.concatenate(features),
        )

    def _input(self, frames: np.ndarray) -> Tensor:
        """uint8 [B,h,w,3] -> [B,3,h',w'] in [-1,1], padded to multiples of MULTIPLE."""
        height, width = frames.shape[1:3]
        x = torch.from_numpy(frames).to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        return F.pad(x, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="replicate").contiguous(
            memory_format=torch.channels_last
        )


def _scaled(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames of about HEIGHT rows, and [2] how many pixels of the given frame one of them is, across and down."""
    height, width = frames.shape[1:3]
    if abs(height - HEIGHT) <= HEIGHT // 8:
        return np.ascontiguousarray(frames), np.ones(2)
    size = max(MULTIPLE, round(width * HEIGHT / height)), HEIGHT
    shrinks = height > HEIGHT
    small = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC) for frame in frames]
    return np.stack(small), np.array([width / size[0], height / size[1]])


def decoded(prediction: Prediction) -> np.ndarray:
    """float32 [N,7]: picture, class, score, left, top, right, bottom in pixels: the maxima of the heat maps."""
    heat = prediction.heat.float().sigmoid()
    peaks = torch.where((heat == F.max_pool2d(heat, 3, stride=1, padding=1)) & (heat > LEAST_SCORE), heat, 0)
    scores, cells = peaks.flatten(2).topk(min(MOST_OBJECTS, peaks[0, 0].numel()), dim=2)
    kept = (scores > 0).nonzero()
    picture, kind = kept[:, 0], kept[:, 1]
    cell, score = cells[kept.unbind(1)], scores[kept.unbind(1)]
    y, x = cell // heat.shape[-1], cell % heat.shape[-1]
    sides = prediction.sides.float()[picture, :, y, x]
    middle = torch.stack([x, y], dim=1) * STRIDE + (STRIDE - 1) / 2
    corners = torch.cat([middle - sides[:, :2], middle + sides[:, 2:] + 1], dim=1)
    found = torch.cat([torch.stack([picture, kind, score], dim=1), corners], dim=1).cpu().numpy().astype(np.float32)
    return found[suppressed(found)]


def channels_last(network: PerceptionNet) -> PerceptionNet:
    """The memory format in which convolutions are fastest, on a CPU too."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # the stubs lack it


def save_network(network: PerceptionNet, path: Path) -> None:
    """In half precision."""
    save_file({name: value.half().contiguous().cpu() for name, value in network.state_dict().items()}, path)


def load_network(path: Path) -> PerceptionNet:
    """In float32, on the CPU. UserError for a file that is not such a network's."""
    network = PerceptionNet()
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118  (not a dict)
        network.load_state_dict(state)
    except FileNotFoundError:
        raise UserError(f"no evaluator weights at {path}") from None
    except (SafetensorError, RuntimeError, NotImplementedError, OSError, AttributeError, ValueError) as error:
        raise UserError(f"{path} does not hold the evaluator's network: {error}") from None
    return network
