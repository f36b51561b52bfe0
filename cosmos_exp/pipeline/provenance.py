"""What a run's result follows from besides its config: code, packages, machine, files, seeds; and what the result was.

`provenance.json` in the run folder holds it, for `cosmos-exp reproduce` and for people.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from cosmos_exp import __version__
from cosmos_exp.common import torchrun
from cosmos_exp.common.cache import MANIFEST, Entry, StageCache
from cosmos_exp.common.files import file_sha256
from cosmos_exp.common.typed_config import plain
from cosmos_exp.config.schema import Config
from cosmos_exp.pipeline.context import RunContext
from cosmos_exp.runs.run_folder import RunFolder

DISTRIBUTION = "cosmos-exp"
GIT_TIMEOUT = 10  # seconds
NO_RESULTS = ("status.json", "provenance.json", "guardrails.json", "wandb")  # nor are logs and hidden files


def provenance(context: RunContext, run_id: str) -> dict[str, Any]:
    """Plain values. code: version and git state of the package. stages: versions of what they compute. model: {file:
    sha256}. started_in: the folder that relative paths are of. files: {path: sha256} of what the config names.
    seeds: of the config."""
    spec, config = context.spec, context.spec.config
    return {
        "run_id": run_id,
        "code": {"version": __version__, "git": git_state(Path(__file__).resolve().parents[1])},
        "python": platform.python_version(),
        "packages": package_versions(),
        "machine": {
            "platform": platform.platform(),
            "device": device_name(config.hardware.device),
            "threads": spec.threads,
            "processes": torchrun.process_count(config.hardware.processes),
            "environment": {
                k: v for k, v in sorted(os.environ.items()) if k in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
            },
        },
        "stages": context.results.versions,
        "model": {"folder": spec.model.location, "files": spec.model.files(context.results)},
        "started_in": os.getcwd(),
        "files": named_files(config, context.results.cache),
        "seeds": {name: group.seed for name, group in _groups(config, "scene", "sampler") if hasattr(group, "seed")},
    }


def result_digests(made: dict[str, list[Entry]]) -> dict[str, list[str]]:
    """{result: sha256 of each of its parts}, from the manifests of their cache entries."""
    return {name: [_digest(entry) for entry in entries] for name, entries in made.items()}


def written_files(folder: RunFolder) -> dict[str, str]:
    """{path below the run folder: sha256} of the results that a run wrote: what is not older than its config.yaml."""
    begun = folder.config.stat().st_mtime_ns
    return {
        path.relative_to(folder.path).as_posix(): file_sha256(path)
        for path in sorted(folder.path.rglob("*"))
        if _is_result(path.relative_to(folder.path)) and path.is_file() and path.stat().st_mtime_ns >= begun
    }


def _is_result(path: Path) -> bool:
    return path.parts[0] not in NO_RESULTS and path.suffix != ".log" and not any(p.startswith(".") for p in path.parts)


def _digest(entry: Entry) -> str:
    """Of the content of all its files."""
    manifest = json.loads((entry.path / MANIFEST).read_text())
    hashes = "".join(stated["sha256"] for _, stated in sorted(manifest.items()))
    return hashlib.sha256(hashes.encode()).hexdigest()


def named_files(config: Config, cache: StageCache) -> dict[str, str]:
    """{path: sha256} of every file that a value of the config names."""
    groups = _groups(config, "scene", "sensors", "controls", "captions", "model", "sampler")
    paths = {text for _, group in groups for text in _texts(plain(group)) if _is_path(text)}
    return {path: cache.file_identity(path) for path in sorted(paths)}


def _groups(config: Config, *names: str) -> Iterator[tuple[str, Any]]:
    return ((name, getattr(config, name)) for name in names)


def _texts(values: Any) -> list[str]:
    if isinstance(values, str):
        return [values]
    if isinstance(values, dict):
        values = list(values.values())
    return [text for value in values for text in _texts(value)] if isinstance(values, list) else []


def _is_path(text: str) -> bool:
    try:
        return os.path.isfile(text)
    except ValueError:
        return False


@lru_cache
def package_versions() -> dict[str, str]:
    """{package: version} of what this package requires and is installed."""
    try:
        needs = [need for need in metadata.requires(DISTRIBUTION) or () if "extra ==" not in need]
    except metadata.PackageNotFoundError:  # a source folder that was not installed
        needs = _stated_dependencies(Path(__file__).resolve().parents[2] / "pyproject.toml")
    names = sorted(re.split(r"[^\w.-]", need)[0] for need in needs)
    return {name: version for name in names if (version := _version(name))}


def _stated_dependencies(pyproject: Path) -> list[str]:
    """Of a source folder; empty where it has no such file."""
    if not pyproject.is_file():
        return []
    stated = re.search(r"^dependencies = \[(.*?)^\]", pyproject.read_text(), re.DOTALL | re.MULTILINE)
    return re.findall(r'"([^"]+)"', stated[1]) if stated else []


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def device_name(device: str) -> str:
    if not device.startswith("cuda"):
        return cpu_name()
    import torch

    return torch.cuda.get_device_name(device)


def cpu_name() -> str:
    """As the kernel knows it, else the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


@lru_cache
def git_state(folder: Path) -> dict[str, Any] | None:
    """commit, branch, and where the working tree differs from the commit, `changed` files and the sha256 of their
    difference; None where the folder is in no git checkout of its own."""
    if not (folder.parent / ".git").exists():
        return None
    try:
        changed = [line[3:] for line in _git(folder, "status", "--porcelain").splitlines()]
        state = {"commit": _git(folder, "rev-parse", "HEAD").strip(), "branch": _branch(folder), "changed": changed}
        if changed:
            state["difference"] = hashlib.sha256(_git(folder, "diff", "HEAD").encode()).hexdigest()
        return state
    except (OSError, subprocess.SubprocessError):
        return None


def _branch(folder: Path) -> str:
    return _git(folder, "rev-parse", "--abbrev-ref", "HEAD").strip()


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=GIT_TIMEOUT).stdout
