"""How to read each metric key: label, better direction, unit."""

from __future__ import annotations

from dataclasses import replace

from cosmos_exp.captions.truth import TOPICS
from cosmos_exp.metrics.types import MetricInfo

METRIC_INFO: dict[str, MetricInfo] = {
    "style_score": MetricInfo(
        "Style score",
        "up",
        "",
        "1: as the renderer draws the requested style, 0: between it and another, -1: another",
        "style",
    ),
    "style_match": MetricInfo("Style match", "up", "", "1 where no other style is as likely", "style"),
    "style_regions": MetricInfo("Style of regions", "up", "", "the style score of each region, mean", "style"),
    "style_road": MetricInfo("Style, road", "up", "", "the style score of the road's pixels", "style"),
    "style_sky": MetricInfo("Style, sky", "up", "", "the style score of the sky's pixels", "style"),
    "style_vegetation": MetricInfo("Style, vegetation", "up", "", "the style score of trees and grass", "style"),
    "style_building": MetricInfo("Style, buildings", "up", "", "the style score of the buildings' pixels", "style"),
    "mask_miou": MetricInfo("Mask mIoU", "up", "", "classes that the evaluator sees, against the true ones", "map"),
    "lane_survival": MetricInfo(
        "Lane lines shown", "up", "", "share of the lane lines that the video shows where the labels are", "map"
    ),
    "lane_f1": MetricInfo("Lane F1", "up", "", "paint on the road that the evaluator sees, against the map's", "map"),
    "depth_si_rmse": MetricInfo("Depth si-RMSE", "down", "", "depth that the evaluator sees, scale-invariant", "map"),
    "semantic_eta2": MetricInfo("Semantic η²", "up", "", "colour variance explained by the true classes", "map"),
    "depth_edge_auc": MetricInfo(
        "Depth edge AUC", "up", "", "image gradients at depth discontinuities; 0.5 is chance", "map"
    ),
    "object_survival": MetricInfo(
        "Objects shown", "up", "", "share of the objects that the video shows where the labels are", "objects"
    ),
    "object_recall": MetricInfo("Object recall", "up", "", "share of the objects that the evaluator finds", "objects"),
    "false_objects": MetricInfo(
        "False objects", "down", "", "objects per frame that the scene does not have", "objects"
    ),
    "flicker": MetricInfo("Flicker", "down", "levels", "change that the known motion does not explain", "consistency"),
    "tse": MetricInfo("TSE", "down", "px", "temporal Sampson error, median", "consistency"),
    "tse_960": MetricInfo(
        "TSE at 960", "down", "px", "temporal Sampson error, median, at 960 pixels of width", "consistency"
    ),
    "tse_norm": MetricInfo(
        "TSE normalised", "down", "", "temporal Sampson error, median, in normalised image coordinates", "consistency"
    ),
    "tse_mean": MetricInfo("TSE mean", "down", "px", "temporal Sampson error, mean over all matches", "consistency"),
    "tse_keep": MetricInfo("TSE kept", "up", "", "share of temporal matches within 3 px", "consistency"),
    "tse_matches": MetricInfo("TSE matches", "", "", "number of temporal matches", "consistency"),
    "cse": MetricInfo("CSE", "down", "px", "cross-view Sampson error, median", "consistency"),
    "cse_960": MetricInfo(
        "CSE at 960", "down", "px", "cross-view Sampson error, median, at 960 pixels of width", "consistency"
    ),
    "cse_norm": MetricInfo(
        "CSE normalised", "down", "", "cross-view Sampson error, median, in normalised image coordinates", "consistency"
    ),
    "cse_mean": MetricInfo("CSE mean", "down", "px", "cross-view Sampson error, mean over all matches", "consistency"),
    "cse_keep": MetricInfo("CSE kept", "up", "", "share of cross-view matches within 3 px", "consistency"),
    "cse_matches": MetricInfo("CSE matches", "", "", "number of cross-view matches", "consistency"),
    "psnr": MetricInfo("PSNR", "up", "dB", "against the render in the requested style", "quality"),
    "blur_ssim": MetricInfo(
        "Blur SSIM", "up", "", "coarse structure, against the render in the requested style", "quality"
    ),
    "edge_f1": MetricInfo(
        "Edge F1", "up", "", "Canny edges, strict pixel match, against the render in the requested style", "quality"
    ),
    "lpips": MetricInfo(
        "LPIPS", "down", "", "AlexNet's features, against the render in the requested style", "quality"
    ),
    "sharpness": MetricInfo("Sharpness", "", "", "fine detail, as a share of the render's", "quality"),
    "sharpness_error": MetricInfo(
        "Sharpness error", "down", "octaves", "1: half or twice the render's detail", "quality"
    ),
    "artefacts": MetricInfo("Artefacts", "down", "levels", "deviation added where the scene is flat", "quality"),
    "seed_diversity": MetricInfo(
        "Seed diversity", "", "levels", "mean difference of videos that differ in sampler.seed alone", "quality"
    ),
    **{
        f"caption_{which}{of}": MetricInfo(
            f"Caption {which}{label}", "up", "", f"{text}{said}; the video is not looked at", "quality"
        )
        for which, text in (
            ("precision", "share of the prompt's statements that are true of the scene"),
            ("recall", "share of what the scene has that the prompt says"),
        )
        for of, label, said in (("", "", ""), *((f"_{t}", f", {t}", f": {t}") for t in TOPICS))
    },
    "frechet": MetricInfo(
        "Fréchet distance", "down", "", "of the evaluator's features, to those of the render; no FID", "quality"
    ),
}
"""In the order in which metrics are shown."""


def metric_info(key: str) -> MetricInfo:
    """Info of a metric key; `name/view` keys share that of `name`. Unknown keys are shown as they are."""
    name, _, part = key.partition("/")
    info = METRIC_INFO.get(name, MetricInfo(name, "", "", ""))
    return replace(info, label=f"{info.label} {part}") if part else info
