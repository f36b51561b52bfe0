"""Training of the evaluator: pictures of procedural scenes in all styles with their labels, and the losses of heads.

Pictures are softened, blurred and recoloured in training, because the evaluator is to read generated videos: a soft car
is still a car. Half of them pass through the nano model's tokenizer with noise on the latents.
"""

from __future__ import annotations

import multiprocessing as mp
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cosmos_exp.common.styles import STYLES
from cosmos_exp.evaluators.labels import ObjectLabel, object_labels, paint_classes, paint_lines, to_be_found
from cosmos_exp.evaluators.network import STRIDE, PerceptionNet, Prediction
from cosmos_exp.evaluators.types import IGNORED, OBJECT_CLASSES, PAINT_CLASSES, SEMANTIC_CLASSES, semantic_classes
from cosmos_exp.rendering.renderer import Renderer
from cosmos_exp.rendering.types import CameraRender
from cosmos_exp.rendering.weather import WEATHERS
from cosmos_exp.sensors.camera import Rig
from cosmos_exp.train.loop import LoopParams, StepProgress, run_loop
from cosmos_exp.train.npz_files import load_npz, save_npz
from cosmos_exp.train.rendering import single_thread, training_scene

Soften = Callable[[Tensor, Tensor], Tensor]  # pictures [B,3,H,W] in [-1,1], noise level [B] -> the same, softened
MAX_OBJECTS = 32  # of one picture; the nearest


@dataclass
class EvaluatorConfig:
    """num_scenes scenes of a world from first_seed on, each seen by every view at num_times times in num_styles styles.

    duration: seconds between the first and the last time. angle, height: largest change of a camera's pitch and roll in
    degrees, and of its height in metres, drawn per scene.
    """

    loop: LoopParams = field(default_factory=lambda: LoopParams(num_steps=12000, batch_size=96, lr=2e-3))
    world: str = "streets"
    num_scenes: int = 2232
    first_seed: int = 100_000
    num_times: int = 5
    num_styles: int = 2
    duration: float = 4.0
    angle: float = 3.0
    height: float = 0.3
    held_out_scenes: int = 24


@dataclass(frozen=True)
class LabelledPictures:
    """P pictures in S styles. rgb: uint8 [S,P,H,W,3]; styles: [S,P] index into STYLES. semantic, paint: uint8 [P,H,W],
    as of Perception. depth: float16 [P,H,W] metres. boxes: float32 [P,MAX_OBJECTS,6]: class, left, top, right, bottom,
    whether it is to be found; class -1 pads."""

    rgb: np.ndarray
    styles: np.ndarray
    semantic: np.ndarray
    depth: np.ndarray
    paint: np.ndarray
    boxes: np.ndarray

    def save(self, path: Path) -> None:
        save_npz(path, vars(self))

    @classmethod
    def load(cls, path: Path) -> LabelledPictures:
        return cls(**load_npz("training pictures", path))


def labelled_pictures(seed: int, rig: Rig, config: EvaluatorConfig) -> LabelledPictures:
    """The pictures of one scene; a function of its seed."""
    rng = np.random.default_rng([seed, 7])
    scene = training_scene(seed, config.duration, config.world)
    renderer = Renderer(scene)
    times = np.sort(rng.uniform(0, config.duration, config.num_times))
    pictures = []
    for camera in rig.cameras:
        camera = replace(camera, camera_to_rig=_jittered(camera.camera_to_rig, config, rng))
        for t in times.tolist():
            buffer = renderer.gbuffer(camera, t, samples=2)
            styles = rng.permutation(len(STYLES))[: config.num_styles]
            rgb = np.stack([renderer.shade(buffer, WEATHERS[STYLES[s]], seed=seed) for s in styles])
            truth = {name: getattr(buffer, name)[None] for name in ("depth", "semantic", "instance")}
            at = np.array([t])
            render = CameraRender(camera.name, at, **truth)
            paint = paint_classes(paint_lines(scene, camera, at, render), scene.map.lane_lines)
            pictures.append(
                LabelledPictures(
                    rgb[:, None],
                    styles[:, None].astype(np.uint8),
                    semantic_classes(truth["semantic"]),
                    np.minimum(truth["depth"], 6e4).astype(np.float16),
                    paint,
                    box_table(object_labels(scene, camera, at, render))[None],
                )
            )
    return joined(pictures)


def joined(parts: list[LabelledPictures]) -> LabelledPictures:
    together = {}
    for name in vars(parts[0]):
        together[name] = np.concatenate([getattr(p, name) for p in parts], axis=1 if name in ("rgb", "styles") else 0)
    return LabelledPictures(**together)


def box_table(labels: list[ObjectLabel]) -> np.ndarray:
    """[MAX_OBJECTS,6], as of LabelledPictures, of the labels of one picture."""
    table = np.full((MAX_OBJECTS, 6), -1, np.float32)
    for row, label in zip(table, sorted(labels, key=lambda label: label.distance)):
        row[:] = (label.kind, *label.visible, to_be_found(label))
    return table


def _jittered(camera_to_rig: np.ndarray, config: EvaluatorConfig, rng: np.random.Generator) -> np.ndarray:
    """Turned about the camera's own x and z axes, and raised."""
    pitch, roll = np.radians(rng.uniform(-config.angle, config.angle, 2))
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    turned = camera_to_rig.copy()
    turned[:3, :3] = camera_to_rig[:3, :3] @ about_x @ about_z
    turned[2, 3] += rng.uniform(-config.height, config.height)
    return turned


def _work(job: tuple[int, Rig, EvaluatorConfig, str]) -> str:
    seed, rig, config, folder = job
    path = Path(folder) / f"{seed:08d}.npz"
    if not path.exists():
        labelled_pictures(seed, rig, config).save(path)
    return str(path)


def render_pictures(seeds: range, rig: Rig, config: EvaluatorConfig, folder: Path, num_workers: int) -> Iterator[Path]:
    """Render scenes with a pool of processes and yield each one's file as it is finished; what is there stays."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(seed, rig, config, str(folder)) for seed in seeds]
    with mp.get_context("spawn").Pool(num_workers, initializer=single_thread) as pool:
        for path in pool.imap_unordered(_work, jobs):
            yield Path(path)


@dataclass(frozen=True)
class Batch:
    """Tensors of B pictures: frames [B,3,H,W] in [-1,1]; the rest as of LabelledPictures."""

    frames: Tensor
    semantic: Tensor
    depth: Tensor
    paint: Tensor
    boxes: Tensor

    def mirrored(self) -> Batch:
        width = self.frames.shape[-1]
        boxes = self.boxes.clone()
        boxes[..., 1], boxes[..., 3] = width - self.boxes[..., 3], width - self.boxes[..., 1]
        return Batch(self.frames.flip(-1), self.semantic.flip(-1), self.depth.flip(-1), self.paint.flip(-1), boxes)


class PictureBank:
    """All pictures of a folder, held on the device."""

    def __init__(self, folder: Path, device: torch.device):
        self.device = device
        self._seen: set[Path] = set()
        self._parts: list[dict[str, Tensor]] = []
        self._folder = folder
        self.refresh()

    def refresh(self) -> int:
        """Number of scenes held after reading what has been rendered since the last call."""
        for path in sorted(self._folder.glob("*.npz")):
            if path not in self._seen:
                self._seen.add(path)
                held = LabelledPictures.load(path)
                self._parts.append({k: torch.from_numpy(v).to(self.device) for k, v in vars(held).items()})
        return len(self._parts)

    def sample(self, size: int, generator: torch.Generator) -> Batch:
        draws = torch.rand(size, 3, generator=generator, device=self.device).tolist()
        rows = []
        for scene, picture, style in draws:
            part = self._parts[int(scene * len(self._parts))]
            p, s = int(picture * part["semantic"].shape[0]), int(style * part["rgb"].shape[0])
            rows.append((part["rgb"][s, p], *(part[k][p] for k in ("semantic", "depth", "paint", "boxes"))))
        rgb, semantic, depth, paint, boxes = (torch.stack(column) for column in zip(*rows))
        batch = Batch(rgb.permute(0, 3, 1, 2).float() / 127.5 - 1, semantic, depth, paint, boxes)
        flip = torch.rand((), generator=generator, device=self.device) < 0.5
        return batch.mirrored() if flip else batch


def augmented(frames: Tensor, generator: torch.Generator, soften: Soften | None = None) -> Tensor:
    """frames [B,3,H,W] in [-1,1], recoloured, softened and with noise, each picture by its own amount."""

    def draw(*shape: int) -> Tensor:
        return torch.rand(len(frames), *shape, generator=generator, device=frames.device)

    x = frames
    if soften is not None:
        chosen = draw() < 0.5
        x = torch.where(chosen[:, None, None, None], soften(x, 0.5 * draw()), x)
    x = _blurred(x, 2.5 * draw() * (draw() < 0.6))
    x = _coarse(x, draw() < 0.25)
    gain, offset = 0.7 + 0.6 * draw(1, 1, 1), 0.3 * (draw(1, 1, 1) - 0.5)
    tint = 1 + 0.2 * (draw(3, 1, 1) - 0.5)
    x = x.mean(dim=(1, 2, 3), keepdim=True) + gain * (x - x.mean(dim=(1, 2, 3), keepdim=True))
    x = (x + 1) * tint - 1 + offset
    noise = torch.randn(x.shape, generator=generator, device=x.device)
    return (x + 0.1 * draw(1, 1, 1) * (draw(1, 1, 1) < 0.5) * noise).clamp(-1, 1)


def _blurred(x: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of each picture by its own sigma [B], pixels."""
    taps = torch.arange(-7, 8, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-0.5 * (taps / sigma.clamp(min=1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(3, dim=0)
    size, (h, w) = len(x), x.shape[-2:]
    flat = F.pad(x.reshape(1, 3 * size, h, w), (7, 7, 7, 7), mode="reflect")
    flat = F.conv2d(flat, kernel[:, None, None, :], groups=3 * size)
    return F.conv2d(flat, kernel[:, None, :, None], groups=3 * size).reshape(x.shape)


def _coarse(x: Tensor, chosen: Tensor) -> Tensor:
    """Half the pixels each way and back, of the chosen pictures [B]."""
    small = F.interpolate(x, scale_factor=0.5, mode="area")
    return torch.where(chosen[:, None, None, None], F.interpolate(small, size=x.shape[-2:], mode="bilinear"), x)


SEMANTIC_WEIGHTS = torch.tensor([1, 1.5, 1, 3, 6, 6, 1, 1.2, 0.8, 5, 2.5])  # rare and small classes count more
PAINT_WEIGHTS = torch.tensor([1, 3, 3, 3, 3.0])
assert len(SEMANTIC_WEIGHTS) == len(SEMANTIC_CLASSES) and len(PAINT_WEIGHTS) == 1 + len(PAINT_CLASSES)


def evaluator_loss(prediction: Prediction, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross entropy of classes and paint, L1 of log depth, focal loss of heat maps, L1 of the logarithm of sides."""
    device = batch.frames.device
    semantic = F.cross_entropy(
        prediction.semantic.float(), batch.semantic.long(), SEMANTIC_WEIGHTS.to(device), ignore_index=IGNORED
    )
    paint = F.cross_entropy(prediction.paint.float(), batch.paint.long(), PAINT_WEIGHTS.to(device))
    metres = batch.depth[:, ::STRIDE, ::STRIDE].float()
    seen = metres < 1000
    error = (prediction.log_depth.float() - metres.clamp(0.1, 1000).log())[seen]
    depth = error.abs().mean()
    heat, weight, sides, of_box = object_targets(batch.boxes, (prediction.heat.shape[-2], prediction.heat.shape[-1]))
    logits = prediction.heat.float()
    p = logits.sigmoid().clamp(1e-4, 1 - 1e-4)
    positive = heat == 1
    focal = torch.where(positive, -((1 - p) ** 2) * p.log(), -((1 - heat) ** 4) * p**2 * (1 - p).log())
    objects = (focal * weight).sum() / positive.sum().clamp(min=1)
    distance = (prediction.sides.float().clamp(min=0.05).log() - sides.clamp(min=0.5).log()).abs().mean(dim=1)
    boxes = (distance * of_box).sum() / of_box.sum().clamp(min=1)
    loss = semantic + paint + 0.5 * depth + 0.5 * objects + 0.5 * boxes
    parts = {"semantic": semantic, "paint": paint, "depth": depth, "objects": objects, "boxes": boxes}
    return loss, parts


def object_targets(boxes: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """heat [B,K,h,w], 1 at centres; weight [B,K,h,w], 0 where an object that need not be found lies; sides [B,4,h,w]
    pixels; of_box [B,h,w], how much a cell's sides count. boxes: as of LabelledPictures."""
    kinds, corners, wanted = boxes[..., 0], boxes[..., 1:5], boxes[..., 5] > 0
    real = kinds >= 0
    (h, w), device = size, boxes.device
    x = STRIDE * torch.arange(w, device=device) + (STRIDE - 1) / 2
    y = STRIDE * torch.arange(h, device=device) + (STRIDE - 1) / 2
    left, top, right, bottom = corners.unbind(-1)
    width, height = (right - left).clamp(min=1), (bottom - top).clamp(min=1)
    centre_x = (((left + right - 1) / 2 / STRIDE).round().clamp(0, w - 1) * STRIDE + (STRIDE - 1) / 2)[..., None]
    centre_y = (((top + bottom - 1) / 2 / STRIDE).round().clamp(0, h - 1) * STRIDE + (STRIDE - 1) / 2)[..., None]
    gx = torch.exp(-0.5 * ((x - centre_x) / (width / 6).clamp(min=0.8)[..., None]) ** 2)
    gy = torch.exp(-0.5 * ((y - centre_y) / (height / 6).clamp(min=0.8)[..., None]) ** 2)
    bump = gy[..., :, None] * gx[..., None, :] * (real & wanted)[..., None, None]
    inside = ((x >= left[..., None] - 2) & (x <= right[..., None] + 1))[..., None, :]
    inside = inside & ((y >= top[..., None] - 2) & (y <= bottom[..., None] + 1))[..., :, None]
    ignored = inside & (real & ~wanted)[..., None, None]
    of_kind = [(kinds == kind)[..., None, None] for kind in range(len(OBJECT_CLASSES))]
    heat = torch.stack([(bump * own).amax(dim=1) for own in of_kind], dim=1)
    weight = 1 - torch.stack([(ignored & own).any(dim=1) for own in of_kind], dim=1).float()
    weight = torch.where(heat > 0.5, 1.0, weight)
    of_box, nearest = bump.max(dim=1)
    of_box = of_box * (of_box > 0.3)

    def side(values: Tensor) -> Tensor:
        return values.gather(1, nearest.flatten(1)).reshape(nearest.shape)

    sides = torch.stack(
        [x - side(left), y[:, None] - side(top), side(right) - 1 - x, side(bottom) - 1 - y[:, None]], dim=1
    )
    return heat, weight, sides, of_box


def train_evaluator(
    net: PerceptionNet,
    bank: PictureBank,
    loop: LoopParams,
    folder: Path,
    *,
    soften: Soften | None = None,
    progress: StepProgress | None = None,
) -> bool:
    """Train in place. True when all steps are done."""
    steps_seen = 0

    def loss_function(generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        nonlocal steps_seen
        if steps_seen % 200 == 0:
            bank.refresh()
        steps_seen += 1
        batch = bank.sample(loop.batch_size, generator)
        with torch.no_grad():
            frames = augmented(batch.frames, generator, soften)
        with torch.autocast(frames.device.type, torch.bfloat16, enabled=frames.device.type == "cuda"):
            prediction = net(frames.to(memory_format=torch.channels_last))
        return evaluator_loss(prediction, batch)

    return run_loop(net, loss_function, loop, folder, progress=progress)
