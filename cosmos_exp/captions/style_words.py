"""Words of time of day, weather and light, and in which styles they belong."""

from __future__ import annotations

import re
from functools import cache

TOPICS = {
    "plain day": r"plain|ordinary|everyday|neutral light|natural light|mild day|normal day|even daylight",
    "daylight": r"daylight|daytime|midday|noon|afternoon",
    "golden hour": r"golden|sunset|setting sun|sun sets|low sun|late afternoon|orange sky",
    "warm light": r"warm light|last warm light|amber light|long shadows|low light",
    "morning": r"morning|dawn|sunrise|rising sun|sun rises|sun just up|sun begins to rise|early day",
    "evening": r"evening",
    "dusk": r"dusk|twilight|nightfall|fading light",
    "night": r"night|nights|nighttime|night time|midnight|moonlight|moonlit|moon|starry|stars|black sky|dark sky",
    "sun": r"sun|sunlight|sunshine|sunlit|sunny|sunbeams|sun rays",
    "clear sky": r"blue sky|blue skies|cloudless|sunny|clear blue",
    "rain": r"rain|rains|raining|rainy|rainfall|raindrop|raindrops|rain soaked|drizzle|drizzling|downpour"
    r"|shower|showers|puddle|puddles|storm|stormy|thunderstorm",
    "wet": r"wet|slick|soaked",
    "snow": r"snow|snows|snowing|snowy|snowfall|snowflake|snowflakes|snowstorm|blizzard|winter|wintry|icy|frost|frosty",
    "fog": r"fog|foggy|mist|misty|haze|hazy",
}
"""{topic: the words that speak of it}, as a regular expression over lower-case words with single blanks."""

OWN = {
    "Original": {"plain day", "daylight"},
    "Golden hour": {"golden hour", "warm light"},
    "Morning": {"morning"},
    "Night": {"night"},
    "Rainy": {"rain"},
    "Snowy": {"snow"},
    "Sunny": {"sun", "clear sky"},
    "Foggy": {"fog"},
}
"""{style: topics of which a caption in it names one at least}."""

ALLOWED = {
    "Original": {"daylight", "plain day", "sun", "clear sky"},
    "Golden hour": {"golden hour", "warm light", "evening", "sun", "clear sky", "daylight"},
    "Morning": {"morning", "warm light", "sun", "clear sky", "daylight"},
    "Night": {"night", "warm light"},
    "Rainy": {"rain", "wet", "daylight"},
    "Snowy": {"snow", "wet", "daylight"},
    "Sunny": {"sun", "clear sky", "daylight", "warm light"},
    "Foggy": {"fog", "wet", "daylight"},
}
"""{style: topics that it may name}."""

_NEGATIONS = re.compile(r"\b(no|not|without|never|nor|lack of|free of)((?: \w+){0,4}?) $")


def topics_of(text: str) -> dict[str, tuple[str, ...]]:
    """{topic: its words in the text}, in the order of TOPICS. What is negated ("no sign of rain") does not count."""
    plain = " ".join(re.findall(r"[a-z0-9]+|[.,;:!?]", text.lower()))
    found = {}
    for topic in TOPICS:
        hits = [m.group() for m in _pattern(topic).finditer(plain) if not _NEGATIONS.search(plain[: m.start()])]
        if hits:
            found[topic] = tuple(dict.fromkeys(hits))
    return found


def names_style(text: str, style: str) -> bool:
    """Whether the text has a word of the style."""
    return not OWN[style].isdisjoint(topics_of(text))


def foreign_words(text: str, style: str) -> tuple[str, ...]:
    """Words of other times of day, weathers and lights than a style's."""
    allowed = topics_of(text).items()
    mine = {word for topic, hits in allowed if topic in ALLOWED[style] for word in hits}
    others = (word for topic, hits in allowed if topic not in ALLOWED[style] for word in hits)
    return tuple(dict.fromkeys(word for word in others if word not in mine))


@cache
def _pattern(topic: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{TOPICS[topic]})\b")
