"""What the output of an evaluator follows from, without loading it: a run whose results are all in the cache needs no
network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from cosmos_exp.evaluators.config import EvaluatorConfig

NANO_VERSION = 2  # to be increased when other output follows from the same weights
TRANSFORMERS_VERSION = 1
WEIGHTS = Path(__file__).with_name("nano.safetensors")
MODELS = ("segmentation", "depth", "detection")


def evaluator_identity(config: EvaluatorConfig) -> Mapping[str, object] | None:
    """For cache keys; None without an evaluator."""
    if config.name == "none":
        return None
    if config.name == "transformers":
        names = {key: getattr(config, key) for key in MODELS}
        revisions = {key: [name, revision(name)] for key, name in names.items() if name}
        return {"name": "transformers", "version": TRANSFORMERS_VERSION, "every": config.every, **revisions}
    return nano_identity(Path(config.weights or WEIGHTS), config.every)


def nano_identity(weights: Path, every: int) -> Mapping[str, object]:
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    return {"name": "nano", "version": NANO_VERSION, "every": every, "weights": digest}


def revision(name: str) -> str:
    """Of a folder, the hash of its files; of a model of the Hub, the commit that is in the local cache, '' for none."""
    folder = Path(name)
    if folder.is_dir():
        digest = hashlib.sha256()
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            digest.update(path.name.encode() + path.read_bytes())
        return digest.hexdigest()
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json")
    return Path(found).parent.name if isinstance(found, str) else ""
