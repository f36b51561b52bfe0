"""FID and FVD: Frechet distances between two sets of videos in the features of the networks of the literature.

FID (Heusel et al. 2017, arXiv:1706.08500) is of the frames, in the 2048 features of an Inception network; FVD
(Unterthiner et al. 2018, arXiv:1812.01717) of windows of 16 frames, in the 400 of an I3D network. Both networks are
published as TorchScript files with one calling convention, that of StyleGAN: values are those of the literature with
the files that `DETECTORS` names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cosmos_exp.common.errors import UserError

WINDOW = 16  # frames of a sample of FVD
BATCH = 16  # frames of a sample of FID that the network is given at once
STRIDE = 4  # of the frames that FID reads: neighbours are nearly the same picture


@dataclass(frozen=True)
class DetectorInfo:
    """file: the published one. source: where it is. least: frames of a video."""

    file: str
    source: str
    least: int


DETECTORS = {
    "fid": DetectorInfo("inception-2015-12-05.pt", "the detectors of StyleGAN3, saved as TorchScript, 91 MB", 1),
    "fvd": DetectorInfo(
        "i3d_torchscript.pt", "hf download flateon/FVD-I3D-torchscript i3d_torchscript.pt, 51 MB", WINDOW
    ),
}


@dataclass(frozen=True)
class Detector:
    """kind: a key of DETECTORS. network: TorchScript."""

    kind: str
    network: Any
    device: str

    def features(self, video: np.ndarray) -> np.ndarray:
        """float64 [N,D] of the samples of a video uint8 [F,H,W,3]."""
        import torch

        samples = _windows(video) if self.kind == "fvd" else _frames(video)
        with torch.inference_mode():
            found = [self._call(torch.from_numpy(sample).to(self.device)) for sample in samples]
        return torch.cat(found).flatten(1).double().cpu().numpy()

    def _call(self, sample: Any) -> Any:
        if self.kind == "fvd":
            return self.network(sample.float(), rescale=True, resize=True, return_features=True)
        return self.network(sample, return_features=True)


def load_detector(kind: str, path: Path, device: str = "cpu") -> Detector:
    """UserError for a file that is no TorchScript network that takes the arguments of its kind."""
    import torch

    info = DETECTORS[kind]
    if not path.is_file():
        raise UserError(f"--{kind} {path}: no such file; {info.file} is published: {info.source}")
    try:
        detector = Detector(kind, torch.jit.load(path, map_location=device).eval(), device)
        found = detector.features(np.zeros((info.least, 64, 64, 3), np.uint8))
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"--{kind} {path}: not a TorchScript network such as {info.file}: {reason}") from error
    if not np.isfinite(found).all():
        raise UserError(f"--{kind} {path}: its features are not finite")
    return detector


def set_features(detector: Detector, videos: Iterable[tuple[Path, np.ndarray]]) -> np.ndarray:
    """[N,D] of all videos of a set. UserError for a video that is too short, and for fewer than two samples."""
    found = []
    least = DETECTORS[detector.kind].least
    for path, video in videos:
        if len(video) < least:
            raise UserError(f"{path}: {len(video)} frames; {detector.kind} reads {least} at a time")
        found.append(detector.features(video))
    samples = np.concatenate(found) if found else np.zeros((0, 1))
    if len(samples) < 2:
        raise UserError(f"{detector.kind} needs two samples or more on either side; there are {len(samples)}")
    return samples


def _windows(video: np.ndarray) -> Iterator[np.ndarray]:
    """[1,3,WINDOW,H,W], one after the other; what is left over at the end is not read."""
    for start in range(0, len(video) - WINDOW + 1, WINDOW):
        yield np.ascontiguousarray(video[start : start + WINDOW].transpose(3, 0, 1, 2)[None])


def _frames(video: np.ndarray) -> Iterator[np.ndarray]:
    """[B,3,H,W] of one of STRIDE frames."""
    frames = video[::STRIDE]
    for start in range(0, len(frames), BATCH):
        yield np.ascontiguousarray(frames[start : start + BATCH].transpose(0, 3, 1, 2))
