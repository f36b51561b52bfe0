"""The generations of video models: options of the group `generation`, each a model with what it needs beside it."""

from __future__ import annotations

import os

from cosmos_exp.models.checkpoints.released import models_root

COSMOS3 = "COSMOS_EXP_COSMOS3"
"""Environment variable with the address of a server of Cosmos3."""
RELEASED = {"transfer1": "single2multiview_t2w", "transfer25": "transfer25_auto_multiview"}
"""{generation: model} of those whose weights are downloaded."""


def available_generations() -> str:
    """Those that can run here, as the values of a sweep: `render,nano`, then those with weights or a server."""
    found = ["render", "nano"]
    found += [name for name, model in RELEASED.items() if (models_root() / model / "model.json").is_file()]
    return ",".join([*found, *(["cosmos3"] if os.environ.get(COSMOS3, "").strip() else [])])
