"""How a network is evaluated: attention kernel, precision of its large linear layers, compilation.

Without torch: a config is validated with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cosmos_exp.common.errors import ValidationErrors, unknown_name

ATTENTION = ("auto", "cudnn", "flash", "efficient", "math", "fp8")
EIGHT_BITS = ("fp8", "te")
FLOAT8_ATTENTION = 2
"""Version of attention on 8-bit floats. 2: values without their mean."""
LINEARS = ("plain", *EIGHT_BITS)
NO_TRANSFORMER_ENGINE = (
    "speed.linears=te needs Transformer Engine: pip install --no-build-isolation 'cosmos-exp[te]', or "
    "speed.linears=fp8, which needs no package"
)


@dataclass(frozen=True)
class Speed:
    """attention: kernel of the self-attention. linears: in the network's dtype ("plain"), or in 8-bit floats with torch
    ("fp8") or Transformer Engine ("te"). compile: whether to fuse the element-wise operations with torch.compile.
    """

    attention: str = "auto"
    linears: str = "plain"
    compile: bool = False

    def __post_init__(self) -> None:
        problems = list(speed_problems(attention=self.attention, linears=self.linears))
        if problems:
            raise ValidationErrors(problems)


def speed_problems(*, attention: str, linears: str) -> Iterator[str]:
    """Values that are not known, one message per problem under the names of the config's keys."""
    for key, value, known in (("attention", attention, ATTENTION), ("linears", linears, LINEARS)):
        if value not in known:
            yield f"speed.{key}: {unknown_name(key, value, known)}"
