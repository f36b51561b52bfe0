"""Frechet distance between the evaluator's features of the generated frames and of the rendered ones.

The distance of FID (Heusel et al. 2017, arXiv:1706.08500), |m - m_r|^2 + tr(C + C_r - 2 (C C_r)^(1/2)), of the features
of the evaluator in place of those of Inception, over the frames of all views of one clip. So it is no FID: values
compare within one sweep, between clips of equal numbers of frames, and with no table.
"""

from __future__ import annotations

import numpy as np

from cosmos_exp.metrics.types import GeneratedClip


def frechet(clip: GeneratedClip) -> dict[str, float]:
    """Undefined without an evaluator of features, and where the scene was not rendered in the style."""
    generated, rendered = [], []
    for view in clip.videos:
        seen, reference = clip.perception(view), clip.target_perception(view)
        if seen is None or reference is None or seen.features is None or reference.features is None:
            return {}
        generated.append(seen.features)
        rendered.append(reference.features)
    pair = [np.concatenate(parts).astype(np.float64) for parts in (generated, rendered)]
    return {"frechet": frechet_distance(*pair)} if len(pair[0]) > 1 else {}


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Of the Gaussians of two samples [N,D] and [M,D]."""
    difference = x.mean(axis=0) - y.mean(axis=0)
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    values, vectors = np.linalg.eigh(a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    common = np.sqrt(np.linalg.eigvalsh(root @ b @ root).clip(0)).sum()
    return float(max(0.0, difference @ difference + np.trace(a) + np.trace(b) - 2 * common))
