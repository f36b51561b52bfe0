"""Which parts of a world model are on the device at the same time. Without torch: a config is validated with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from cosmos_exp.common.errors import ValidationErrors, unknown_name

if TYPE_CHECKING:
    from cosmos_exp.common.progress import Tick

TEXT_ENCODER = ("stay", "swap", "cpu")
RESIDENT = ("all", "one")
OFFLOAD = ("none", "blocks")
DTYPES = ("float32", "bfloat16")
NETWORKS = ("single_view", "multi_view")


@dataclass(frozen=True)
class Memory:
    """text_encoder: "stay" on the device; "swap": evicted before the networks or the tokenizer run; "cpu": run on the
    CPU. resident: all networks, or only the one in use. offload: "blocks" for `Offload`.

    tokenizer_chunk: latent frames that the tokenizer processes at a time, None for all; the result is the same.
    text_encoder_dtype: one of DTYPES.
    """

    text_encoder: str = "stay"
    resident: str = "all"
    offload: str = "none"
    tokenizer_chunk: int | None = None
    text_encoder_dtype: str = "float32"

    def __post_init__(self) -> None:
        problems = list(memory_problems(**asdict(self)))
        if problems:
            raise ValidationErrors(problems)

    def evicted_for(self, part: str) -> tuple[str, ...]:
        """The parts that may not be on the device together with the one that is needed now."""
        evicted: tuple[str, ...] = ()
        if self.text_encoder == "swap" and part != "text_encoder":
            evicted = ("text_encoder",)
        if self.resident == "one" and part != "tokenizer" and (part, self.text_encoder) != ("text_encoder", "cpu"):
            evicted += tuple(network for network in NETWORKS if network != part)
        return evicted


def memory_problems(
    *, text_encoder: str, resident: str, offload: str, tokenizer_chunk: int | None, text_encoder_dtype: str | None
) -> Iterator[str]:
    """Values that are not known or out of range, one message per problem under the names of the config's keys."""
    for key, value, known in (
        ("text_encoder", text_encoder, TEXT_ENCODER),
        ("resident", resident, RESIDENT),
        ("offload", offload, OFFLOAD),
    ):
        if value not in known:
            yield f"hardware.{key}: {unknown_name(key, value, known)}"
    if text_encoder_dtype not in (None, *DTYPES):
        yield f"hardware.text_encoder_dtype: {unknown_name('dtype', text_encoder_dtype, DTYPES)}"
    if tokenizer_chunk is not None and tokenizer_chunk < 1:
        yield f"hardware.tokenizer_chunk={tokenizer_chunk}: must be 1 or more latent frames, or null for all"


def load_staying(parts: Mapping[str, Callable[[], object]], away: Collection[str], tick: Tick) -> None:
    """Load each of the parts but those that are not on the device at that time."""
    staying = [load for name, load in parts.items() if name not in away]
    for number, load in enumerate(staying):
        tick(number, len(staying))
        load()
