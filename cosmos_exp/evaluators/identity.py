"""What the output of an evaluator follows from, without loading it: a run whose results are all in the cache needs no
network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from cosmos_exp.evaluators.config import MODELS, EvaluatorConfig

NANO_VERSION = 3  # to be increased when other output follows from the same weights
TRANSFORMERS_VERSION = 2
WEIGHTS = Path(__file__).with_name("nano.safetensors")

FileIdentity = Callable[[Path], str]
"""SHA-256 (hex) of a file's content."""


def read_identity(path: Path) -> str:
    """A FileIdentity that reads the file; that of the stage cache remembers."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def evaluator_identity(
    config: EvaluatorConfig, file_identity: FileIdentity = read_identity
) -> Mapping[str, object] | None:
    """For cache keys; None without an evaluator."""
    if config.name == "none":
        return None
    if config.name == "transformers":
        names = {key: getattr(config, key) for key in MODELS}
        revisions = {key: [name, revision(name, file_identity)] for key, name in names.items() if name}
        return {"name": "transformers", "version": TRANSFORMERS_VERSION, "every": config.every, **revisions}
    weights = file_identity(Path(config.weights or WEIGHTS))
    return {"name": "nano", "version": NANO_VERSION, "every": config.every, "weights": weights}


def revision(name: str, file_identity: FileIdentity = read_identity) -> str:
    """Of a folder, the hash of its files; of a model of the Hub, the commit that is in the local cache, '' for none."""
    folder = Path(name)
    if folder.is_dir():
        digest = hashlib.sha256()
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            digest.update(f"{path.name} {file_identity(path)}\n".encode())
        return digest.hexdigest()
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json")
    return Path(found).parent.name if isinstance(found, str) else ""
