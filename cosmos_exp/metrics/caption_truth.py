"""Is the prompt true of the scene, and does it say what there is? Precision and recall of the statements of a caption.

precision = statements that are true / statements that the scene decides; recall = what the scene has and the caption
says / what the scene has. Both over kinds of actors, their counts, colours of vehicles, states of traffic lights, the
road, and the surroundings, and in all. The statements are read from the text by tables of words
(`cosmos_exp/captions/facts.py`), the truth from tracks and map at TIMES instants of the clip
(`cosmos_exp/captions/truth.py`). The video is not looked at. Higher is better.
"""

from __future__ import annotations

import numpy as np

from cosmos_exp.captions.truth import Verdict, judge, scene_truth
from cosmos_exp.metrics.types import GeneratedClip

TIMES = 9


def caption_precision(clip: GeneratedClip) -> dict[str, float]:
    """caption_precision, caption_precision_kinds, ...: of topics that the prompt speaks of."""
    return _values("caption_precision", {topic: v.precision for topic, v in _verdicts(clip).items()})


def caption_recall(clip: GeneratedClip) -> dict[str, float]:
    """caption_recall, caption_recall_kinds, ...: of topics that the scene has something of."""
    return _values("caption_recall", {topic: v.recall for topic, v in _verdicts(clip).items()})


def _values(name: str, found: dict[str, float | None]) -> dict[str, float]:
    keys = {topic: f"{name}_{topic}" if topic else name for topic in found}
    return {keys[topic]: value for topic, value in found.items() if value is not None}


def _verdicts(clip: GeneratedClip) -> dict[str, Verdict]:
    """{topic: verdict}, and under "" that of all statements together; empty without a scene."""
    if clip.scene is None:
        return {}
    times = next(iter(clip.renders.values())).times
    instants = times[np.unique(np.linspace(0, len(times) - 1, TIMES).round().astype(int))]
    found = judge(clip.prompt, scene_truth(clip.scene, [float(time) for time in instants]))
    return {"": sum(found.values(), Verdict()), **found}
