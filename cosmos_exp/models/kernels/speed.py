"""How a network is evaluated: attention kernel, precision of its large linear layers, compilation."""

from __future__ import annotations

from dataclasses import dataclass

from cosmos_exp.common.errors import UserError, unknown_name

ATTENTION = ("auto", "cudnn", "flash", "efficient", "math", "fp8")
EIGHT_BITS = ("fp8", "te")
LINEARS = ("plain", *EIGHT_BITS)
NO_TRANSFORMER_ENGINE = (
    "speed.linears=te needs Transformer Engine: pip install --no-build-isolation 'cosmos-exp[te]', or "
    "speed.linears=fp8, which needs no package"
)


@dataclass(frozen=True)
class Speed:
    """attention: kernel of the self-attention. linears: in the network's dtype, or on 8-bit
    floats, by torch or by Transformer Engine. compile: element-wise work.
    """

    attention: str = "auto"
    linears: str = "plain"
    compile: bool = False

    def __post_init__(self):
        for key, value, known in (("attention", self.attention, ATTENTION), ("linears", self.linears, LINEARS)):
            if value not in known:
                raise UserError(unknown_name(f"speed.{key}", value, known))
