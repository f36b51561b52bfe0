"""Which parts of a world model are on the device together."""

from __future__ import annotations

from dataclasses import dataclass

from cosmos_exp.common.errors import UserError, unknown_name

TEXT_ENCODER = ("stay", "swap", "cpu")
RESIDENT = ("all", "one")
OFFLOAD = ("none", "blocks")
NETWORKS = ("single_view", "multi_view")


@dataclass(frozen=True)
class Memory:
    """text_encoder: stay on the device; swap: there while it works, gone before the networks or the tokenizer do; cpu:
    it works on the CPU. resident: all networks, or the one in use. offload: "blocks" for `Offload`.

    tokenizer_chunk: latent frames that the tokenizer works on at a time, None for all; the result is the same.
    text_encoder_dtype: float32 in the original.
    """

    text_encoder: str = "stay"
    resident: str = "all"
    offload: str = "none"
    tokenizer_chunk: int | None = None
    text_encoder_dtype: str = "float32"

    def __post_init__(self):
        for key, value, known in (
            ("text_encoder", self.text_encoder, TEXT_ENCODER),
            ("resident", self.resident, RESIDENT),
            ("offload", self.offload, OFFLOAD),
        ):
            if value not in known:
                raise UserError(unknown_name(key, value, known))
        if self.tokenizer_chunk is not None and self.tokenizer_chunk < 1:
            raise UserError(f"tokenizer_chunk={self.tokenizer_chunk}: at least 1 latent frame")

    def leaving(self, coming: str) -> tuple[str, ...]:
        """The parts that may not be on the device beside the one that is needed now."""
        leaving: tuple[str, ...] = ()
        if self.text_encoder == "swap" and coming != "text_encoder":
            leaving = ("text_encoder",)
        if self.resident == "one" and coming != "tokenizer" and (coming, self.text_encoder) != ("text_encoder", "cpu"):
            leaving += tuple(network for network in NETWORKS if network != coming)
        return leaving
