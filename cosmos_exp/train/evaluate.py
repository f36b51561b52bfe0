"""Held-out validation: adherence to scene and style, and the effect of guidance, control weights and captions.

Everything is measured on procedural scenes with seeds that training never uses, and written as `report.json` and
images.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from cosmos_exp.captions.views import view_prompt
from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.guards import read_json
from cosmos_exp.common.styles import STYLES
from cosmos_exp.metrics.blur_ssim import blurred_ssim
from cosmos_exp.metrics.edge_f1 import edge_f1_score
from cosmos_exp.metrics.psnr import video_psnr
from cosmos_exp.metrics.style import StyleClassifier, fit, predict, save, style_features
from cosmos_exp.metrics.style_regions import REGIONS, fit_region, region_features
from cosmos_exp.metrics.style_regions import save as save_regions
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.models.transfer1.multi_view import sample_multi_view
from cosmos_exp.models.transfer1.single_view import sample_single_view
from cosmos_exp.sampling.sampler_params import SamplerParams
from cosmos_exp.sensors.camera import Camera, Rig
from cosmos_exp.train.clips import Clip, ClipSize, ClipSpec
from cosmos_exp.train.config import EvaluateConfig, TrainConfig
from cosmos_exp.train.rendering import HELD_OUT_SEED, render_clip, render_styles

log = logging.getLogger(__name__)

DISTINCT_STYLES = ("Night", "Snowy", "Foggy", "Sunny")  # those that colour and contrast alone distinguish
Report = dict[str, object]
Scores = defaultdict[str, list[float]]


class Validator:
    """A model and the held-out clips it generates.

    clips[i] holds the front view of scene i in all eight styles and every control, multi_view_clips[i] all views in two
    styles.
    """

    def __init__(self, model: WorldModel, rig: Rig, config: TrainConfig):
        self.model = model
        self.settings: EvaluateConfig = config.evaluate
        views, controls = model.contract.views, model.contract.controls
        seeds = range(HELD_OUT_SEED, HELD_OUT_SEED + self.settings.num_scenes)
        size, world = config.size, self.settings.world
        self.clips = [render_clip(ClipSpec(s, views[:1], len(STYLES), controls, size, world), rig) for s in seeds]
        few = list(seeds)[: self.settings.num_multi_view_scenes]
        self.multi_view_clips = [render_clip(ClipSpec(s, views, 2, ("hdmap",), size, world), rig) for s in few]
        known = range(self.settings.num_classifier_scenes)
        self.training_clips = [render_clip(ClipSpec(s, views[:1], len(STYLES), (), size, world), rig) for s in known]
        self.front = views[0]
        self._hints: dict[tuple[int, str], torch.Tensor] = {}
        self._videos: dict[tuple, np.ndarray] = {}

    def sampler(self, guidance: float | None = None) -> SamplerParams:
        chosen = self.settings.guidance if guidance is None else guidance
        return SamplerParams(self.settings.num_steps, chosen, sigma_min=self.model.contract.sigma_min)

    def hint(self, clip: Clip, control: str) -> torch.Tensor:
        key = (clip.seed, control)
        if key not in self._hints:
            self._hints[key] = self.model.encode_video(clip.video(self.front, control))
        return self._hints[key]

    def generate(
        self,
        clip: Clip,
        prompt: str,
        weights: dict[str, float],
        *,
        guidance: float | None = None,
        model: WorldModel | None = None,
    ) -> np.ndarray:
        """Front-view video uint8 [F,H,W,3] for a held-out clip's controls and any prompt; cached."""
        model = model or self.model
        params = self.sampler(guidance)
        key = (id(model), clip.seed, prompt, *weights.items(), params.guidance)
        if key not in self._videos:
            self._videos[key] = self._sample(model, clip, prompt, weights, params)
        return self._videos[key]

    def _sample(
        self, model: WorldModel, clip: Clip, prompt: str, weights: dict[str, float], params: SamplerParams
    ) -> np.ndarray:
        latents = sample_single_view(
            model,
            {control: self.hint(clip, control) for control in weights},
            weights,
            model.encode_text(prompt),
            model.encode_text(model.contract.negative_prompt) if model.contract.negative_prompt else None,
            params,
            seed=clip.seed,
        )
        return self.model.decode(latents)


def evaluate(model: WorldModel, rig: Rig, config: TrainConfig, folder: Path) -> Report:
    """Run the requested measures; returns the content of `folder/report.json`."""
    measures = list(MEASURES) if config.evaluate.measures is None else config.evaluate.measures
    for name in measures:
        if name not in MEASURES:
            raise UserError(unknown_name("measure", name, MEASURES))
    folder.mkdir(parents=True, exist_ok=True)
    validator = Validator(model, rig, config)
    save(fit_classifier(validator, STYLES), folder / "style_classifier.json")
    regions = fit_regions(rig.camera(validator.front), config.size, range(config.evaluate.num_classifier_scenes))
    save_regions(regions, folder / "style_regions.json")
    path = folder / "report.json"
    report: Report = read_json("report", path) if path.exists() else {}
    report["settings"] = dataclasses.asdict(config.evaluate)
    for name in measures:
        report[name] = MEASURES[name](validator, folder)
        log.info("%s: %s", name, report[name])
        path.write_text(json.dumps(report, indent=2) + "\n")
    return report


def tokenizer_psnr(validator: Validator, folder: Path) -> Report:
    """PSNR of encoding and decoding alone, per style and control: the upper bound for the networks."""
    scores: Scores = defaultdict(list)
    for clip in validator.clips:
        for key, video in zip(clip.keys, clip.videos):
            again = validator.model.decode(validator.model.encode_video(video))
            scores[key.name].append(video_psnr(video, again))
    return {name: mean(values) for name, values in scores.items()}


def fit_classifier(validator: Validator, styles: tuple[str, ...]) -> StyleClassifier:
    """Fitted on *rendered* videos of training scenes."""
    videos = [(k.name, v) for c in validator.training_clips for k, v in zip(c.keys, c.videos) if k.name in styles]
    return fit(np.stack([style_features(v) for _, v in videos]), [name for name, _ in videos])


def fit_regions(camera: Camera, size: ClipSize, seeds: Iterable[int]) -> dict[str, StyleClassifier]:
    """{region: classifier}, fitted on the same kind of videos and their true classes; regions that fewer than two
    scenes show are left out."""
    features: dict[str, list[np.ndarray]] = defaultdict(list)
    labels: dict[str, list[str]] = defaultdict(list)
    for seed in seeds:
        videos, truth = render_styles(seed, camera, size)
        for style in STYLES:
            for region, rows in region_features(videos[style], truth.output("semantic")).items():
                features[region].append(rows.mean(axis=0))
                labels[region].append(style)
    return {
        region: fit_region(np.array(features[region]), labels[region])
        for region in REGIONS
        if len(labels[region]) >= 2 * len(STYLES)
    }


def likeliest(classifier: StyleClassifier, video: np.ndarray) -> str:
    probabilities = predict(classifier, style_features(video))
    return max(probabilities, key=probabilities.__getitem__)


def style_accuracy(validator: Validator, folder: Path) -> Report:
    """Each scene in each style: PSNR against the render, and the accuracy of the classifier for the requested style."""
    classifier = fit_classifier(validator, DISTINCT_STYLES)
    psnr: Scores = defaultdict(list)
    right: Scores = defaultdict(list)
    rows: list[np.ndarray] = []
    for clip in validator.clips:
        frames = []
        for style in STYLES:
            video = validator.generate(clip, clip.prompts[style], validator.settings.weights)
            psnr[style].append(video_psnr(clip.video(validator.front, style), video))
            if style in DISTINCT_STYLES:
                right[style].append(likeliest(classifier, video) == style)
            frames.append(video[len(video) // 2])
        truth = [clip.video(validator.front, style)[len(frames) // 2] for style in STYLES]
        rows += [np.hstack(truth), np.hstack(frames)]
    write_image(folder / "styles.png", np.vstack(rows))
    return {
        "psnr": {s: mean(v) for s, v in psnr.items()},
        "psnr_mean": mean([x for v in psnr.values() for x in v]),
        "accuracy": {s: mean(v) for s, v in right.items()},
        "accuracy_mean": mean([x for v in right.values() for x in v]),
        "clips": sum(len(v) for v in right.values()),
    }


def caption_value(validator: Validator, folder: Path) -> Report:
    """PSNR with the right caption, with another style's caption, and of models that cannot use captions."""
    model = validator.model
    others = {"untrained": WorldModel.build(model.config, device=model.device)}
    if validator.settings.shuffled_model:
        shuffled = WorldModel.from_folder(Path(validator.settings.shuffled_model), device=model.device)
        others["trained on shuffled captions"] = shuffled
    weights = validator.settings.weights
    scores: Scores = defaultdict(list)
    for clip in validator.clips:
        for index, style in enumerate(DISTINCT_STYLES):
            target = clip.video(validator.front, style)
            wrong = clip.prompts[DISTINCT_STYLES[index - 1]]
            scores["right caption"].append(video_psnr(target, validator.generate(clip, clip.prompts[style], weights)))
            scores["caption of another style"].append(video_psnr(target, validator.generate(clip, wrong, weights)))
            for name, model in others.items():
                video = validator.generate(clip, clip.prompts[style], weights, model=model)
                scores[name].append(video_psnr(target, video))
    return {name: mean(values) for name, values in scores.items()}


def guidance_effect(validator: Validator, folder: Path) -> Report:
    """Style and adherence against `sampler.guidance`, mean over scenes and distinct styles."""
    classifier = fit_classifier(validator, DISTINCT_STYLES)
    report: Report = {}
    for guidance in validator.settings.guidances:
        values: Scores = defaultdict(list)
        for clip in validator.clips:
            for style in DISTINCT_STYLES:
                video = validator.generate(clip, clip.prompts[style], validator.settings.weights, guidance=guidance)
                add_scores(values, clip.video(validator.front, style), video)
                values["style_accuracy"].append(likeliest(classifier, video) == style)
        report[str(guidance)] = {name: mean(v) for name, v in values.items()}
    return report


def hdmap_weight_effect(validator: Validator, folder: Path) -> Report:
    """Adherence against the weight of the HD map as the only control, mean over scenes in the Sunny style."""
    report: Report = {}
    for weight in validator.settings.hdmap_weights:
        values: Scores = defaultdict(list)
        for clip in validator.clips:
            video = validator.generate(clip, clip.prompts["Sunny"], {"hdmap": weight})
            add_scores(values, clip.video(validator.front, "Sunny"), video)
        report[str(weight)] = {name: mean(v) for name, v in values.items()}
    return report


def multi_view_psnr(validator: Validator, folder: Path) -> Report:
    """PSNR of the generated side and rear views against their renders, the true front view given; and untrained."""
    model = validator.model
    untrained = WorldModel.build(model.config, device=model.device)
    scores: Scores = defaultdict(list)
    rows: list[np.ndarray] = []
    views = model.contract.views
    for clip in validator.multi_view_clips:
        style = next(iter(clip.prompts))
        front = model.encode_video(clip.video(views[0], style))
        hints = torch.stack([model.encode_video(clip.video(v, "hdmap")) for v in views])
        texts = torch.stack([model.encode_text(view_prompt(v, clip.prompts[style])) for v in views])
        for name, candidate in (("trained", model), ("untrained", untrained)):
            latents = sample_multi_view(
                candidate, front, {"hdmap": hints}, {"hdmap": 1.0}, texts, validator.sampler(), seed=clip.seed
            )
            videos = [model.decode(z) for z in latents]
            for view, video in list(zip(views, videos))[1:]:
                scores[name].append(video_psnr(clip.video(view, style), video))
            if name == "trained":
                rows.append(np.hstack([clip.video(v, style)[-1] for v in views]))
                rows.append(np.hstack([v[-1] for v in videos]))
    if rows:
        write_image(folder / "multi_view.png", np.vstack(rows))
    return {name: mean(values) for name, values in scores.items()}


MEASURES: dict[str, Callable[[Validator, Path], Report]] = {
    "tokenizer": tokenizer_psnr,
    "styles": style_accuracy,
    "guidance": guidance_effect,
    "hdmap_weight": hdmap_weight_effect,
    "captions": caption_value,
    "multi_view": multi_view_psnr,
}


def add_scores(values: Scores, target: np.ndarray, video: np.ndarray) -> None:
    values["psnr"].append(video_psnr(target, video))
    values["blur_ssim"].append(blurred_ssim(target, video))
    edge = edge_f1_score(target, video)
    if edge is not None:
        values["edge_f1"].append(edge)


def mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 4)


def write_image(path: Path, rgb: np.ndarray) -> None:
    cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
