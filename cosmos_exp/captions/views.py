"""The sentence in the prompt of the multi-view network that gives the direction of a camera."""

from __future__ import annotations

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.views import ALL_VIEWS

# Input data of the released Single2MultiView model: results depend on the exact words.
FACING = {
    "front_wide_120fov": "forward",
    "cross_left_120fov": "to the left",
    "cross_right_120fov": "to the right",
    "rear_tele_30fov": "backwards",
    "rear_left_70fov": "the rear left side",
    "rear_right_70fov": "the rear right side",
    "front_tele_30fov": "forward",
}
TELEPHOTO = ("front_tele_30fov",)  # whose camera is named as one; the rear one is not
OTHER_VIEWS = ("same", "bare")  # what follows the sentence in views without a prompt of their own


def view_sentence(view: str) -> str:
    """Raises UserError on an unknown view."""
    if view not in FACING:
        raise UserError(unknown_name("view", view, ALL_VIEWS))
    camera = "telephoto camera" if view in TELEPHOTO else "camera"
    return f"The video is captured from a {camera} mounted on a car. The camera is facing {FACING[view]}."


def view_prompt(view: str, prompt: str) -> str:
    """The camera sentence of a view, then the prompt; a prompt that starts with the sentence is unchanged.

    Raises UserError on an unknown view.
    """
    sentence, prompt = view_sentence(view), prompt.strip()
    return prompt if prompt.startswith(sentence) else f"{sentence} {prompt}".strip()
