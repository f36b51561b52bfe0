"""`cosmos-exp warmup`: compile the renderer now, so that the first run need not."""

from __future__ import annotations

from collections.abc import Sequence

from cosmos_exp.cli.commands.parser import Parser


def command_line() -> Parser:
    return Parser(
        "warmup",
        "Compile the renderer now, as the first run on a machine otherwise does, and keep the compiled code in "
        "NUMBA_CACHE_DIR, else in the package, else in the user's cache.",
    )


def main(arguments: Sequence[str]) -> int:
    command_line().parse(arguments)
    from cosmos_exp.common.progress import steps
    from cosmos_exp.rendering.compiled import compilation
    from cosmos_exp.rendering.warmup import warm_up

    with steps("compile") as tick:
        warm_up(tick)
    print("\n".join(map(str, compilation.folders)) or "nowhere: no folder can be written; NUMBA_CACHE_DIR names one")
    return 0
