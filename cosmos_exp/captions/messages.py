"""What a language model is asked when a caption is rewritten in a style, and the form of its answer.

Every model gets the same messages, the one that ships included: its chat template reads the first user message alone.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.styles import STYLES
from cosmos_exp.llm.types import Message

INSTRUCTIONS = """\
You rewrite captions of driving videos for another time of day or another weather. Rules:
- Keep every fact of the caption: the road, vehicles, people, signals, surroundings, their counts, colours, positions \
and motion. Add no object and no count, and change none.
- Change only time of day, weather and light, and how they look on road, sky and things. The caption shall clearly \
read in the style that is asked for.
- Leave out all that the caption says about another time of day, weather or light. Write nothing that contradicts the \
style, such as sun glare in fog.
- Plain English in ASCII, whole sentences, one paragraph, no quotation marks, no lists. Keep to the length.
Styles: Golden hour is the low warm sun before sunset; Morning is the soft light after sunrise; Night is dark, lit by \
lamps; Rainy, Snowy and Foggy are daytime in that weather; Sunny is a clear bright day.
Answer with JSON of the form {"caption": "..."} and nothing else."""


class Rewritten(BaseModel):
    """The answer: printable ASCII without quotation marks and backslashes."""

    model_config = ConfigDict(extra="forbid")
    caption: str = Field(pattern=r"^[ !#-\[\]-~]+$")


def rewrite_messages(
    caption: str, style: str, *, max_bytes: int | None = None, words: tuple[int, int] | None = None
) -> tuple[Message, ...]:
    """The conversation that asks for `caption` in `style`. max_bytes: longest answer; or words: fewest and most.

    Line breaks and repeated blanks of the caption become one blank. Raises UserError on an unknown style.
    """
    if style not in STYLES:
        raise UserError(unknown_name("style", style, STYLES))
    if (max_bytes is None) == (words is None):
        raise ValueError("give max_bytes or words, and not both")
    length = f"at most {max_bytes} bytes" if words is None else f"{words[0]} to {words[1]} words"
    asked = f"Style: {style}\nLength: {length}\nCaption: {' '.join(caption.split())}"
    return Message("system", INSTRUCTIONS), Message("user", asked)
