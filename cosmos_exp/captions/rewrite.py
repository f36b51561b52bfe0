"""Captions in the eight styles, by template: a short sentence about weather and light precedes the caption."""

from __future__ import annotations

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.styles import STYLES

# The last phrasing of each style is meant to be held out from training.
PHRASINGS = {
    "Original": (
        "A plain day with neutral light.",
        "Ordinary daylight, a mild day.",
        "Daytime in even, natural light.",
        "A normal day, soft even daylight.",
        "An everyday scene in plain daylight.",
    ),
    "Golden hour": (
        "Golden hour, warm low sun and long shadows.",
        "Warm golden light of a low sun.",
        "Before sunset, the light orange and warm.",
        "A glowing golden hour, orange sky.",
        "The low sun bathes all in golden light.",
    ),
    "Morning": (
        "Early morning, soft pale light.",
        "A calm morning with gentle cool light.",
        "Morning, the sun just up in a pale sky.",
        "Soft light of an early morning.",
        "Just after dawn, a quiet pale morning.",
    ),
    "Night": (
        "Night, dark sky and street lamps.",
        "A dark night lit by lamps and headlights.",
        "At night, under a black sky.",
        "Late night, dark streets, glowing lamps.",
        "It is night; lamps light the dark road.",
    ),
    "Rainy": (
        "Rain falls, the road is wet, grey sky.",
        "A rainy day with wet, shiny asphalt.",
        "Heavy rain under dark clouds.",
        "Rainy weather, puddles and a grey sky.",
        "It is raining and the wet road shines.",
    ),
    "Snowy": (
        "Snow falls, the ground is white.",
        "A snowy winter day, snow on everything.",
        "Winter, snow covers ground and roofs.",
        "Snowy weather under a white sky.",
        "It is snowing on a white winter road.",
    ),
    "Sunny": (
        "A bright sunny day, clear blue sky.",
        "Sunny weather with sharp shadows.",
        "Clear blue sky and strong sunlight.",
        "A sunny day in bright light.",
        "The sun shines from a cloudless blue sky.",
    ),
    "Foggy": (
        "Thick fog, the distance fades to grey.",
        "A foggy day with poor visibility.",
        "Dense grey fog hides the distance.",
        "Foggy weather, pale and hazy.",
        "Fog hangs over the road, all is hazy.",
    ),
}
NUM_PHRASINGS = len(PHRASINGS["Original"])


def rewrite(caption: str, style: str, variant: int = 0) -> str:
    """The caption as it would read in a style: its weather and light first, then the caption unchanged.

    variant: which phrasing, 0 to NUM_PHRASINGS - 1. Raises UserError on an unknown style or variant.
    """
    if style not in PHRASINGS:
        raise UserError(unknown_name("style", style, STYLES))
    if not 0 <= variant < NUM_PHRASINGS:
        nearest = min(max(variant, 0), NUM_PHRASINGS - 1)
        raise UserError(f"caption variant {variant} is not in 0..{NUM_PHRASINGS - 1}: the nearest is {nearest}")
    return f"{PHRASINGS[style][variant]} {caption.strip()}".strip()
