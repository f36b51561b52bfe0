"""What a run says about its config as it begins: what it chose, scaled, or does not follow as it stands."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from cosmos_exp.config.run_spec import Settings
from cosmos_exp.controls.class_filter import find_filter
from cosmos_exp.models.transfer1.spatial_conditioning import Places
from cosmos_exp.sampling.sampler_params import SIGMA_MAX
from cosmos_exp.sensors.carla_yaml import read_carla_sensors

log = logging.getLogger(__name__)


def say_how_files_are_read(cfg: Mapping[str, Any]) -> None:
    """What CARLA's files say that is not followed as it stands."""
    if cfg["sensors"]["file"]:
        for note in read_carla_sensors(cfg["sensors"]["file"]).notes:
            log.info("sensors.file: %s", note)
    for name in {cfg["controls"][control]["class_filter"] for control in ("edge", "seg")}:
        for note in find_filter(name).notes:
            log.info("class filter %s: %s", name, note)


def say_what_counts(settings: Settings) -> None:
    """A size that no one asked for, weights after their scaling, and a noise level that is too low to begin with."""
    model, contract, (_, height, width) = settings.cfg["model"], settings.contract, settings.videos.single_view.shape
    if (height, width) != (contract.height, contract.width) and None in (model["height"], model["width"]):
        log.info("front view of %dx%d pixels (height x width): nearest in shape to its camera's", height, width)
    for net, weights in settings.effective_weights.items():
        shown = ", ".join(f"{name} {weight:.3g}" for name, weight in weights.items())
        log.info("weights of the %s net: %s", net.replace("_", "-"), shown)
    sampler = settings.cfg["sampler"]
    if sampler["sigma_max"] < SIGMA_MAX and sampler["input"] is None:
        log.warning(
            "sampler.sigma_max=%g without sampler.input: below %g a network expects a video beneath the noise",
            *(sampler["sigma_max"], SIGMA_MAX),
        )


def say_what_guides(settings: Settings, places: Places) -> None:
    """Weights that the multi-view net cannot use are nothing to pass over in silence."""
    read = ", ".join(settings.contract.multi_view_controls)
    if not settings.multi_view_controls:
        log.warning("no control guides the other views: the multi-view net reads %s, whose weight is 0", read)
    elif unread := [name for name in settings.weights if name not in settings.multi_view_controls]:
        log.info("%s guides the single view only: the multi-view net reads %s", ", ".join(unread), read)
    everywhere = places.maps_in(settings.multi_view_controls, settings.views)
    for name in places.maps:
        if name in settings.multi_view_controls and name not in everywhere:
            log.info(
                "controls.%s.weight_map.mask is one file, of the front view: in all views together %s weighs the same",
                *(name, name),
            )
    if places.regions:
        log.info("captions.regions guide the single view only: the multi-view net reads a prompt per view")
    if settings.cfg["captions"]["negative_prompt"] is not None:
        log.info("captions.negative_prompt is for the single view only: all views are guided away from no text")
